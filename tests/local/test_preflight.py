"""What a local run needs is looked for before anything starts; a program of one's own needs only what it needs."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from mlops_launch.contract import NO_DATA_HINT
from tests.local.conftest import REPOSITORY

MULTI_NODE = REPOSITORY / "quickstart" / "k8s" / "mlops" / "multi-node"
SINGLE_NODE = REPOSITORY / "quickstart" / "k8s" / "mlops" / "single-node"
INSTALL = f"{shlex.quote(sys.executable)} -m pip install 'mlops-launch[train]'"
WITHOUT_HOROVOD = "without Horovod, which has to be built (`make venv` in a checkout): `--env MLOPS_COMM=mpi4py`"


@pytest.fixture
def without(environment, tmp_path):
    """Hide packages from every Python that is started, as if they were not installed."""

    def without(*packages: str) -> None:
        (tmp_path / "hidden").mkdir()
        (tmp_path / "hidden" / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({packages!r}))\n")
        environment["PYTHONPATH"] = f"{tmp_path / 'hidden'}:{environment['PYTHONPATH']}"

    return without


def no_run_was_begun(tmp_path) -> bool:
    return list(tmp_path.glob(".mlops/runs/*/*")) == []


@pytest.mark.parametrize(
    ("overlay", "hidden", "settings", "missing", "hint"),
    [
        (MULTI_NODE, ["tensorflow"], [], "tensorflow", INSTALL),
        (MULTI_NODE, ["tensorflow", "numpy", "safetensors"], [], "numpy, safetensors, tensorflow", INSTALL),
        (MULTI_NODE, ["horovod"], [], "horovod", WITHOUT_HOROVOD),
        (MULTI_NODE, ["horovod", "tensorflow"], [], "horovod, tensorflow", f"{INSTALL}\n{WITHOUT_HOROVOD}"),
        (MULTI_NODE, ["mpi4py"], ["MLOPS_COMM=mpi4py"], "mpi4py", INSTALL),
        (SINGLE_NODE, ["tensorflow", "horovod", "mpi4py"], [], "tensorflow", INSTALL),
    ],
)  # fmt: skip
def test_missing_packages_are_one_error_with_a_hint_that_can_be_pasted(call, without, tmp_path, overlay, hidden, settings, missing, hint):
    without(*hidden)
    ended = call("run", str(overlay), "--local", *[word for setting in settings for word in ("--env", setting)])
    assert (ended.returncode, ended.stdout) == (125, "")
    assert ended.stderr == f"Error: what this run needs is not installed here: {missing}\n\nhint: {hint}\n"
    assert no_run_was_begun(tmp_path)


@pytest.mark.parametrize("hidden, comm", [("horovod", "mpi4py"), ("mpi4py", "horovod")])
def test_one_way_for_the_ranks_to_talk_is_enough(call, without, tmp_path, hidden, comm):
    without(hidden)
    ended = call("run", str(MULTI_NODE), "--local", "--env", f"MLOPS_COMM={comm}")
    assert (ended.returncode, ended.stderr.splitlines()[0]) == (66, f"Error: no such dataset folder: {tmp_path}/.mlops/volumes/datasets")


@pytest.mark.parametrize("overlay", [MULTI_NODE, SINGLE_NODE], ids=lambda overlay: overlay.name)
@pytest.mark.parametrize("content", [None, [], ["image.png", "cats/1.jpg", ".train-0"]], ids=["missing", "empty", "no records"])
def test_a_dataset_folder_without_data_is_told_before_the_start_in_the_trainers_words(call, tmp_path, overlay, content):
    folder = tmp_path / ".mlops" / "volumes" / "datasets"
    if content is not None:
        folder.mkdir(parents=True)
    for name in content or ():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    ended = call("run", str(overlay), "--local")
    what = "no such dataset folder" if content is None else "no files `train-*` or `validation-*` in the dataset folder"
    assert (ended.returncode, ended.stdout, ended.stderr) == (66, "", f"Error: {what}: {folder}\n\nhint: {NO_DATA_HINT}\n")
    assert no_run_was_begun(tmp_path)


def test_a_dry_run_needs_neither(call, without):
    without("tensorflow", "horovod", "mpi4py")
    assert call("run", str(MULTI_NODE), "--local", "--dry-run").returncode == 0


def test_a_script_that_chooses_another_python_is_not_judged_by_this_one(call, without, package, tmp_path):
    without("tensorflow")
    folder = package("", "#!/bin/sh\n. /dev/null\nexec python3 $MODEL_DIR/models/$MODEL_NAME/main.py\n")
    (folder / "models" / "resnet50v1_5").mkdir()
    (folder / "models" / "resnet50v1_5" / "main.py").write_text("import tensorflow\n")
    ended = call("run", str(folder / "quickstart/k8s/mlops/single-node"), "--local")
    assert "ModuleNotFoundError" in ended.stdout + ended.stderr, "the program itself was started"


def test_a_program_of_ones_own_needs_what_it_imports(call, without, package):
    without("tensorflow", "numpy", "horovod")
    folder = package("environment.py")
    ended = call("run", str(folder / "quickstart/k8s/mlops/multi-node"), "--local")
    assert ended.returncode == 0, ended.stderr


def test_a_model_without_tensorflow_needs_none(call, without, package):
    without("tensorflow", "numpy")
    folder = package("", "#!/bin/sh\nexec python3 $MODEL_DIR/models/$MODEL_NAME/main.py\n")
    (folder / "models" / "resnet50v1_5").mkdir()
    (folder / "models" / "resnet50v1_5" / "main.py").write_text(
        "try:\n    import numpy\nexcept ImportError:\n    numpy = None\nprint('result numpy=%s' % numpy)\n"
    )
    ended = call("run", str(folder / "quickstart/k8s/mlops/single-node"), "--local")
    assert (ended.returncode, ended.stdout) == (0, "result numpy=None\n"), ended.stderr


def test_mpirun_that_is_missing_is_told_too(call, environment, package, tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "kubectl").symlink_to(f"{sys.executable.rpartition('/')[0]}/kubectl")
    # Another environment of the same packages, whose folder of programs has no mpirun.
    (programs / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    folder = package("environment.py")
    environment["PATH"] = f"{programs}:/usr/bin:/bin"
    hidden = "import sys; sys.executable = sys.argv.pop(1); from mlops_launch.__main__ import start; start()"
    ended = subprocess.run(
        [sys.executable, "-c", hidden, str(programs / "python3"), "run", str(folder / "quickstart/k8s/mlops/multi-node"), "--local"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (125, "")
    assert ended.stderr.splitlines()[0] == "Error: what this run needs is not installed here: mpirun"
