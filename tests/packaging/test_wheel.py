"""The wheel, installed where neither the checkout nor the development tools can help it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import mlops_launch

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ("quickstart", "common", "models", "k8s")
# What the launcher needs at run time, with what that needs: nothing else may be seen by the installed wheel.
DEVELOPMENT_ONLY = ("pytest", "hypothesis", "mypy", "tensorflow", "numpy", "horovod", "mpi4py")


def repository_files(*folders: str) -> list[str]:
    """Return the files that git tracks, or would track, below `folders`."""
    argv = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z", *folders]
    names = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split("\0")
    return [name for name in names if (ROOT / name).is_file()]


def content(path: Path) -> tuple[bytes, bool]:
    """Return a file's bytes, and whether it can be executed."""
    return path.read_bytes(), os.access(path, os.X_OK)


def tree(folder: Path) -> dict[str, tuple[bytes, bool]]:
    """Content and executable bit of each file below `folder`."""
    return {str(path.relative_to(folder)): content(path) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by way of the source distribution, from a copy of the tracked files."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in repository_files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)], check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def launcher(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`mlops-launch` in an environment of its own that sees this one's run-time packages and nothing of the checkout."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    for package in runtime_packages():
        (site / package.name).symlink_to(package)
    return folder / "bin" / "mlops-launch"


def runtime_packages() -> list[Path]:
    """Files and folders in site-packages of the launcher's requirements, those of the requirements included."""
    seen: set[str] = set()
    queue = ["click", "ruamel.yaml", "PyYAML", "kubernetes"]
    tops: set[Path] = set()
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        distribution = importlib.metadata.distribution(name)
        site = Path(str(distribution.locate_file("")))
        tops |= {site / file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")}
        requirements = map(Requirement, distribution.requires or [])
        queue += [r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    return sorted(tops)


def run(program: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LC_ALL": "C.UTF-8"}
    return subprocess.run([str(program), *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


def test_the_environment_lacks_the_development_tools(launcher: Path, tmp_path: Path) -> None:
    code = f"import importlib.util as u; print([n for n in {DEVELOPMENT_ONLY!r} if u.find_spec(n)])"
    assert run(launcher.parent / "python", "-c", code, cwd=tmp_path).stdout == "[]\n"


def test_help_and_version_work_without_the_development_tools(launcher: Path, tmp_path: Path) -> None:
    helped = run(launcher, "--help", cwd=tmp_path)
    assert (helped.returncode, helped.stderr) == (0, "")
    assert helped.stdout.startswith("Usage: mlops-launch ")
    assert mlops_launch.__version__ in run(launcher, "--version", cwd=tmp_path).stdout


def test_init_unpacks_the_model_package_byte_for_byte(launcher: Path, tmp_path: Path) -> None:
    made = run(launcher, "init", "package", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    unpacked = tree(tmp_path / "package")
    assert unpacked.pop(".mlops-package.json")  # what `init --upgrade` knows an edit by
    assert sorted(unpacked) == repository_files(*PACKAGE)
    assert unpacked == {name: content(ROOT / name) for name in unpacked}


def test_the_unpacked_overlay_renders(launcher: Path, tmp_path: Path) -> None:
    run(launcher, "init", "package", cwd=tmp_path)
    kubectl = str(Path(sys.executable).parent / "kubectl")
    here, there = (
        subprocess.run([kubectl, "kustomize", str(root / "quickstart" / "k8s" / "mlops" / "multi-node")], capture_output=True, check=True)
        for root in (ROOT, tmp_path / "package")
    )
    assert (there.stdout, there.stderr) == (here.stdout, b"")


def test_a_run_without_the_extras_says_once_what_to_install(launcher: Path, tmp_path: Path) -> None:
    run(launcher, "init", "package", cwd=tmp_path)
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "kubectl").symlink_to(Path(sys.executable).parent / "kubectl")
    ended = subprocess.run(
        [str(launcher), "run", "--local", "package/quickstart/k8s/mlops/multi-node"], cwd=tmp_path, capture_output=True, text=True,
        env={"PATH": f"{tmp_path / 'programs'}:/usr/bin:/bin", "HOME": str(tmp_path)}, timeout=60,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (125, "")
    message, blank, hint, horovod = ended.stderr.splitlines()[-4:]
    missing = "google_crc32c, horovod, mpirun, numpy, safetensors, tensorflow"
    assert (message, blank) == (f"Error: what this run needs is not installed here: {missing}", "")
    assert hint == f"hint: {launcher.parent / 'python'} -m pip install 'mlops-launch[train]'"
    assert horovod.endswith("`--env MLOPS_COMM=mpi4py`")
    assert not list(tmp_path.glob(".mlops/runs/*/*"))


def test_the_wheel_knows_its_models_and_an_unpacked_folder_its_own_presets(launcher: Path, tmp_path: Path) -> None:
    page = run(launcher, "check", "--settings", "--markdown", cwd=tmp_path)
    assert (page.stdout, page.stderr) == ((ROOT / "docs/reference/settings.md").read_text(encoding="utf-8"), "")
    run(launcher, "init", "package", cwd=tmp_path)
    (tmp_path / "package/models/mnist_mlp/presets/mine.py").write_text('"""Mine."""\n\nOVERRIDES = {"epochs": 1}\n')
    settings = run(launcher, "check", "package/quickstart/k8s/mlops/multi-node", "--settings", cwd=tmp_path)
    assert settings.stdout.startswith("resnet50v1_5\n")
    chosen = ("MODEL_NAME=mnist_mlp", "--preset", "mine")
    changed = run(launcher, "set", "package/quickstart/k8s/mlops/multi-node", *chosen, cwd=tmp_path)
    assert (changed.returncode, changed.stderr) == (0, "")


def test_the_wheel_holds_no_cache_and_nothing_twice(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert len(names) == len(set(names))
    assert [name for name in names if "__pycache__" in name or name.endswith(".pyc")] == []
    assert {name.split("/")[0] for name in names} == {"mlops_launch", f"mlops_launch-{mlops_launch.__version__}.dist-info"}
