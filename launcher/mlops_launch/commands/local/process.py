"""Follow a started program to its end: every byte of its output, signals, a time limit, nothing left behind."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlops_launch.clients.process import Processes
from mlops_launch.commands.runs.console import Console
from mlops_launch.commands.runs.loop import TIME_IS_UP, Stop
from mlops_launch.core.record import BY_SIGNAL

CHUNK = 1 << 16  # bytes
GRACE_S = 120.0  # to save and stop after the time limit; the entry point's own bound
SPARE_S = 10.0  # beyond that for the entry point, which knows best whom to kill
ORPHANS_S = 30.0  # for ranks whose entry point was killed: they were asked to save
DRAIN_S = 1.0  # for output after the program's end


class Program:
    """One program; an interrupt asks it to save and stop, a second Ctrl-C kills it.

    Args:
        processes: see whom it has started, and end them.
        stop: whether it was asked to stop.
        console: takes talk.
        tick: called several times a second while it runs.
    """

    def __init__(self, processes: Processes, stop: Stop, console: Console, tick: Callable[[], None] = lambda: None) -> None:
        self._tick = tick
        self._processes = processes
        self._stop = stop
        self._console = console
        self._process: subprocess.Popen[bytes] | None = None
        self._kill_at = float("inf")
        self._unsaid: list[str] = []
        self._pause_is_due = False

    @contextmanager
    def pausable(self) -> Iterator[None]:
        """Have Ctrl-Z stop the program with this process, and `fg`, `bg` or SIGCONT continue both, while the context lasts."""
        if signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL:  # the caller wants none of it
            yield
            return
        signal.signal(signal.SIGTSTP, lambda number, frame: self.pause())
        try:
            yield
        finally:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            if self._pause_is_due:
                self._processes.pause_self()

    def pause(self) -> None:
        """Ctrl-Z has come: return when both were continued. A program that is just being started, or was just ended, is waited for."""
        process = self._process
        self._pause_is_due = process is None
        if process is None:
            return
        begun = time.monotonic()
        self._processes.pause(process.pid)
        self._kill_at += time.monotonic() - begun

    def interrupt(self, number: int) -> None:
        """A signal with that number has come."""
        # Nothing is printed here: the signal may have come in the middle of printing.
        if self._stop.reason is None:
            self._stop.reason = BY_SIGNAL
            self._kill_at = time.monotonic() + GRACE_S + SPARE_S
            self._unsaid.append("saving and stopping; press Ctrl-C again to kill")
            self._ask()
        elif number == signal.SIGINT:
            self._unsaid.append("killed")
            self._kill()

    def follow(self, process: subprocess.Popen[bytes], take: Callable[[bytes], None]) -> int:
        """Hand each chunk of the output to `take` until the program has ended; return its exit code, 128 + n for signal n.

        What is left of its session is killed: at once after a normal end, after some time when the program itself
        was killed and the ranks may be saving.
        """
        self._process = process
        assert process.stdout is not None
        if self._pause_is_due:
            self.pause()
        if self._stop.reason is not None:
            process.terminate()
        drained_at = float("inf")
        with process.stdout, selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if selector.select(0.2):
                    data = os.read(process.stdout.fileno(), CHUNK)
                    if not data:
                        break
                    take(data)
                elif process.poll() is not None:  # somebody else holds the pipe open
                    drained_at = min(drained_at, time.monotonic() + DRAIN_S)
                    if time.monotonic() > drained_at:
                        break
                self._watch_clock()
        while process.poll() is None:  # it closed its output and keeps running
            time.sleep(0.02)
            self._watch_clock()
        self._process = None
        self._end_session(process.pid, killed=process.returncode < 0)
        return process.returncode if process.returncode >= 0 else 128 - process.returncode

    def _end_session(self, leader: int, killed: bool) -> None:
        until = time.monotonic() + (ORPHANS_S if killed else 0.0)
        while members := self._processes.session(leader):
            if time.monotonic() >= until:
                self._processes.kill(members)
            time.sleep(0.05)

    def _watch_clock(self) -> None:
        now = time.monotonic()
        self._tick()
        while self._unsaid:
            self._console.info(self._unsaid.pop(0))
        if self._stop.is_due(now):
            self._kill_at = now + GRACE_S + SPARE_S
            self._unsaid.append(TIME_IS_UP)
            self._ask()
        if now > self._kill_at:
            self._kill_at = float("inf")
            self._unsaid.append(f"killed: still running {GRACE_S + SPARE_S:.0f} s after it was asked to stop")
            self._kill()

    def _ask(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def _kill(self) -> None:
        if self._process is not None:
            self._processes.kill(self._processes.session(self._process.pid))
