"""SIGKILL at any place leaves no process behind, and the same command resumes from the newest checkpoint."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

SLOW = ("--env", "MLOPS_TEST_STEPS=24")


def finishes(run_local, overlay: Path) -> list[str]:
    """Run the same command again; return its lines."""
    again = run_local(overlay, *SLOW)
    assert again.wait() == 0, again.errors
    return again.lines


def test_the_processes_of_a_run(run_local, multi_node):
    run = run_local(multi_node, *SLOW)
    run.wait_for_line("^step=2/")
    assert sorted(process.kind for process in run.processes()) == ["entry point", "mpirun", "rank", "rank"]


@pytest.mark.parametrize("victim", ["launcher", "entry point", "mpirun", "rank"])
def test_no_process_survives_and_the_next_run_resumes(run_local, multi_node, output, victim):
    run = run_local(multi_node, *SLOW)
    run.wait_for_line("^step=3/")
    os.kill(run.process.pid if victim == "launcher" else run.pids(victim)[-1], signal.SIGKILL)
    code = run.wait()
    run.wait_until_gone()
    assert code == (-signal.SIGKILL if victim == "launcher" else 137)
    reached = int((output / "step").read_text())
    assert 3 <= reached < 24

    lines = finishes(run_local, multi_node)
    assert lines[1] == f"resume step={reached}"
    assert lines[-1] == "result top1=1.0000 step=24 world_size=2"


def test_ranks_save_when_the_launcher_is_killed(run_local, multi_node, output):
    run = run_local(multi_node, *SLOW)
    run.wait_for_line("^step=3/")
    run.signal(signal.SIGKILL)
    run.wait()
    run.wait_until_gone()
    last = (output / "launcher.log").read_text().splitlines()
    assert f"saved step={(output / 'step').read_text()}" in last


@pytest.mark.parametrize("victim", ["launcher", "mpirun"])
def test_nothing_is_left_in_memory_or_scratch_after_the_next_run(run_local, multi_node, victim):
    run = run_local(multi_node, *SLOW)
    run.wait_for_line("^step=3/")
    os.kill(run.process.pid if victim == "launcher" else run.pids("mpirun")[0], signal.SIGKILL)
    run.wait()
    run.wait_until_gone()
    finishes(run_local, multi_node)
    assert [path for path in Path("/dev/shm").glob(f"mlops-launch-{run.process.pid}*")] == []
    assert [folder for folder in run.archives() if (folder / "scratch").exists()] == []


def test_a_killed_launcher_is_listed_as_lost(run_local, call, multi_node):
    run = run_local(multi_node, *SLOW)
    run.wait_for_line("^step=3/")
    run.signal(signal.SIGKILL)
    run.wait()
    run.wait_until_gone()
    assert call("status").stdout.splitlines()[1] == "state:     lost"


def test_a_second_interrupt_kills_ranks_that_do_not_listen(run_local, multi_node):
    run = run_local(multi_node, *SLOW, "--env", "MLOPS_TEST_DEAF=1", "--env", "MLOPS_TEST_STEP_S=0.5")
    run.wait_for_line("^step=2/")
    run.signal(signal.SIGINT)
    time.sleep(0.5)
    assert run.process.poll() is None
    run.signal(signal.SIGINT)
    assert run.wait() == 137
    run.wait_until_gone(timeout=5)
