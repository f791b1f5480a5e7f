"""A log cut into lines, and the figures in it: the newest step line, the newest evaluation and the result line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from mlops_launch.contract import EVALUATION, OUT_OF_MEMORY, RESULT, START, STEP, Value, parse_fields

HELD: Final = 1 << 16  # bytes of a line whose end is waited for; a longer one says nothing to us
_STEP_PREFIX: Final = f"{STEP}=".encode()
START_LINE: Final = f"{START} comm=".encode()  # how a training's first line begins
_RESULT_PREFIX: Final = f"{RESULT} ".encode()
_SAVED_PREFIX: Final = b"stopped on request after step "  # of common/training/loop.py
_EVALUATION_PREFIX: Final = f"{EVALUATION} ".encode()
_OURS: Final = (_STEP_PREFIX, _EVALUATION_PREFIX, _RESULT_PREFIX, f"{OUT_OF_MEMORY} ".encode())
# A line feed comes first in each pattern: the search for it is the fastest way through lines that say nothing.
_TELLING: Final = re.compile(b"\n(?:%s)[^\n]*" % b"|".join((_STEP_PREFIX, _EVALUATION_PREFIX, _RESULT_PREFIX, _SAVED_PREFIX, START_LINE)))
_RESULTS: Final = re.compile(b"\n%s[^\n]*" % _RESULT_PREFIX)
_STEPS: Final = re.compile(r"([0-9]{1,18})/([0-9]{1,18})")
_STOPPED_AT: Final = re.compile(rb"[0-9]{1,18}\b")
_LONGEST_NUMBER: Final = 32  # letters


@dataclass(frozen=True)
class Cut:
    """A chunk of a log, cut at line feeds.

    Args:
        rest: more of the line that `opened` has begun, with its line feed if it ends here.
        lines: whole lines, with their line feeds.
        opened: the beginning of a line that is passed on before its end has come.
    """

    rest: bytes = b""
    lines: bytes = b""
    opened: bytes = b""

    @property
    def parts(self) -> list[bytes]:
        """All of it as lines without their ends; each part of a line that was too long to wait for is one."""
        lines = self.lines.split(b"\n")[:-1]
        return [*filter(None, [self.rest.removesuffix(b"\n")]), *lines, *filter(None, [self.opened])]


class LineReader:
    """Cuts a stream of chunks into lines; what cannot become a line that says something to us is passed on at once.

    Args:
        wait: for the end of every line, up to HELD bytes.
    """

    def __init__(self, wait: bool = False) -> None:
        self._wait = wait
        self._held = b""  # the beginning of a line
        self._inside = False  # of a line whose beginning was passed on

    def feed(self, chunk: bytes) -> Cut:
        """Return what `chunk` brings."""
        rest = b""
        if self._inside:
            end = chunk.find(b"\n") + 1
            if not end:
                return Cut(rest=chunk)
            rest, chunk, self._inside = chunk[:end], chunk[end:], False
        chunk = self._held + chunk
        end = chunk.rfind(b"\n") + 1
        lines, self._held = chunk[:end], chunk[end:]
        if self._waits():
            return Cut(rest, lines)
        opened, self._held, self._inside = self._held, b"", True
        return Cut(rest, lines, opened)

    def end(self) -> Cut:
        """Return the last line, with a line feed, if it had none."""
        held, self._held, self._inside = self._held, b"", False
        return Cut(lines=held + b"\n") if held else Cut()

    def _waits(self) -> bool:
        held = self._held
        ours = self._wait or any(held.startswith(prefix) or prefix.startswith(held) for prefix in _OURS)
        return not held or ours and len(held) <= HELD


@dataclass
class Metrics:
    """What the log has said so far.

    Args:
        step: the fields of the newest step line, over the images of training; `steps` is the total.
        evaluation: the fields of the newest evaluation line, over the validation images.
        result: the fields of the result line.
        started: a training's first line has come.
        saved: it was asked to stop, and says that it has saved.
    """

    step: dict[str, Value] = field(default_factory=dict)
    evaluation: dict[str, Value] = field(default_factory=dict)
    result: dict[str, Value] = field(default_factory=dict)
    started: bool = False
    saved: bool = False

    def take(self, lines: bytes) -> list[tuple[int, int]]:
        """Take in whole lines; return where the step lines among them are: first byte, byte behind the line feed."""
        text = b"\n" + lines
        return [found.span() for found in _TELLING.finditer(text) if self.read(found[0][1:])]

    def read(self, line: bytes) -> bool:
        """Take in a line of the log, whatever is in it; return whether it was a step line."""
        if len(line) > HELD:
            return False
        if line.startswith(_STEP_PREFIX):
            fields = typed_fields(line.decode(errors="replace"))
            found = _STEPS.fullmatch(str(fields.pop(STEP, "")))
            if found is not None:
                self.step = {"step": 0, "steps": 0, **fields} | {"step": int(found[1]), "steps": int(found[2])}
                return True
        elif line.startswith(START_LINE):
            self.started, self.saved = True, False
        elif line.startswith(_SAVED_PREFIX):
            self.saved = True
            # Not every step has a line of its own.
            stopped = _STOPPED_AT.match(line[len(_SAVED_PREFIX) :])
            if self.step and stopped:
                self.step = self.step | {"step": int(stopped[0])}
        elif line.startswith(_EVALUATION_PREFIX):
            self.evaluation = typed_fields(line.decode(errors="replace"))
        elif is_result(line):
            self.result = typed_fields(line.decode(errors="replace"))
        return False


def is_result(line: bytes) -> bool:
    """Return whether a line of the log is the result line."""
    return line.startswith(_RESULT_PREFIX) and len(line) <= HELD


def headed(head: bytes, lines: Iterable[bytes]) -> bytes:
    """Return lines, which come without their ends, each with `head` in front."""
    return b"".join(head + line + b"\n" for line in lines)


def results(lines: bytes) -> bytes:
    """Return the result lines among whole lines."""
    found = _RESULTS.findall(b"\n" + lines)
    return b"".join(line[1:] + b"\n" for line in found if is_result(line[1:]))


def typed_fields(line: str) -> dict[str, Value]:
    """Return the fields of a log line, numbers as numbers.

    >>> typed_fields("result top1=0.98 step=120 output=/a")
    {'top1': 0.98, 'step': 120, 'output': '/a'}
    """
    return {key: _typed(value) for key, value in parse_fields(line).items()}


def _typed(text: str) -> Value:
    # Python reads 1_000 and the digits of every script as a number.
    if "_" in text or not text.isascii() or len(text) > _LONGEST_NUMBER:
        return text
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        # JSON knows neither infinity nor NaN: those stay words.
        return value if abs(value) < float("inf") else text
    return text
