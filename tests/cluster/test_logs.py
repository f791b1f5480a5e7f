"""`logs` of a job in a cluster: once, to its end, of all pods, since a time; and of a run that was left."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cluster.conftest import Call, archived, run_folders
from tests.cluster.sim.faults import strike
from tests.cluster.sim.logs import LogSource
from tests.cluster.sim.nodes import Script
from tests.cluster.sim.scripts import ENDLESS, LINES, TRAINS
from tests.cluster.sim.world import MULTI, SINGLE, World

NAME = "resnet50v1-5"


@pytest.fixture
def running(call: Call, world: World, folder: Path) -> Call:
    """A job that runs for ten seconds already, and is nobody's in the archive."""
    world.kubelet.scripts = [ENDLESS]
    call("run", MULTI, "--detach")
    world.host.run(14)
    return call


def test_once(running: Call) -> None:
    ended = running("logs", NAME, "-n", "team")
    assert (ended.exit_code, ended.stdout.splitlines()[0]) == (0, ENDLESS.lines[0][1])
    assert 5 < len(ended.stdout.splitlines()) < 14


def test_of_all_pods_each_line_with_its_pods_name(running: Call) -> None:
    lines = running("logs", NAME, "--all").stdout.splitlines()
    assert sorted({line.split(":")[0] for line in lines}) == [f"{NAME}-launcher-bx2pq", f"{NAME}-worker-0", f"{NAME}-worker-1"]
    assert f"{NAME}-worker-0:       sshd listens on port 2222" in lines


@pytest.mark.parametrize("since", ["3s", "2026-01-02T03:04:16Z"])
def test_since(running: Call, since: str) -> None:
    lines = running("logs", NAME, "--since", since).stdout.splitlines()
    assert 2 <= len(lines) <= 5


@pytest.mark.parametrize("count", [0, 1, 3, 1000])
def test_the_last_lines(running: Call, count: int) -> None:
    whole = running("logs", NAME, "-n", "team").stdout.splitlines()
    ended = running("logs", NAME, "-n", "team", "--tail", str(count)).stdout.splitlines()
    assert len(ended) == min(count, len(whole)) or count and len(ended) - len(whole) in (0, 1, 2)  # the job prints a line a second
    assert ended == [] or ended[-1] > whole[-2]


def asked_for_logs(world: World) -> list[dict[str, str]]:
    """The requests for a log, those for its head alone left out."""
    return [request.query for request in world.api.requests if request.path.endswith("/log") and "limitBytes" not in request.query]


@pytest.mark.parametrize("count", [1, 3])
def test_the_last_lines_are_all_that_is_sent(running: Call, world: World, count: int) -> None:
    assert len(running("logs", NAME, "-n", "team", "--tail", str(count)).stdout.splitlines()) == count
    assert asked_for_logs(world) == [{"container": "launcher", "timestamps": "true", "tailLines": str(count)}]


@pytest.mark.parametrize(("tail", "expected"), [("1", [1]), ("2", [2]), ("1000", [2, 3, 4])])
def test_the_last_lines_since_a_time(running: Call, tail: str, expected: list[int]) -> None:
    assert len(running("logs", NAME, "--since", "3s", "--tail", tail).stdout.splitlines()) in expected


def test_the_last_lines_of_a_log_without_its_head_lack_nothing(running: Call, world: World) -> None:
    world.host.run(20)
    strike(world, "log rotates")
    world.host.run(5)
    ended = running("logs", NAME, "-n", "team", "--tail", "2")
    assert (len(ended.stdout.splitlines()), "Warning" in ended.stderr) == (2, False)


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("blow", ["streams break", "streams end"])
def test_what_follows_the_last_lines_comes_once_through_breaks(call: Call, world: World, folder: Path, count: int, blow: str) -> None:
    whole = [LINES[0], *(f"line {n}" for n in range(40)), LINES[-1]]
    world.kubelet.scripts = [Script([(1.0, line) for line in whole])]
    call("run", MULTI, "--detach")
    world.host.run(10)
    before = [text.decode() for _, text in world.kubelet.logs[0].lines]
    for at in (0.1, 0.5, 7.0):
        world.host.after(at, lambda: strike(world, blow))
    lines = call("logs", "-f", NAME, "--tail", str(count)).stdout.splitlines()
    assert lines == whole[len(whole) - len(lines) :]
    # The job may have written one more before it was asked.
    assert len(whole) - len(lines) in (len(before) - count, len(before) + 1 - count)


def test_the_last_lines_of_each_pod(running: Call) -> None:
    lines = running("logs", NAME, "--all", "--tail", "1").stdout.splitlines()
    pods = [line.split(":")[0] for line in lines]
    assert sorted(pods) == [f"{NAME}-launcher-bx2pq", f"{NAME}-worker-0", f"{NAME}-worker-1"]


def test_the_last_lines_and_what_follows(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [Script([(1.0, line) for line in [LINES[0], *(f"line {n}" for n in range(40)), LINES[-1]]])]
    call("run", MULTI, "--detach")
    world.host.run(20)
    lines = call("logs", "-f", NAME, "--tail", "2").stdout.splitlines()
    whole = [LINES[0], *(f"line {n}" for n in range(40)), LINES[-1]]
    assert 2 < len(lines) < 36 and lines == whole[len(whole) - len(lines) :]


def test_a_time_that_is_none_is_a_wrong_call(running: Call) -> None:
    assert running("logs", NAME, "--since", "yesterday").exit_code == 2


def test_to_the_end_through_breaks_with_the_gap_that_a_rotation_tears(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [Script([(1.0, line) for line in [LINES[0], *(f"line {n}" for n in range(40)), LINES[-1]]])]
    call("run", MULTI, "--detach")
    world.host.run(10)
    for at, what in ((5, "streams break"), (12, "streams end"), (20, "streams break")):
        world.host.after(at, lambda what=what: strike(world, what))  # type: ignore[misc]
    ended = call("logs", "-f", NAME, "-n", "team")
    assert ended.stdout.splitlines() == [LINES[0], *(f"line {n}" for n in range(40)), LINES[-1]]
    assert "Warning" not in ended.stderr


@pytest.fixture
def ended_job(call: Call, world: World, folder: Path) -> Call:
    """A job of forty lines that has ended, and is nobody's in the archive."""
    world.kubelet.scripts = [Script([(1.0, line) for line in [LINES[0], *(f"line {n}" for n in range(40)), LINES[-1]]])]
    call("run", SINGLE, "--detach")
    shutil.rmtree(folder / ".mlops")
    world.host.run(60)
    return call


WHOLE = [LINES[0], *(f"line {n}" for n in range(40)), LINES[-1]]
POD = f"{NAME}-training"


@pytest.mark.parametrize("words", [(), ("-f",)])
def test_a_log_that_has_ended_is_asked_for_once_and_without_timestamps(ended_job: Call, world: World, words: tuple[str, ...]) -> None:
    ended = ended_job("logs", *words, POD, "-n", "team")
    assert (ended.exit_code, ended.stdout.splitlines(), ended.stderr) == (0, WHOLE, "")
    assert asked_for_logs(world) == [{"container": "training"}]


@pytest.mark.parametrize("blow", ["streams break", "streams stall"])
def test_a_log_that_has_ended_comes_once_through_a_break(ended_job: Call, world: World, blow: str) -> None:
    """The answer breaks after some of its bytes, wherever that is."""
    world.wire.cut = 40
    take = LogSource.take

    def take_and_break(source: LogSource) -> bytes:
        found = take(source)
        if source.query == {"container": "training"}:
            strike(world, blow)
            found = found[:333]
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LogSource, "take", take_and_break)
        ended = ended_job("logs", "-f", POD, "-n", "team")
    assert (ended.exit_code, ended.stdout.splitlines(), ended.stderr) == (0, WHOLE, "")
    assert [query.get("timestamps") for query in asked_for_logs(world)] == [None, "true"]


def test_a_log_that_has_ended_without_its_head_says_so(ended_job: Call, world: World) -> None:
    world.kubelet.logs[0].begin = 20
    ended = ended_job("logs", POD, "-n", "team")
    assert ended.stdout.splitlines() == WHOLE[20:]
    assert ended.stderr.count("the log's beginning may be missing, before") == 1


def test_a_log_without_its_head_says_so(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [ENDLESS]
    call("run", MULTI, "--detach")
    world.host.run(30)
    strike(world, "log rotates")
    world.host.run(5)
    ended = call("logs", NAME, "-n", "team")
    assert "the log's beginning may be missing" in ended.stderr
    assert 3 <= len(ended.stdout.splitlines()) <= 6


def test_following_waits_for_the_start_and_for_a_server_that_is_away(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [TRAINS]
    call("run", SINGLE, "--detach")
    world.kubelet.stays = lambda pod: {"phase": "Pending"}
    world.host.after(100, lambda: setattr(world.kubelet, "stays", lambda pod: None))
    ended = call("logs", "-f", f"{NAME}-training", "-n", "team")
    assert (ended.exit_code, ended.stdout.splitlines()) == (0, LINES)


def test_a_job_that_has_not_started_has_no_log(call: Call, world: World, folder: Path) -> None:
    world.kubelet.stays = lambda pod: {"phase": "Pending"}
    call("run", MULTI, "--detach")
    world.host.run(10)
    ended = call("logs", NAME, "-n", "team")
    assert (ended.exit_code, "has not started" in ended.stderr) == (1, True)


def test_a_name_that_is_not_there(call: Call, world: World) -> None:
    ended = call("logs", "nobody", "-n", "team")
    assert (ended.exit_code, "nobody" in ended.stderr) == (1, True)


def test_a_run_that_was_left_is_completed_with_its_archive(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [Script([(5.0, line) for line in LINES], code=66)]
    world.host.after(18, world.host.interrupt)
    first = call("run", MULTI)
    assert first.exit_code == 130
    ended = call("logs", "-f", NAME)
    assert ended.stdout.splitlines() == LINES
    assert [(record["exit_code"], record["stopped_by"]) for record in archived(folder)] == [(66, None)]
    assert (run_folders(folder)[0] / "training.log").read_text().splitlines() == LINES


def test_a_run_that_was_left_can_be_left_again(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [ENDLESS]
    for _ in range(2):
        world.host.after(20, world.host.interrupt)
        assert call(*(("run", MULTI) if not archived(folder) else ("logs", "-f"))).exit_code == 130
    assert [record["stopped_by"] for record in archived(folder)] == ["detached"]
