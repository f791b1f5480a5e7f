"""A container that its pod starts again (`restartPolicy: OnFailure`): the lines of each run of it come once, or a gap is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.conftest import Call, archived, run_folders
from tests.cluster.sim.faults import Scheduled, Window, strike
from tests.cluster.sim.nodes import OOM, Script
from tests.cluster.sim.scripts import LINES
from tests.cluster.sim.world import MULTI, SINGLE, World

NAME = {SINGLE: "resnet50v1-5-training", MULTI: "resnet50v1-5"}
COPY = "/outputs/resnet50v1-5-single-node/launcher.log"
FIRST = [LINES[0], *(f"line {n} of 0" for n in range(8))]
SECOND = [LINES[0], "line 0 of 1"]


def script(texts: list[str], code: int, reason: str = "Error") -> Script:
    return Script([(1.0, text) for text in texts], code=code, reason=reason)


@pytest.fixture
def restarting(world: World) -> World:
    """The container fails twice, then trains to its end."""
    world.programs.changes = {"restartPolicy: Never": "restartPolicy: OnFailure"}
    world.kubelet.scripts = [script(FIRST, 1), script(SECOND, 137, OOM), script(LINES, 0)]
    return world


@pytest.mark.parametrize("overlay", [SINGLE, MULTI])
def test_all_its_lines_come_and_the_last_exit_code_counts(call: Call, restarting: World, folder: Path, overlay: str) -> None:
    ended = call("run", overlay)
    assert (ended.exit_code, ended.stdout.splitlines()) == (0, [*FIRST, *SECOND, *LINES])
    [record] = archived(folder, NAME[overlay])
    assert (record["exit_code"], record["out_of_memory"], record["gaps"]) == (0, False, [])
    assert (run_folders(folder, NAME[overlay])[0] / "training.log").read_text() == ended.stdout
    assert "Warning" not in ended.stderr


@pytest.mark.parametrize("at", [6.0, 11.0, 11.6, 12.0, 12.4, 13.0, 13.5])
@pytest.mark.parametrize("blow", ["streams break", "streams end"])
def test_its_lines_come_once_through_breaks_around_its_start(call: Call, restarting: World, folder: Path, at: float, blow: str) -> None:
    restarting.host.after(at, lambda: strike(restarting, blow))
    ended = call("run", SINGLE)
    assert (ended.exit_code, ended.stdout.splitlines()) == (0, [*FIRST, *SECOND, *LINES])
    assert [record["gaps"] for record in archived(folder, NAME[SINGLE])] == [[]]


@pytest.fixture
def unread(restarting: World) -> World:
    """It starts twice while the server is away: the log of its first run cannot be had any more."""
    restarting.times.back_off = 2.0
    away = restarting.wire.faults = Scheduled((Window(0.0, 8.0, "all", "no connection"),), ())
    restarting.host.after(8, lambda: away.begin(restarting))
    restarting.host.after(8, lambda: strike(restarting, "streams break"))
    return restarting


def test_a_run_of_it_that_nobody_could_read_is_a_gap(call: Call, unread: World, folder: Path) -> None:
    ended = call("run", SINGLE)
    lines = ended.stdout.splitlines()
    read = len(lines) - len(SECOND) - len(LINES)
    assert (ended.exit_code, lines) == (0, [*FIRST[:read], *SECOND, *LINES])
    assert 0 < read < len(FIRST)
    assert "the log's end may be missing, after" in ended.stderr


def test_the_gap_is_filled_from_the_copy_of_all_its_runs(call: Call, unread: World, folder: Path) -> None:
    runs = ["".join(f"{line}\n" for line in texts) for texts in (FIRST, SECOND, LINES)]
    offsets = [0, len(runs[0]), len(runs[0]) + len(runs[1])]
    starts = "".join(f"offset={offset} time={1767323050 + number} host={NAME[SINGLE]}\n" for number, offset in enumerate(offsets))
    unread.programs.files = {COPY: "".join(runs).encode(), f"{COPY}.starts": starts.encode()}
    ended = call("run", SINGLE)
    assert ended.exit_code == 0
    assert "the archived log is whole" in ended.stderr
    assert (run_folders(folder, NAME[SINGLE])[0] / "training.log").read_text() == "".join(runs)
    assert [record["gaps"] for record in archived(folder, NAME[SINGLE])] == [[]]


def test_a_memory_kill_that_was_the_last_run_is_told(call: Call, restarting: World, folder: Path) -> None:
    restarting.kubelet.scripts = [script(FIRST, 1), script(SECOND, 137, OOM)]
    restarting.times.back_off = 1000.0
    restarting.host.after(40, lambda: restarting.api.delete(restarting.api.all("Pod")[0]))
    ended = call("run", SINGLE)
    [record] = archived(folder, NAME[SINGLE])
    assert (ended.exit_code, record["out_of_memory"]) == (137, True)
    assert ended.stdout.splitlines() == [*FIRST, *SECOND]


@pytest.mark.parametrize("wait", [5, 15, 28])
def test_logs_follows_it_to_its_last_run(call: Call, restarting: World, folder: Path, wait: int) -> None:
    call("run", SINGLE, "--detach")
    restarting.host.run(wait)
    whole = [*FIRST, *SECOND, *LINES]
    lines = call("logs", "-f", NAME[SINGLE], "-n", "team").stdout.splitlines()
    assert lines == whole[len(whole) - len(lines) :]
    assert len(lines) >= len(LINES)
