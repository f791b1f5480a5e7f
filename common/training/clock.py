"""How long what stands between the steps takes: the evaluations and checkpoints of the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


class Pauses:
    """The time that each kind of pause takes.

    Args:
        now: seconds on a clock that does not go back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seconds: dict[str, float] = {}
        self._count: dict[str, int] = {}

    @contextmanager
    def measured(self, kind: str) -> Iterator[None]:
        """Measure the body."""
        started = self._now()
        yield
        self._seconds[kind] = self._seconds.get(kind, 0.0) + self._now() - started
        self._count[kind] = self._count.get(kind, 0) + 1

    def left(self, remaining: Mapping[str, int], expected: Mapping[str, float]) -> float:
        """Return the seconds that so many of each kind will take.

        Args:
            remaining: how many, by kind.
            expected: the seconds that one will take, for a kind that was not measured yet; 0 where nothing is expected.
        """
        return sum(count * self._mean(kind, expected.get(kind, 0.0)) for kind, count in remaining.items())

    def _mean(self, kind: str, expected: float) -> float:
        return self._seconds[kind] / self._count[kind] if kind in self._count else expected
