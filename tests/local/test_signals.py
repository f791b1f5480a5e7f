"""SIGTERM, Ctrl-C, a closed terminal and a time limit: every rank saves, the run exits as promised, and can go on."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

SLOW = ("--env", "MLOPS_TEST_STEPS=200")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_saves_and_stops(run_local, multi_node, output, number):
    run = run_local(multi_node, *SLOW)
    run.wait_for_line("^step=3/")
    run.signal(number)
    assert run.wait() == 143
    assert run.processes() == []
    saved = int((output / "step").read_text())
    assert f"saved step={saved}" in run.lines
    assert "saving and stopping; press Ctrl-C again to kill" in run.errors
    record = run.result()
    assert (record["exit_code"], record["exit_name"], record["stopped_by"]) == (143, "interrupted", "signal")
    assert record["step"]["step"] == saved


def test_signals_that_come_again_are_harmless(run_local, multi_node, output):
    run = run_local(multi_node, *SLOW)
    run.wait_for_line("^step=3/")
    for _ in range(5):
        run.signal(signal.SIGTERM)
        time.sleep(0.01)
    assert run.wait() == 143
    assert f"saved step={(output / 'step').read_text()}" in run.lines


def test_a_signal_before_the_first_step_stops_too(run_local, multi_node):
    run = run_local(multi_node, *SLOW)
    until = time.monotonic() + 30
    while not run.archives() or not (run.archives()[0] / "training.log").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    run.signal(signal.SIGTERM)
    assert run.wait() == 143
    assert not any(line.startswith("result") for line in run.lines)


def test_the_time_limit_saves_and_exits_with_124(run_local, multi_node, output):
    run = run_local(multi_node, *SLOW, "--timeout", "6")
    assert run.wait() == 124
    assert f"saved step={(output / 'step').read_text()}" in run.lines
    assert "the time limit is reached: saving and stopping" in run.errors
    record = run.result()
    assert (record["exit_code"], record["stopped_by"]) == (143, "timeout")


def terminal_argv(*arguments):
    """Return a command that takes its stdin as the controlling terminal and becomes `mlops-launch ARGUMENTS`."""
    program = (
        "import fcntl, os, sys, termios\n"
        "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'mlops_launch', *sys.argv[1:]])\n"
    )
    return [sys.executable, "-c", program, *arguments]


def in_terminal(arguments, environment, folder, keys):
    """Run mlops-launch in a terminal of 80 columns; press `keys` {text on the screen: key}; return (exit code, screen)."""
    controller, terminal = pty.openpty()
    subprocess.run(["stty", "cols", "80", "rows", "24"], stdin=terminal, check=True)
    process = subprocess.Popen(
        terminal_argv(*arguments),
        stdin=terminal, stdout=terminal, stderr=terminal, cwd=folder, env=environment | {"TERM": "xterm"}, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    screen = b""
    while True:
        try:
            data = os.read(controller, 1 << 16)
        except OSError:  # the terminal's last user has left
            break
        if not data:
            break
        screen += data
        for text in [text for text in keys if text.encode() in screen]:
            os.write(controller, keys.pop(text).encode())
    os.close(controller)
    return process.wait(60), screen.decode()


def test_control_c_in_a_terminal_saves_and_stops(multi_node, environment, tmp_path, output):
    code, screen = in_terminal(["run", str(multi_node), "--local", *SLOW], environment, tmp_path, {"images/s": "\x03"})
    assert code == 143
    assert "saving and stopping; press Ctrl-C again to kill" in screen
    assert f"saved step={(output / 'step').read_text()}" in screen


def test_a_terminal_shows_one_line_of_progress_that_fits(multi_node, environment, tmp_path):
    code, screen = in_terminal(["run", str(multi_node), "--local", "--env", "MLOPS_TEST_STEPS=20"], environment, tmp_path, {})
    assert code == 0
    drawn = [part.split("\r")[0].split("\n")[0] for part in screen.split("\x1b[K")[1:]]
    progress = [line for line in drawn if "images/s" in line]
    assert re.match(r"demo epoch 1 \d+/20 [█░]+ \d+% 12.5 images/s ", progress[0])
    assert progress[-1] == "demo epoch 1 20/20 ███████ 100% 12.5 images/s loss 0.100 top-1 100.0% 0:00 left"
    assert max(len(line) for line in progress) <= 79
    assert "step=1/20" not in screen
    assert screen.rstrip().splitlines()[-1] == "result top1=1.0000 step=20 world_size=2"


def test_a_closed_terminal_saves_and_stops(multi_node, environment, tmp_path, output):
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        terminal_argv("run", str(multi_node), "--local", *SLOW),
        stdin=terminal, stdout=terminal, stderr=terminal, cwd=tmp_path, env=environment | {"TERM": "xterm"}, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    screen = b""
    while b"images/s" not in screen:
        screen += os.read(controller, 1 << 16)
    os.close(controller)
    assert process.wait(60) == 143
    assert f"saved step={(output / 'step').read_text()}" in (output / "launcher.log").read_text().splitlines()
    (record,) = tmp_path.glob(".mlops/runs/*/*/result.json")
    assert json.loads(record.read_text())["exit_name"] == "interrupted"
