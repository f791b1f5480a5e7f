"""What is shown of a log: as it comes, byte for byte to a pipe, harmless on a terminal; and what is talked beside it."""

from __future__ import annotations

import io
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_launch.commands.runs.display import Display
from mlops_launch.commands.runs.streams import Printable, Streams
from mlops_launch.core.log.lines import Cut, LineReader, Metrics
from mlops_launch.core.printable import one_line, printable

HARMLESS = set("\b\t\n\r")
KINDS = ("Cc", "Zl", "Zp")


class Screen:
    """A terminal's stdout and stderr, or two pipes, with all that was written to both in order."""

    def __init__(self, terminal: bool, quiet: bool = False) -> None:
        self.file = io.BytesIO()
        talk = io.TextIOWrapper(self.file, encoding="utf-8", write_through=True, newline="")
        data: Any = Printable(talk) if terminal else self.file
        self.display, self.reader, self.metrics = Display(Streams(data, talk, terminal, quiet)), LineReader(), Metrics()

    def feed(self, chunk: bytes) -> bytes:
        self.show(self.reader.feed(chunk))
        return self.file.getvalue()

    def show(self, cut: Cut) -> None:
        self.display.show(cut, self.metrics.take(cut.lines), self.metrics.step)

    def end(self) -> bytes:
        self.show(self.reader.end())
        self.display.end()
        self.display.end_with_result()
        return self.file.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_a_silent_time_says_what_is_waited_for(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    screen, now = Screen(terminal), [100.0]
    monkeypatch.setattr("mlops_launch.commands.runs.display.time.monotonic", lambda: now[0])

    def wait(what: str | None, seconds: int) -> None:
        for _ in range(5 * seconds):
            screen.display.silent(what)
            now[0] += 0.2

    clear = b"\r\x1b[K"
    wait("starting", 5)
    waited = clear + b"starting, 3 s" + clear + b"starting, 4 s" if terminal else b""
    assert screen.file.getvalue() == waited
    shown = waited + (clear if terminal else b"") + b"start\n"
    assert screen.feed(b"start\n") == shown
    wait("first step", 4)
    shown += clear + b"first step, 3 s" if terminal else b""
    assert screen.file.getvalue() == shown
    screen.feed(b"half a li")
    wait("first step", 4)  # a line that has begun is not written over
    screen.feed(b"ne\n")
    wait(None, 9)
    assert screen.end() == shown + (clear if terminal else b"") + b"half a line\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_bar_is_shown_as_it_comes(terminal: bool) -> None:
    screen = Screen(terminal)
    assert screen.feed(b" 10%|#  |\r") == b" 10%|#  |\r"
    assert screen.feed(b" 50%|## |\r") == b" 10%|#  |\r 50%|## |\r"
    assert screen.feed(b"100%|###|\n") == b" 10%|#  |\r 50%|## |\r100%|###|\n"


def test_the_line_of_progress_waits_until_a_bar_has_ended() -> None:
    screen = Screen(terminal=True)
    screen.feed(b"step=1/2\n")
    drawn = screen.file.getvalue()
    assert b"1/2" in drawn
    assert screen.feed(b"50%\r") == drawn + b"\r\x1b[K50%\r"
    assert b"1/2" in screen.feed(b"100%\n")[len(drawn) + len(b"\r\x1b[K50%\r100%\n") :]


def test_talk_begins_its_own_line_on_a_terminal() -> None:
    screen = Screen(terminal=True)
    screen.feed(b"50%")
    screen.display.console.info("saving")
    assert screen.file.getvalue() == b"50%\nsaving\n"


def test_the_result_line_is_the_last_one() -> None:
    screen = Screen(terminal=False)
    assert screen.feed(b"a\nresult top1=1\n") == b"a\n"
    screen.display.console.info("archive: x")
    assert screen.end() == b"a\narchive: x\nresult top1=1\n"


def test_a_result_line_that_is_not_the_last_keeps_its_place() -> None:
    screen = Screen(terminal=False)
    screen.feed(b"result top1=1\n")
    assert screen.feed(b"bye") == b"result top1=1\nbye"


def test_quiet_shows_the_result_line_only() -> None:
    screen = Screen(terminal=False, quiet=True)
    assert screen.feed(b"50%\r") + screen.feed(b"100%\nstep=1/2\nresult top1=1\n") == b""
    assert screen.end() == b"result top1=1\n"


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"result a=1", b"step=1/2", b"\n"]), max_size=8))
def test_a_pipe_gets_every_byte_in_order(chunks: list[bytes]) -> None:
    screen = Screen(terminal=False)
    for chunk in chunks:
        screen.feed(chunk)
    stream = b"".join(chunks)
    assert screen.end() in (stream, stream + b"\n")


@given(st.lists(st.binary(max_size=20) | st.sampled_from([b"\x1b[2J", b"\x1b]0;title\x07", "\u202e\x9b".encode(), b"\x9b"]), max_size=8))
def test_a_terminal_gets_nothing_that_steers_it(chunks: list[bytes]) -> None:
    screen = Screen(terminal=True)
    for chunk in chunks:
        screen.feed(chunk)
    shown = screen.end().decode()
    assert [letter for letter in shown if unicodedata.category(letter) in KINDS and letter not in HARMLESS] == []


def test_a_letter_that_is_cut_arrives_whole_and_colors_are_left_out() -> None:
    screen = Screen(terminal=True)
    screen.feed("\x1b[32mgrün".encode()[:-2])
    assert screen.feed("grün".encode()[-2:] + b" \xff \x1b[2J\n").decode() == "grün \\xff ^[[2J\n"


@given(st.text())
def test_what_is_printable_stays_so(text: str) -> None:
    assert printable(printable(text)) == printable(text)
    assert not HARMLESS & set(one_line(text))
