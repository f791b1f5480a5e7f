"""The client of this machine: its clock and what waits by it, its processes' times, its count of memory kills, its memory."""

from __future__ import annotations

import os
import queue
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

_PREFIX = "mlops-launch-"


class Host:
    """This machine.

    Threads, and what they wait for, come from here: a test's twin lets them wait by a clock of its own, so that ten
    minutes take no time.
    """

    def name(self) -> str:
        """Return the host's name."""
        return socket.gethostname()

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        """Return the seconds on a clock that is never set."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Return after that time."""
        time.sleep(seconds)

    def event(self) -> threading.Event:
        """Return a new event."""
        return threading.Event()

    def condition(self) -> threading.Condition:
        """Return a new condition; nothing else is waited for while it is held."""
        return threading.Condition()

    def queue(self, size: int) -> queue.Queue[Any]:
        """Return a new queue for that many items."""
        return queue.Queue(size)

    def start_thread(self, name: str, target: Callable[[], None]) -> threading.Thread:
        """Start a thread that does not keep the process alive, and return it."""
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        return thread

    def process_started(self, pid: int) -> int | None:
        """Return when a process started, in clock ticks since boot; None when there is none, or it is a zombie."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else int(fields[19])

    def own_process(self) -> tuple[int, int]:
        """Return this process's number and when it started, in clock ticks since boot."""
        return os.getpid(), self.process_started(os.getpid()) or 0

    def memory_kills(self) -> int:
        """Return how many processes the kernel has killed for memory since boot, in any cgroup."""
        try:
            lines = Path("/proc/vmstat").read_text().splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)

    def shared_memory(self) -> Path:
        """Return this process's folder for files in memory, not made yet; among temporary files where there is no such place."""
        return self._memory() / f"{_PREFIX}{os.getpid()}"

    def remove_left_memory(self) -> None:
        """Remove such folders of processes that have ended without removing theirs."""
        for folder in self._memory().glob(f"{_PREFIX}*"):
            pid = folder.name.removeprefix(_PREFIX)
            if pid.isdigit() and self.process_started(int(pid)) is None:
                shutil.rmtree(folder, ignore_errors=True)  # another user's stays

    def free_port(self) -> int:
        """Return a TCP port of loopback on which nobody listens now."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            return int(server.getsockname()[1])

    def _memory(self) -> Path:
        shm = Path("/dev/shm")
        return shm if os.access(shm, os.W_OK) else Path(tempfile.gettempdir())
