"""A machine whose clock stands still while somebody works, and whose threads take turns: ten minutes of patience take no time.

One thread runs at a time. It runs until it waits for something: for a time, an event, a queue, a byte of an answer. Then the
next one that can run gets its turn, chosen by a seeded random number; when none can, the clock jumps to the next moment at
which something happens. So a run with threads is the same each time for a seed, and another seed is another order of events.
"""

from __future__ import annotations

import heapq
import queue
import random
import signal
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from mlops_launch.clients.host import Host

EPOCH = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
BOOT = 1000.0  # of the monotonic clock, at EPOCH
MOST_TURNS = 400_000  # without an end: something spins
LONGEST = 30 * 86400.0  # seconds: something waits for what never comes


class Stuck(BaseException):
    """Nobody can run any more, or somebody runs without end: what the launcher would call hanging."""


class Ended(BaseException):
    """Unwinds a thread that is left when the simulation ends: a process that exits has no threads any more."""


def never() -> bool:
    """What somebody waits for who only lets time pass."""
    return False


class Task:
    """A thread and what it waits for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.turn = threading.Lock()  # held but for the moment in which the turn is handed over
        self.turn.acquire()
        self.ready: Callable[[], bool] = lambda: True
        self.until: float | None = None
        self.done = False
        self.thread: threading.Thread | None = None


class Simulation(Host):
    """A twin of `Host`: this machine, with a clock of its own.

    Create it in the thread that calls the launcher; `close` ends the threads that are left.
    """

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.signals: list[int] = []  # for the first thread, as the kernel keeps them
        self._now = BOOT
        self._main = self._current = Task("main")
        self._tasks = [self._main]
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = self._turns = 0
        self._stuck: str | None = None
        self._closing = False
        self.failures: list[BaseException] = []  # of threads

    # The machine's clock and what waits by it

    def monotonic(self) -> float:
        return self._now

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self._now - BOOT)

    def sleep(self, seconds: float) -> None:
        self.wait(never, seconds)

    def event(self) -> Any:
        return Event(self)

    def condition(self) -> Any:
        return Condition(self)

    def queue(self, size: int) -> Any:
        return Queue(self, size)

    def start_thread(self, name: str, target: Callable[[], None]) -> Any:
        task = Task(name)

        def run() -> None:
            task.turn.acquire()
            try:
                if not self._closing:
                    target()
            except Ended:
                pass
            except BaseException as error:
                self.failures.append(error)
            task.done = True
            self._tasks.remove(task)
            if not self._closing:
                self._pass_on()

        task.thread = threading.Thread(target=run, name=name, daemon=True)
        self._tasks.append(task)
        task.thread.start()
        return Handle(self, task)

    # The rest of the machine

    def name(self) -> str:
        return "laptop"

    def own_process(self) -> tuple[int, int]:
        return 4711, 1

    def process_started(self, pid: int) -> int | None:
        return 1 if pid == 4711 else None

    # For the world around

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call it then; it must not wait for anything."""
        self._count += 1
        heapq.heappush(self._timers, (self._now + max(0.0, seconds), self._count, callback))

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Send a signal to the process: Python handles it in its first thread."""
        self.signals.append(number)

    def wait(self, ready: Callable[[], bool], seconds: float | None = None) -> bool:
        """Give the turn away until `ready()`, or for that time; return whether it is ready."""
        if self._closing:
            raise Ended
        me = self._current
        me.ready, me.until = ready, None if seconds is None else self._now + max(0.0, seconds)
        while True:
            self._pass_on()
            if self._closing:
                raise Ended
            if self._stuck is not None and me is self._main:
                raise Stuck(self._stuck)
            if me is self._main and self.signals:
                signal.raise_signal(self.signals.pop(0))  # its handler may raise
                continue
            return ready()

    def close(self) -> None:
        """End the threads that are left."""
        self._closing = True
        for task in list(self._tasks):
            if task.thread is not None:
                self._current = task
                task.turn.release()
                task.thread.join(10)
                assert not task.thread.is_alive(), task.name

    def run(self, seconds: float) -> None:
        """Let that time pass for everybody else."""
        self.sleep(seconds)

    def _able(self) -> list[Task]:
        """Return who can run; asked for each turn, so it is written for speed."""
        now, called = self._now, self.signals or self._stuck is not None
        return [
            task
            for task in self._tasks
            if (task.until is not None and task.until <= now)
            or (task.ready is not never and task.ready())
            or (called and task is self._main)
        ]

    def _pass_on(self) -> None:
        """Give the turn to the next task; return when it is this one's again."""
        me = self._current
        chosen = self._next()
        if chosen is not me:
            self._current = chosen
            chosen.turn.release()
            if not me.done:
                me.turn.acquire()

    def _next(self) -> Task:
        self._turns += 1
        if self._turns > MOST_TURNS:
            self._stuck = self._stuck or f"no end after {MOST_TURNS} turns; {self._waiting()}"
        while True:
            able = self._able()
            if able:
                return able[0] if len(able) == 1 else self.random.choice(able)
            times = [task.until for task in self._tasks if task.until is not None]
            if self._timers:
                times.append(self._timers[0][0])
            if not times or min(times) > BOOT + LONGEST:
                self._stuck = f"nobody can run at {self._now - BOOT:.1f} s; {self._waiting()}"
                continue
            self._now = max(self._now, min(times))
            while self._timers and self._timers[0][0] <= self._now:
                heapq.heappop(self._timers)[2]()

    def _waiting(self) -> str:
        return "waiting: " + ", ".join(task.name for task in self._tasks)


class Event:
    """A twin of threading.Event."""

    def __init__(self, host: Simulation) -> None:
        self._host, self._set = host, False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        return self._set or self._host.wait(self.is_set, timeout)


class Condition:
    """A twin of threading.Condition. Nobody else runs while it is held, so there is nothing to lock."""

    def __init__(self, host: Simulation) -> None:
        self._host, self._times = host, 0

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *error: object) -> None:
        pass

    def notify_all(self) -> None:
        self._times += 1

    notify = notify_all

    def wait(self, timeout: float | None = None) -> bool:
        times = self._times
        return self._host.wait(lambda: self._times != times, timeout)


class Queue:
    """A twin of queue.Queue."""

    def __init__(self, host: Simulation, size: int) -> None:
        self._host, self._size, self._items = host, size, list[Any]()

    def empty(self) -> bool:
        return not self._items

    def qsize(self) -> int:
        return len(self._items)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if 0 < self._size <= len(self._items):
            if not block or not self._host.wait(lambda: len(self._items) < self._size, timeout):
                raise queue.Full
        self._items.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if not self._items:
            if not block or not self._host.wait(lambda: bool(self._items), timeout):
                raise queue.Empty
        return self._items.pop(0)

    def get_nowait(self) -> Any:
        return self.get(block=False)

    def put_nowait(self, item: Any) -> None:
        self.put(item, block=False)


class Handle:
    """A twin of threading.Thread, started."""

    def __init__(self, host: Simulation, task: Task) -> None:
        self._host, self._task, self.name = host, task, task.name

    def is_alive(self) -> bool:
        return not self._task.done

    def join(self, timeout: float | None = None) -> None:
        if not self._task.done:
            self._host.wait(lambda: self._task.done, timeout)
