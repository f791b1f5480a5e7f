"""Start several programs, and end them together; standard library only, run by its path as the first process of a local run.

    python3 group.py processes.json

The first program's output goes to stdout, that of each other one to a file. All of them are in this process's session.

* It has succeeded, and ends with 0, when all that count have ended with 0, or the first of them where one is enough.
* A program that ends with another code fails the whole: that code is this process's.
* Either way, and on SIGTERM and SIGINT, the others are asked to stop by SIGTERM and killed when their time to save is over.
* When this process's parent dies it is asked to stop.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

TICK_S = 0.05
INTERRUPTED = 128 + signal.SIGTERM
NEVER = float("inf")


@dataclass
class Member:
    """A program that was started."""

    name: str
    process: subprocess.Popen[bytes]
    grace: float
    counts: bool
    kill_at: float = NEVER

    @property
    def code(self) -> int | None:
        """The exit code, 128 + n for signal n; None while it runs."""
        code = self.process.poll()
        return 128 - code if code is not None and code < 0 else code

    def ask_to_stop(self) -> None:
        """Send SIGTERM once."""
        if self.code is None and self.kill_at == NEVER:
            self.kill_at = time.monotonic() + self.grace
            self.process.terminate()

    def watch(self) -> None:
        """Kill it when its time is over."""
        if self.code is None and time.monotonic() > self.kill_at:
            self.process.kill()


class Group:
    """The programs of one run."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.asked = False

    def run(self, programs: Sequence[Mapping[str, Any]], any_success: bool) -> int:
        """Start them, and return the exit code of all."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask)
        try:
            for program in programs:
                self.members.append(_start(program))
            code = self._wait(any_success)
        except OSError as error:
            print(f"Error: cannot start a program: {error.filename}: {error.strerror}", flush=True)
            code = 127
        self._stop()
        return code

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def _wait(self, any_success: bool) -> int:
        """Return when the end of all is known."""
        while not self.asked:
            codes = {member.name: member.code for member in self.members}
            failed = next((name for name, code in codes.items() if code), None)
            if failed is not None:
                if failed != self.members[0].name:
                    print(f"{failed} ended with exit code {codes[failed]}: the others are stopped", flush=True)
                return int(codes[failed] or 0)
            done = [codes[member.name] == 0 for member in self.members if member.counts]
            if any(done) if any_success else all(done):
                return 0
            time.sleep(TICK_S)
        self._stop()
        return self.members[0].code or INTERRUPTED if self.members else INTERRUPTED

    def _stop(self) -> None:
        """Ask all that run to stop, and return when they have ended."""
        for member in self.members:
            member.ask_to_stop()
        while any(member.code is None for member in self.members):
            for member in self.members:
                member.watch()
            time.sleep(TICK_S)


def _start(program: Mapping[str, Any]) -> Member:
    log = program["log"]
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log else None
    try:
        process = subprocess.Popen(
            program["argv"], env=program["environment"], cwd=program["folder"], stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.STDOUT, preexec_fn=_die_with_parent,
        )  # fmt: skip
    finally:
        if out is not None:
            os.close(out)
    return Member(program["name"], process, program["grace"], program["counts"])


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.exit(Group().run(found["programs"], found["any_success"]))
