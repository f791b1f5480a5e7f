"""The scripts behind `make venv`: what they refuse, and what they do without a compiler."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(script: str, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "CXX"}
    environment["PATH"] = path if path is not None else environment["PATH"]
    argv = [sys.executable, str(ROOT / "tools" / script), *arguments]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120)


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")
    finished = run("environment.py", "--venv", str(tmp_path))
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr.splitlines()[0] == f"Error: not a virtual environment: {tmp_path}"
    assert finished.stderr.splitlines()[2].startswith("hint: ")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_without_a_compiler_the_wheel_is_unavailable(tmp_path: Path) -> None:
    finished = run("horovod_wheel.py", path=str(tmp_path))
    assert (finished.returncode, finished.stdout) == (os.EX_UNAVAILABLE, "")
    assert finished.stderr == "horovod-wheel: no C++ compiler found on PATH\n"


def test_a_second_call_does_nothing(tmp_path: Path) -> None:
    if not Path(sys.prefix).is_relative_to(ROOT):
        pytest.skip("not in this checkout's own environment, which `make venv` makes")
    before = sorted((path.name, path.stat().st_mtime_ns) for path in Path(sys.prefix).iterdir())
    base = os.path.realpath(sys.executable)
    finished = subprocess.run(
        [base, str(ROOT / "tools" / "environment.py"), "--venv", sys.prefix], capture_output=True, text=True, timeout=120
    )
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    assert sorted((path.name, path.stat().st_mtime_ns) for path in Path(sys.prefix).iterdir()) == before


def test_byte_code_of_what_is_imported_is_kept() -> None:
    if not (Path(sys.prefix) / "mlops-launch.json").exists():
        pytest.skip("not in an environment that `make venv` has made")
    for name in ("kubernetes.client", "kubernetes.config", "tensorflow"):
        found = importlib.util.find_spec(name)
        assert found is not None and found.cached is not None
        assert Path(found.cached).exists()
