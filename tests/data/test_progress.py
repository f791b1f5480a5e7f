"""Progress: a bar on a terminal, lines in a pipe."""

from __future__ import annotations

import io

import pytest

from common.data import progress
from common.data.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test sets."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_pipe_gets_a_line_every_few_seconds(clock: list[float]) -> None:
    stream = io.StringIO()
    bar = Progress("images", 100, stream)
    for _ in range(10):
        clock[0] += 2
        bar.add(10)
    bar.close()
    assert stream.getvalue() == "images 30/100 (5/s, 14 s left)\nimages 60/100 (5/s, 8 s left)\nimages 90/100 (5/s, 2 s left)\n"


def test_fast_work_is_silent_in_a_pipe(clock: list[float]) -> None:
    stream = io.StringIO()
    bar = Progress("images", 2, stream)
    bar.add(2)
    bar.close()
    assert stream.getvalue() == ""


def test_a_terminal_gets_one_bar_that_ends_with_its_line(clock: list[float]) -> None:
    stream = Terminal()
    bar = Progress("images", 4, stream)
    clock[0] += 1
    bar.add(2)
    clock[0] += 1
    bar.add(2)
    bar.close()
    assert stream.getvalue().split("\r")[1:] == [
        "[###############               ] images 2/4 (2/s, 1 s left)\x1b[K",
        "[##############################] images 4/4 (2/s, 0 s left)\x1b[K",
        "[##############################] images 4/4 (2/s, 0 s left)\x1b[K\n",
    ]
