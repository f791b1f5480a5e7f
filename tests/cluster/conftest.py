"""The command line on a simulated machine with a simulated cluster, in a folder of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mlops_launch.cli.main import main
from tests.cluster.sim.world import ROOT, World


@dataclass(frozen=True)
class Ended:
    """How a call ended, all of it."""

    exit_code: int
    stdout: str
    stderr: str


Call = Callable[..., Ended]


@pytest.fixture
def world() -> Iterator[World]:
    """A cluster that works."""
    found = World()
    yield found
    found.host.close()
    for failure in found.host.failures:
        raise failure


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the overlays in it."""
    shutil.copytree(ROOT / "quickstart", tmp_path / "quickstart")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(world: World, folder: Path) -> Call:
    """Calls `mlops-launch` on that machine."""

    def run(*words: str) -> Ended:
        result = CliRunner().invoke(main, words, prog_name="mlops-launch", obj=world.clients())
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)

    return run


def archived(folder: Path, name: str = "resnet50v1-5") -> list[dict[str, Any]]:
    """The records of the archive, oldest first."""
    return [json.loads((run / "result.json").read_text()) for run in run_folders(folder, name)]


def run_folders(folder: Path, name: str = "resnet50v1-5") -> list[Path]:
    """The archived runs, oldest first."""
    return sorted(path.parent for path in (folder / ".mlops/runs" / name).glob("*/result.json"))
