"""Copies of the overlays, and the command line called in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlops_launch.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ended:
    """How a call ended, all of it."""

    exit_code: int
    stdout: str
    stderr: str


Call = Callable[..., Ended]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls `mlops-launch` in a folder that holds a copy of quickstart/."""
    shutil.copytree(ROOT / "quickstart", tmp_path / "quickstart")
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Ended:
        result = CliRunner().invoke(main, words, prog_name="mlops-launch")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)

    return run


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, temporary ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
