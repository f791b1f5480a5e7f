"""Whatever reads or shows a log may fail: the run ends and says why, or it continues; it never waits for what is dead."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_launch.commands.runs.display import Display
from mlops_launch.core.log.lines import Metrics
from mlops_launch.core.log.stream import LogStream
from tests.cluster.conftest import Call, archived, run_folders
from tests.cluster.sim.nodes import Running, Script
from tests.cluster.sim.scripts import ENDLESS, LINES
from tests.cluster.sim.world import MULTI, SINGLE, World


def broken(*arguments: object) -> list[bytes]:
    raise ZeroDivisionError("not thought of")


def test_a_reader_that_dies_ends_the_run_with_125_and_its_reason(
    call: Call, world: World, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LogStream, "feed", broken)
    ended = call("run", MULTI)
    assert ended.exit_code == 125
    assert "Error: a defect in mlops-launch, test_reader.py:" in ended.stderr
    assert "ZeroDivisionError: not thought of\n\nhint: please report it with this line" in ended.stderr
    assert "detached: MPIJob resnet50v1-5 keeps running in the cluster" in ended.stderr
    assert world.host.monotonic() < 1000 + 60


def test_a_reader_that_dies_ends_logs_too(call: Call, world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world.kubelet.scripts = [ENDLESS]
    call("run", MULTI, "--detach")
    world.host.run(30)
    monkeypatch.setattr(LogStream, "feed", broken)
    ended = call("logs", "resnet50v1-5", "--all")
    assert ended.exit_code == 0
    assert "Warning: the log of pod resnet50v1-5-launcher" in ended.stderr


@pytest.mark.parametrize(("owner", "method"), [(Metrics, "read"), (Display, "show")])
def test_a_defect_of_what_reads_figures_or_shows_lines_is_said_once_and_ends_nothing(
    call: Call, world: World, folder: Path, monkeypatch: pytest.MonkeyPatch, owner: type, method: str
) -> None:
    monkeypatch.setattr(owner, method, broken)
    ended = call("run", MULTI)
    assert ended.exit_code == 0
    assert ended.stderr.count("Warning: the log cannot be shown, the archive has it: ZeroDivisionError: not thought of") == 1
    assert [record["exit_code"] for record in archived(folder)] == [0]
    assert (run_folders(folder)[0] / "training.log").read_text().splitlines() == LINES


@pytest.mark.parametrize("text", ["step= 5 of 10", "step=²/3", " 10%|#  |\r 50%|## |\r100%|###|", "\x1b[2J\x00\x85\u2028", "result", ""])
def test_no_line_changes_how_a_run_ends(call: Call, world: World, folder: Path, text: str) -> None:
    world.kubelet.scripts = [Script([(1.0, LINES[0]), (2.0, text), (2.0, LINES[-1])])]
    ended = call("run", MULTI)
    assert ended.exit_code == 0
    log = (run_folders(folder)[0] / "training.log").read_bytes()
    assert log == f"{LINES[0]}\n{text}\n{LINES[-1]}\n".encode()
    assert ended.stdout.encode() == log


def test_a_beginning_that_was_rotated_away_before_anybody_read_it_is_a_gap(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [Script([(1.0, line) for line in LINES[2:]])]
    ended = call("run", MULTI)
    assert ended.exit_code == 0
    assert "Warning: the log's beginning may be missing: the kubelet has rotated it away" in ended.stderr
    assert [record["gaps"] for record in archived(folder)] == [[[None, None]]]


@pytest.mark.parametrize(("code", "texts", "missing"), [(0, LINES, False), (66, LINES[:3], True)])
def test_a_log_that_is_rotated_behind_its_last_line_is_at_its_end(
    call: Call, world: World, folder: Path, code: int, texts: list[str], missing: bool
) -> None:
    """The current file is empty when the container has ended: after a training's `result` line nothing can be missing."""
    exit_container = world.kubelet.exit

    def rotate_and_exit(running: Running, code: int, reason: str = "Error") -> None:
        running.log.rotate()
        exit_container(running, code, reason)

    world.kubelet.exit = rotate_and_exit  # type: ignore[method-assign]
    world.kubelet.scripts = [Script([(1.0, text) for text in texts], code=code)]
    ended = call("run", SINGLE)
    assert (ended.exit_code, ended.stdout.splitlines()) == (code, texts)
    last = f"{world.kubelet.logs[0].lines[-1][0]}"
    assert ("Warning" in ended.stderr, f"the log's end may be missing, after {last}" in ended.stderr) == (missing, missing)
    assert [record["gaps"] for record in archived(folder, "resnet50v1-5-training")] == [[[last, None]] if missing else []]
    assert world.host.monotonic() < 1000 + len(texts) + 10
