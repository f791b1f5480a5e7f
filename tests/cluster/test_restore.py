"""A log with a gap is completed from the copy on the output volume, by a small pod that goes again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.conftest import Call, archived, run_folders
from tests.cluster.sim.faults import strike
from tests.cluster.sim.nodes import Script
from tests.cluster.sim.scripts import LINES
from tests.cluster.sim.world import MULTI, World

COPY = "/outputs/resnet50v1-5-multi-node/launcher.log"
TEXT = [LINES[0], *(f"line {n}" for n in range(60)), LINES[-1]]


@pytest.fixture
def torn(call: Call, world: World, folder: Path) -> Callable[[], Call]:
    """A run whose connection breaks while the log rotates; the copy on the volume is whole."""
    world.kubelet.scripts = [Script([(1.0, line) for line in TEXT])]
    whole = "".join(f"{line}\n" for line in TEXT).encode()
    before = b"of an earlier run\n"
    # The simulated pod's hostname is its name; its container starts seconds after the simulation.
    starts = f"offset=0 time=1 host=x\noffset={len(before)} time=1767323200 host=resnet50v1-5-launcher-bx2pq\n"
    world.programs.files = {COPY: before + whole, f"{COPY}.starts": starts.encode()}

    def tear() -> None:
        strike(world, "streams stall")
        world.host.after(10, lambda: strike(world, "log rotates with a loss"))
        world.host.after(20, lambda: world.wire.hit(ConnectionResetError(104, "Connection reset by peer")))

    world.host.after(20, tear)
    return lambda: call


def test_the_archive_has_every_line_in_the_end(torn: Callable[[], Call], world: World, folder: Path) -> None:
    ended = torn()("run", MULTI)
    assert ended.exit_code == 0
    assert "lines may be missing between" in ended.stderr and "the archived log is whole" in ended.stderr
    [run] = run_folders(folder)
    assert (run / "training.log").read_text().splitlines() == TEXT
    assert [record["gaps"] for record in archived(folder)] == [[]]
    assert [name for name in world.names("Pod") if "-log-" in name] == []


def no_starts(world: World) -> None:
    world.programs.files[f"{COPY}.starts"] = b"offset=0 time=1 host=x\n"


def no_copy(world: World) -> None:
    world.programs.files = {}


def other_text(world: World) -> None:
    world.programs.files[COPY] = world.programs.files[COPY].replace(b"line 3\n", b"line X\n")


def part_only(world: World) -> None:
    copy, starts = world.programs.files[COPY], world.programs.files[f"{COPY}.starts"]
    world.programs.files[f"{COPY}.starts"] = starts + f"offset={len(copy) + 9} time=1867323200 host=x\n".encode()


def no_exec(world: World) -> None:
    world.programs.broken = "error: unable to upgrade connection: Forbidden"


def no_start(world: World) -> None:
    stays = {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]}
    world.kubelet.stays = lambda pod: None if "-log-" not in pod["metadata"]["name"] else stays


def early_end(world: World) -> None:
    ended = {"phase": "Failed", "conditions": []}
    world.kubelet.stays = lambda pod: None if "-log-" not in pod["metadata"]["name"] else ended


@pytest.mark.parametrize("trouble", [no_starts, no_copy, other_text, part_only, no_exec, no_start, early_end])
def test_a_copy_that_cannot_be_used_leaves_the_log_and_its_gap(
    torn: Callable[[], Call], world: World, folder: Path, trouble: Callable[[World], None]
) -> None:
    trouble(world)
    ended = torn()("run", MULTI)
    assert (ended.exit_code, "the archived log may not be whole" in ended.stderr) == (0, True)
    [run] = run_folders(folder)
    assert (run / "training.log").read_text() == ended.stdout
    assert len(archived(folder)[0]["gaps"]) == 1
    assert [name for name in world.names("Pod") if "-log-" in name] == []
    assert not (run / "training.log.new").exists()
