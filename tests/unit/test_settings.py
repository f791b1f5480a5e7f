"""What models, settings and presets a package has is read from its files as they are: no import, and no file that breaks it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_launch.commands.overlay.package import package_of
from mlops_launch.core.settings.model import Bounds, Model, Package, Preset, Script, Setting, SourceProblem
from mlops_launch.core.settings.read import read_package

ROOT = Path(__file__).parents[2]
COMMON = b'''\
"""Settings of every model."""

from dataclasses import dataclass, field


def setting(default, help, choices=None, minimum=None, above=None, below=None, resume=False):
    return field(default=default)


@dataclass(frozen=True)
class Settings:
    """Lengths in steps."""

    # Where
    dataset_dir: str = setting("", "folder of records")
    epochs: int = setting(90, "times that each image is seen", minimum=1, resume=True)
    global_batch: int = setting(256, "images a step " "over all ranks", above=0)
    decay: float = setting(1 / 32768, help="L2 penalty", minimum=0)
    momentum: float = setting(0.9, "of the descent", minimum=0, below=1)
    summaries: bool = setting(True, "write TensorBoard files")
    schedule: str = setting("cosine", "after the warm-up", choices=("cosine", "step"))

    def for_resume(self):
        return {}
'''
OWN = b"""\
from common.training import settings
from common.training.settings import setting


class Settings(settings.Settings):
    epochs: int = setting(3, "times that each image is seen", minimum=1)
    hidden_units: int = settings.setting(32, "of the layer", above=0, resume=True)
"""
QUICK = b'"""A minute on any machine.\n\nCommand: none\n"""\n\nOVERRIDES = {"epochs": 1, "decay": 0, "global_batch": 5 * 10}\n'
FILES = {
    "common/training/settings.py": COMMON,
    "models/mlp/main.py": b"",
    "models/mlp/settings.py": OWN,
    "models/mlp/presets/__init__.py": b"",
    "models/mlp/presets/quick.py": QUICK,
    "quickstart/train.sh": b'#!/bin/sh\nexec python3 "$MODEL_DIR/main.py" --comm "${MLOPS_COMM:-horovod}" --precision fp32 "$@"\n',
    "quickstart/quick.sh": b'#!/bin/sh\nexec python3 main.py --preset "${MLOPS_PRESET:-quick}" --global-batch 12 # here\n',
}
SHARED = {
    "dataset_dir": Setting("dataset_dir", "str", "", "folder of records"),
    "epochs": Setting("epochs", "int", 90, "times that each image is seen", bounds=Bounds(minimum=1), resume=True),
    "global_batch": Setting("global_batch", "int", 256, "images a step over all ranks", bounds=Bounds(above=0)),
    "decay": Setting("decay", "float", 1 / 32768, "L2 penalty", bounds=Bounds(minimum=0)),
    "momentum": Setting("momentum", "float", 0.9, "of the descent", bounds=Bounds(minimum=0, below=1)),
    "summaries": Setting("summaries", "bool", True, "write TensorBoard files"),
    "schedule": Setting("schedule", "str", "cosine", "after the warm-up", ("cosine", "step")),
}
MLP = {
    **SHARED,
    "epochs": Setting("epochs", "int", 3, "times that each image is seen", bounds=Bounds(minimum=1)),
    "hidden_units": Setting("hidden_units", "int", 32, "of the layer", bounds=Bounds(above=0), resume=True),
}


def test_a_package_is_read_whole() -> None:
    assert read_package(FILES) == Package(
        {
            "mlp": Model(
                "mlp",
                MLP,
                {"quick": Preset("quick", "A minute on any machine.\n\nCommand: none", {"epochs": 1, "decay": 0, "global_batch": 50})},
            )
        },
        {
            "quick.sh": Script("quick.sh", {"preset": "${MLOPS_PRESET:-quick}", "global_batch": "12"}, trains=True),
            "train.sh": Script("train.sh", {"comm": "${MLOPS_COMM:-horovod}", "precision": "fp32"}, trains=True),
        },
        SHARED,
    )
    # Order is that of the trainer's help.
    assert list(read_package(FILES).models["mlp"].settings or {}) == list(MLP)


def test_the_names_of_a_setting() -> None:
    names = {name: (setting.variable, setting.flag) for name, setting in MLP.items()}
    assert names["dataset_dir"] == ("DATASET_DIR", "--dataset-dir")
    assert names["global_batch"] == ("MLOPS_GLOBAL_BATCH", "--global-batch")
    assert list(Model("mlp", MLP).by_variable()) == [variable for variable, _ in names.values()]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("epochs", "4", None),
        ("epochs", "ten", "is not a whole number"),
        ("epochs", "1.5", "is not a whole number"),
        ("epochs", "0", "must be 1 or more"),
        ("global_batch", "0", "must be above 0"),
        ("momentum", "0.5", None),
        ("momentum", "half", "is not a number"),
        ("momentum", "1", "must be below 1"),
        ("momentum", "nan", "must be 0 or more"),
        ("summaries", "false", None),
        ("summaries", "yes", "is neither true nor false"),
        ("schedule", "step", None),
        ("schedule", "steps", "is not one of cosine, step"),
        ("dataset_dir", "/anything", None),
    ],
)
def test_what_the_trainer_would_say_to_a_value(name: str, text: str, complaint: str | None) -> None:
    assert MLP[name].text_complaint(text) == complaint


PACKAGE = read_package(FILES)


@pytest.mark.parametrize(
    ("variables", "script", "batch"),
    [
        ({}, None, 256),
        ({"MLOPS_PRESET": "quick"}, None, 50),
        ({"MLOPS_PRESET": "quick", "MLOPS_GLOBAL_BATCH": "64"}, None, 64),
        ({"MLOPS_PRESET": "unheard-of"}, None, None),
        ({"MLOPS_GLOBAL_BATCH": "many"}, None, None),
        ({"MLOPS_GLOBAL_BATCH": "64"}, "quick.sh", 12),
        ({}, "train.sh", 256),
        ({}, "no-such.sh", 256),
    ],
)
def test_a_value_is_the_flags_then_the_environments_then_the_presets_then_the_default(
    variables: dict[str, str], script: str | None, batch: int | None
) -> None:
    assert PACKAGE.effective(PACKAGE.models["mlp"], "global_batch", variables, script) == batch


@pytest.mark.parametrize(
    ("variables", "script", "preset"),
    [({}, "quick.sh", "quick"), ({"MLOPS_PRESET": "full"}, "quick.sh", "full"), ({"MLOPS_PRESET": "full"}, None, "full"), ({}, None, None)],
)
def test_the_preset_is_the_scripts_or_the_environments(variables: dict[str, str], script: str | None, preset: str | None) -> None:
    assert PACKAGE.chosen_preset(variables, script) == preset


PRESET_FORM = 'a preset is a docstring and `OVERRIDES = {"setting": value, …}` with literals'
FORM = 'a setting is `name: type = setting(DEFAULT, "help", …)` with type str, int, float or bool, and literals'


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("class Settings(:\n", 1, "not valid Python: invalid syntax"),
        ("Settings = 1\n", None, "no class `Settings`"),
        ("class Settings:\n    x: int = 3\n", 2, "`x` is not declared by `setting(default, help)`"),
        ("class Settings:\n    x: int\n", 2, "`x` is not declared by `setting(default, help)`"),
        ("class Settings:\n    x: int = setting()\n", 2, "`x` has no default"),
        ("class Settings:\n    x: list[int] = setting(3, '')\n", 2, "the type of `x` is not str, int, float or bool: list[int]"),
        ("class Settings:\n    x: int = setting(\n        f(), '')\n", 3, "not a literal, nor arithmetic of literals"),
        ("class Settings:\n    x: int = setting(1 / 0, '')\n", 2, "not a value that can be computed here"),
        ("class Settings:\n    x: int = setting(9 ** 9 ** 9, '')\n", 2, "a number without measure"),
        ("class Settings:\n    x: int = setting(1, '', maximum=3)\n", 2, "`setting` of `x` has an unknown argument: maximum"),
        ("class Settings:\n    x: int = setting(1, '', minimum='a')\n", 2, "`minimum` of `x` has another type than it should"),
        ("class Settings:\n    x: int = setting(1, '', **more)\n", 2, "`setting` of `x` has arguments that cannot be read"),
        ("class Settings:\n    x: int = setting('1', '')\n", 2, "the default of `x` must be int: 1"),
        ("class Settings:\n    x: bool = setting(1, '')\n", 2, "the default of `x` must be bool: 1"),
        ("class Settings:\n    x: int = setting(1, '', minimum=2)\n", 2, "the default of `x` must be 2 or more: 1"),
        ("class Settings:\n    x: str = setting('a', '', choices=('b', 'c'))\n", 2, "the default of `x` is not one of b, c: a"),
        ("x = '\\udc80'\nclass Settings:\n    x: str = setting('\\udc80', '')\n", 3, "not a literal, nor arithmetic of literals"),
    ],
)
def test_a_settings_file_without_the_form_is_a_problem_with_its_line(body: str, line: int | None, message: str) -> None:
    package = read_package(FILES | {"models/mlp/settings.py": body.encode()})
    expected = SourceProblem("models/mlp/settings.py", line, message, FORM)
    assert (package.models["mlp"].problems, package.models["mlp"].settings) == ((expected,), None)
    # The same in the settings that models share is every model's problem.
    shared = read_package(FILES | {"common/training/settings.py": body.encode()})
    expected = SourceProblem("common/training/settings.py", line, message, FORM)
    assert (shared.models["mlp"].problems, shared.models["mlp"].settings, shared.common) == ((expected,), None, None)


@pytest.mark.parametrize(
    ("body", "line", "message", "hint"),
    [
        ("OVERRIDES = {\n", 1, "not valid Python: '{' was never closed", PRESET_FORM),
        ("OVERRIDES: dict = dict()\n", 1, "no dictionary `OVERRIDES = {…}`", PRESET_FORM),
        ("", None, "no dictionary `OVERRIDES = {…}`", PRESET_FORM),
        ("OVERRIDES = {\n 1: 2}\n", 2, "a key of `OVERRIDES` is not the name of a setting", PRESET_FORM),
        ("OVERRIDES = {**other}\n", 1, "a key of `OVERRIDES` is not the name of a setting", PRESET_FORM),
        ("OVERRIDES = {\n 'epoch': 2}\n", 2, "not a setting of the model: epoch", "did you mean `epochs`?"),
        ("OVERRIDES = {'zz': 2}\n", 1, "not a setting of the model: zz", "`mlops-launch check OVERLAY --settings` lists them"),
        ("OVERRIDES = {'epochs': 0}\n", 1, "`epochs` must be 1 or more: 0", "times that each image is seen; the default is 3"),
        ("OVERRIDES = {'epochs': True}\n", 1, "`epochs` must be int: True", "times that each image is seen; the default is 3"),
        ("OVERRIDES = {'epochs': [1]}\n", 1, "`epochs` must be int: (1,)", "times that each image is seen; the default is 3"),
    ],
)
def test_a_preset_without_the_form_is_a_problem_with_its_line(body: str, line: int | None, message: str, hint: str) -> None:
    model = read_package(FILES | {"models/mlp/presets/mine.py": body.encode()}).models["mlp"]
    assert model.problems == (SourceProblem("models/mlp/presets/mine.py", line, message, hint),)
    assert list(model.presets) == ["mine", "quick"]


@pytest.mark.parametrize(
    ("imports", "base"),
    [
        ("from models.mlp import settings", "settings.Settings"),
        ("from models.mlp import settings as other", "other.Settings"),
        ("from models.mlp.settings import Settings as Base", "Base"),
        ("import models.mlp.settings", "models.mlp.settings.Settings"),
        ("import models.mlp.settings as mlp", "mlp.Settings"),
        ("from ..mlp.settings import Settings as Base", "Base"),
        ("from ..mlp import settings", "settings.Settings"),
        ("from common.training import settings as first\nfrom models.mlp import settings", "settings.Settings, first.Settings"),
    ],
)
def test_a_model_may_build_on_another_ones_settings(imports: str, base: str) -> None:
    body = f"{imports}\n\n\nclass Settings({base}):\n    layers: int = setting(2, 'of them', above=0)\n"
    model = read_package(FILES | {"models/deep/settings.py": body.encode()}).models["deep"]
    layers = Setting("layers", "int", 2, "of them", bounds=Bounds(above=0))
    assert model == Model("deep", {**MLP, "layers": layers})


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            "class Settings(Base):\n    pass\n", 1,
            "`Settings` inherits from what is not the settings of common.training or of a model: Base",
        ),
        (
            "from models.mlp import step\nclass Settings(step.Settings):\n    pass\n", 2,
            "`Settings` inherits from what is not the settings of common.training or of a model: models.mlp.step.Settings",
        ),
        ("class Settings(f()):\n    pass\n", 1, "a base of `Settings` is not a name"),
        ("from models.zz import settings\nclass Settings(settings.Settings):\n    pass\n", 2, "no such file: models/zz/settings.py"),
        (
            "from models.mlp import settings\nclass Settings(settings.Settings):\n    pass\n", 2,
            "`Settings` inherits from itself: models.mlp.settings.Settings",
        ),
    ],
)  # fmt: skip
def test_a_base_that_is_none_is_a_problem_with_its_line(text: str, line: int, message: str) -> None:
    model = read_package(FILES | {"models/mlp/settings.py": text.encode()}).models["mlp"]
    assert (model.settings, model.problems) == (None, (SourceProblem("models/mlp/settings.py", line, message, FORM),))


def test_models_that_build_on_each_other_are_told() -> None:
    text = "from models.{} import settings\nclass Settings(settings.Settings):\n    pass\n"
    files = {f"models/{name}/settings.py": text.format(other).encode() for name, other in (("a", "b"), ("b", "a"))}
    models = read_package(files).models
    assert {name: [(problem.file, problem.message) for problem in model.problems] for name, model in models.items()} == {
        "a": [("models/b/settings.py", "`Settings` inherits from itself: models.a.settings.Settings")],
        "b": [("models/a/settings.py", "`Settings` inherits from itself: models.b.settings.Settings")],
    }


def test_settings_in_an_older_package_without_the_shared_ones_are_not_known() -> None:
    files = {path: content for path, content in FILES.items() if path != "common/training/settings.py"}
    assert read_package(files).models["mlp"] == Model("mlp", None, {"quick": PACKAGE.models["mlp"].presets["quick"]})


def test_a_model_that_declares_no_settings_has_none_that_could_be_wrong() -> None:
    package = read_package({"models/other/main.py": b"import torch\n"})
    assert package == Package({"other": Model("other", None)})


LINES = st.lists(
    st.sampled_from(COMMON.splitlines(keepends=True) + OWN.splitlines(keepends=True) + QUICK.splitlines(keepends=True)), max_size=12
).map(b"".join)
CUT = st.builds(
    lambda content, start, end: content[start:end], st.sampled_from([COMMON, OWN, QUICK]), st.integers(0, 40), st.integers(0, 900)
)
EXPRESSIONS = st.recursive(
    st.one_of(
        st.integers(-9, 99).map(str), st.floats(allow_nan=False).map(repr), st.text(max_size=3).map(repr), st.just("x"), st.just("None")
    ),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "<<", "@", "and"]), inner),
        inner.map("(-{})".format),
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    ),
    max_leaves=8,
)
FIELDS = st.builds("class Settings:\n    epochs: float = setting({}, {}, above={})\nOVERRIDES = {{{}: {}}}\n".format, *[EXPRESSIONS] * 5)
CONTENT = st.one_of(
    st.binary(max_size=60), st.text(max_size=60).map(lambda text: text.encode(errors="replace")), LINES, CUT, FIELDS.map(str.encode)
)


@given(content=CONTENT, path=st.sampled_from(sorted(FILES)))
@settings(max_examples=400, deadline=None)
def test_whatever_is_in_a_file_it_is_read_or_told(content: bytes, path: str) -> None:
    package = read_package(FILES | {path: content})
    model = package.models["mlp"]
    assert (model.settings is None) <= bool(model.problems)
    for problem in model.problems:
        assert problem.file == path or path == "common/training/settings.py" or problem.file.startswith("models/mlp/")
        assert problem.message and problem.hint
        assert len((problem.message + problem.hint).splitlines()) == 1
        (problem.message + problem.hint).encode()
        assert (
            problem.line is None
            or 1 <= problem.line <= content.count(b"\n") + content.count(b"\r") + content.count(b"\f") + 1
            or problem.file != path
        )
    package.effective(model, "global_batch", {"MLOPS_PRESET": "quick"}, "train.sh")


@pytest.mark.parametrize("opening", [b"(" * 100_000, b"-" * 100_000, b"x" + b"[0]" * 50_000, b"1" + b"+1" * 50_000, b"1" * 5000])
def test_a_file_that_is_nested_without_end_is_told(opening: bytes) -> None:
    content = b"class Settings:\n    epochs: int = setting(" + opening
    for text in (content, content + b")" * 100_001, content + b", '')\n"):
        (problem,) = read_package(FILES | {"models/mlp/settings.py": text}).models["mlp"].problems
        assert problem.file == "models/mlp/settings.py"


def test_no_module_of_the_launcher_knows_a_model_a_preset_or_a_script_by_heart() -> None:
    """Examples name them: those of rules, and those of help, which are docstrings."""
    launcher, package = ROOT / "launcher/mlops_launch", package_of(ROOT)
    names = {name for model in package.models.values() for name in (model.name, *model.presets)} | set(package.scripts)
    assert {"resnet50v1_5", "demo", "fp32_training_demo.sh"} <= names
    known = [
        f"{path.relative_to(launcher)}:{node.lineno}: {node.value}"
        for path in launcher.rglob("*.py")
        if path.parent != launcher / "core/rules"
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value
        for name in names & set(re.split(r"[^\w.]+", node.value))
        if name != "full"  # a word, too
    ]
    assert known == []
