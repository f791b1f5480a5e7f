"""Ctrl-Z stops the ranks with the launcher, `fg` continues them, at any moment; a stopped run can be ended as any other."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.conftest import PATIENCE_S

SLOW = ("--env", "MLOPS_TEST_STEPS=60")


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_until(what, timeout: float = PATIENCE_S):
    until = time.monotonic() + timeout
    while not (found := what()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


def is_stopped(run) -> bool:
    return state_of(run.process.pid) == "T" and {state_of(process.pid) for process in run.processes()} == {"T"}


def require_a_standstill(run) -> None:
    """Fail when the run prints anything for a while; a rank prints each twentieth of a second."""
    time.sleep(0.3)  # what was on its way
    before = run.output
    time.sleep(0.6)
    assert run.output == before


class Shell:
    """A shell with job control in a terminal of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._controller, terminal = pty.openpty()
        subprocess.run(["stty", "cols", "80", "rows", "24", "-echo"], stdin=terminal, check=True)
        program = (
            "import fcntl, os, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\nos.execvp('bash', ['bash', '--norc', '--noprofile', '-i'])\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=terminal, stdout=terminal, stderr=terminal, cwd=folder, start_new_session=True,
            env=environment | {"TERM": "xterm", "PS1": "$ ", "HISTFILE": ""},
        )  # fmt: skip
        os.close(terminal)
        self.screen = ""
        self._seen = 0

    def type(self, text: str) -> None:
        os.write(self._controller, text.encode())

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Return the next place on the screen that `pattern` matches, after the last one."""
        until = time.monotonic() + PATIENCE_S
        while not (found := re.compile(pattern).search(self.screen, self._seen)):
            if select.select([self._controller], [], [], 0.2)[0]:
                self.screen += os.read(self._controller, 1 << 16).decode()
            assert time.monotonic() < until, self.screen
        self._seen = found.end()
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._controller)


@pytest.fixture
def shell(tmp_path, environment) -> Iterator[Shell]:
    shell = Shell(tmp_path, environment)
    yield shell
    shell.close()


@pytest.fixture
def job(run_local, multi_node):
    """Start a run as a job of its own, as a shell with job control does."""

    def job(*arguments):
        return run_local(multi_node, *SLOW, *arguments, job=True)

    return job


def test_control_z_and_fg_in_a_shell_then_control_c(shell, multi_node, output):
    shell.type(f"{sys.executable} -m mlops_launch run {multi_node} --local {' '.join(SLOW)}\n")
    shell.wait_for(r" \d+/60 .*images/s")
    shell.type("\x1a")
    shell.wait_for(r"\[1\]\+\s+Stopped")
    step = (output / "step").read_text()
    time.sleep(0.6)
    assert int((output / "step").read_text()) <= int(step) + 1  # the step in which they were stopped may be half written
    shell.type("fg\n")
    shell.wait_for(r" \d+/60 .*images/s")
    shell.wait_for(r" \d+/60 .*images/s")
    shell.type("\x03")
    shell.wait_for("saving and stopping; press Ctrl-C again to kill")
    shell.wait_for(r"exit code 143: interrupted")
    shell.type("echo code $?\n")
    shell.wait_for("code 143")


def test_ranks_stop_and_continue_with_the_launcher(job):
    run = job()
    run.wait_for_line("^step=3/")
    for _ in range(2):
        run.signal(signal.SIGTSTP)
        wait_until(lambda: is_stopped(run))
        require_a_standstill(run)
        run.signal(signal.SIGCONT)
        printed = len(run.lines)
        wait_until(lambda: len(run.lines) > printed + 2)  # noqa: B023
    assert run.wait() == 0, run.errors
    assert run.lines[-1] == "result top1=1.0000 step=60 world_size=2"


@pytest.mark.parametrize("after_s", [0.0, 0.15, 0.3, 0.6, 1.0, 1.6, 2.5])
def test_control_z_works_from_the_first_moment(job, after_s):
    run = job("--env", "MLOPS_TEST_STEP_S=0")
    time.sleep(after_s)
    run.signal(signal.SIGTSTP)
    wait_until(lambda: run.process.poll() is not None or state_of(run.process.pid) == "T")
    require_a_standstill(run)
    run.signal(signal.SIGCONT)
    assert run.wait() == 0, run.errors
    assert run.lines[-1] == "result top1=1.0000 step=60 world_size=2"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_stopped_run_saves_when_it_is_ended(job, output, number):
    run = job()
    run.wait_for_line("^step=3/")
    run.signal(signal.SIGTSTP)
    wait_until(lambda: is_stopped(run))
    run.signal(number)
    run.signal(signal.SIGCONT)
    assert run.wait() == 143, run.errors
    assert f"saved step={(output / 'step').read_text()}" in run.lines
    assert run.processes() == []


def test_a_stopped_run_whose_launcher_is_killed_saves_and_leaves_nothing(job, output):
    run = job()
    run.wait_for_line("^step=3/")
    run.signal(signal.SIGTSTP)
    wait_until(lambda: is_stopped(run))
    run.signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    run.wait_until_gone()
    assert f"saved step={(output / 'step').read_text()}" in (output / "launcher.log").read_text().splitlines()


def test_where_no_shell_could_continue_it_control_z_does_nothing(run_local, multi_node):
    run = run_local(multi_node, *SLOW, orphan=True)
    run.wait_for_line("^step=3/")
    run.signal(signal.SIGTSTP)
    assert run.wait() == 0, run.errors
    assert run.lines[-1] == "result top1=1.0000 step=60 world_size=2"
