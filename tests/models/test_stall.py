"""A run that stands still is named, with its ranks and what has become of them; one that is merely slow is not."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from common.stall import StallWatch, rank_states

ROOT = Path(__file__).parents[2]


class Run:
    """A run of two ranks on hosts that are not this one, by a clock of its own; `said` is looked at after each move of it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.said: list[str] = []
        self.watch = StallWatch(0, ["node-a", "node-b"], self.said.append, clock=lambda: self.now)

    def steps(self, *steps: int, each_s: float) -> None:
        for step in steps:
            self.wait(each_s)
            self.watch.beat(step)
        self.watch.look()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.watch.look()


def stalled(seconds: int, step: int) -> str:
    return f"warning: no step has ended for {seconds} s, the last was {step}; ranks: 0:node-a, 1:node-b"


def test_a_minute_without_a_step_is_said_and_again_when_it_lasts_and_when_it_is_over() -> None:
    run = Run()
    run.steps(1, 2, 3, each_s=1)
    run.wait(60)
    assert run.said == []
    run.wait(1)
    assert run.said == [stalled(61, 3)]
    run.wait(60)
    assert run.said == [stalled(61, 3)]
    run.wait(2)
    assert run.said == [stalled(61, 3), stalled(123, 3)]
    run.steps(4, 5, each_s=1)
    assert run.said == [stalled(61, 3), stalled(123, 3), "the run continues, at step 4"]
    run.wait(61)
    assert run.said[3:] == [stalled(61, 5)]


def test_steps_that_are_always_slow_are_worth_no_line_until_five_times_their_time() -> None:
    run = Run()
    run.steps(1, 2, 3, 4, each_s=40)
    run.wait(199)
    assert run.said == []
    run.wait(2)
    assert run.said == [stalled(201, 4)]


def test_the_first_step_with_its_compilation_does_not_count_as_usual() -> None:
    run = Run()
    run.steps(1, each_s=59)
    run.steps(2, 3, 4, each_s=1)
    run.wait(61)
    assert run.said == [stalled(61, 4)]


def process(proc: Path, pid: int, rank: int, job: str, state: str) -> None:
    (proc / str(pid)).mkdir(parents=True)
    (proc / str(pid) / "environ").write_bytes(f"A=b\0OMPI_COMM_WORLD_RANK={rank}\0PMIX_NAMESPACE={job}\0".encode())
    (proc / str(pid) / "stat").write_text(f"{pid} (a ) name) {state} 1 1 1")


def test_ranks_of_this_job_on_this_host_that_cannot_work_are_told_from_the_others(tmp_path: Path) -> None:
    for pid, rank, job, state in [(1, 0, "mine", "R"), (2, 1, "mine", "T"), (3, 2, "mine", "D"), (4, 3, "other", "T"), (5, 4, "mine", "S")]:
        process(tmp_path, pid, rank, job, state)
    (tmp_path / "self").symlink_to("1")
    (tmp_path / "6").mkdir()  # of another user, or just gone
    hosts = ["a", "a", "a", "a", "a", "b"]
    assert rank_states(0, hosts, tmp_path) == {1: "stopped", 2: "waiting for a disk", 3: "gone"}


def test_without_mpirun_nothing_is_known_of_ranks() -> None:
    assert rank_states(0, ["a"]) == {} or "PMIX_NAMESPACE" in os.environ


PROGRAM = """
import os, sys, time
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/launcher"]
from common.stall import StallWatch
rank = int(os.environ["OMPI_COMM_WORLD_RANK"])
with StallWatch(rank, [sys.argv[2]] * 2, lambda line: print(f"{rank}>{line}", flush=True), limit_s=1) as watch:
    watch.beat(3)
    print(f"pid {rank} {os.getpid()}", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("victim", [0, 1])
def test_a_stopped_rank_is_named_by_the_lowest_one_that_can_speak(victim: int) -> None:
    host = socket.gethostname()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMPI_", "PMIX_"))}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(ROOT), host],
            env=kept | {"OMPI_COMM_WORLD_RANK": str(rank), "PMIX_NAMESPACE": f"test-{os.getpid()}-{victim}"},
            stdout=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        for rank in ranks:
            assert rank.stdout is not None
            rank.stdout.readline()
        ranks[victim].send_signal(signal.SIGSTOP)
        speaker = ranks[1 - victim].stdout
        assert speaker is not None
        line = speaker.readline()
        state = [" (stopped)" if rank == victim else "" for rank in range(2)]
        assert line.startswith(f"{1 - victim}>warning: no step has ended for ")
        assert line.endswith(f" s, the last was 3; ranks: 0:{host}{state[0]}, 1:{host}{state[1]}\n")
    finally:
        for rank in ranks:
            rank.kill()
            rank.communicate()
