"""Which packages a program needs is read from its source."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_launch.core.settings.imports import packages_of

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "packages"),
    [
        ("import numpy as np, os.path", {"numpy"}),
        ("from tensorflow.train import Example", {"tensorflow"}),
        ("def f():\n    import horovod.tensorflow as hvd", {"horovod"}),
        ("try:\n    import numpy\nexcept ImportError:\n    numpy = None", set()),
        ("try:\n    import numpy\nexcept (ValueError, ModuleNotFoundError):\n    pass", set()),
        ("try:\n    import numpy\nexcept ImportError:\n    print('no')\n    raise", {"numpy"}),
        ("try:\n    import numpy\nexcept Exception:\n    pass", {"numpy"}),
        ("try:\n    pass\nexcept ImportError:\n    import numpy", {"numpy"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy\nelse:\n    import scipy", {"scipy"}),
        ("from common.a import b", {"of_a", "of_b"}),
        ("import common.a.b", {"of_b"}),
        ("from common import a", {"of_a"}),
        ("from . import own", {"of_own"}),
        ("from .own import x", {"of_own"}),
        ("from ...common.a.b import x", {"of_b"}),
        ("import models.missing, mlops_launch.contract", set()),
        ("not Python at all (", set()),
        ("", set()),
    ],
)  # fmt: skip
def test_the_packages_of_a_program(text: str, packages: set[str]) -> None:
    files = {
        "models/m/main.py": text, "models/m/own.py": "import of_own\nfrom models.m import main",
        "common/__init__.py": "", "common/a/__init__.py": "import of_a", "common/a/b.py": "import of_b, common.a.b",
    }  # fmt: skip
    assert packages_of("models/m/main.py", {path: content.encode() for path, content in files.items()}) == packages


@given(st.dictionaries(st.sampled_from(["models/m/main.py", "models/m/a.py", "common/x.py"]), st.binary(max_size=60)))
def test_any_content_needs_something_or_nothing(files: dict[str, bytes]) -> None:
    assert all(isinstance(name, str) for name in packages_of("models/m/main.py", files))


@pytest.mark.parametrize("model", [path.parent.name for path in (ROOT / "models").glob("*/main.py")])
def test_the_trainers_of_this_repository_need_what_setup_py_brings(model: str) -> None:
    files = {path.relative_to(ROOT).as_posix(): path.read_bytes() for part in ("common", "models") for path in (ROOT / part).rglob("*.py")}
    found = packages_of(f"models/{model}/main.py", files)
    assert {"tensorflow", "numpy", "horovod", "mpi4py", "safetensors", "google_crc32c"} == found
    assert not found & sys.stdlib_module_names
    train = next(
        node for node in ast.parse((ROOT / "setup.py").read_text()).body if isinstance(node, ast.Assign) and node.targets[0].id == "TRAIN"
    )  # type: ignore[attr-defined]
    brought = {ast.literal_eval(item).split(">")[0].replace("-", "_") for item in train.value.elts if isinstance(item, ast.Constant)}  # type: ignore[attr-defined]
    assert found - brought == {"tensorflow", "horovod"}, "TensorFlow is the extra's own, Horovod is built"
