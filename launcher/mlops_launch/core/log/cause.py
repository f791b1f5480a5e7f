"""What the log of a failed run says of the cause: the trainer's own error line and its hint, else the last line of a traceback."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mlops_launch.core.log.lines import START_LINE

TAIL: Final = 1 << 20  # bytes of a log's end that are looked at: MPI's own words behind an error are a few thousand
LONGEST: Final = 500  # letters of a message
HINT_WITHIN: Final = 4  # lines behind the error's, among which other ranks' errors may stand

# `error: …` is the trainer's, `Error: …` the entry point's.
_ERROR: Final = re.compile(rb"^[eE]rror: (?P<message>[^\n]*\S[^\n]*)(?P<behind>(?:\n[^\n]*){0,%d})" % HINT_WITHIN, re.MULTILINE)
_HINT: Final = re.compile(rb"^hint: (?P<hint>[^\n]*\S[^\n]*)", re.MULTILINE)
# The first line behind the frames, which are indented.
_TRACEBACK: Final = re.compile(rb"^Traceback \(most recent call last\):\n(?:[ \t][^\n]*\n)*(?P<message>[^\s\n][^\n]*)", re.MULTILINE)


@dataclass(frozen=True)
class Cause:
    """An error as the log has it: its message, and its hint where it has one."""

    message: str
    hint: str | None = None


def find_cause(log: bytes) -> Cause | None:
    r"""Return the first error of the newest training in a log, or of its end; None where the log names none.

    The first one counts: when a rank ends, the others complain of what that does to them.

    >>> find_cause(b"start comm=single\nerror: no such dataset folder: /d\n\nhint: set DATASET_DIR\n")
    Cause(message='no such dataset folder: /d', hint='set DATASET_DIR')
    """
    begin = log.rfind(b"\n" + START_LINE)
    for text in (log[max(begin, 0) :], log) if begin > 0 else (log,):
        if found := _ERROR.search(text):
            hint = _HINT.search(found["behind"])
            return Cause(_text(found["message"]), _text(hint["hint"]) if hint else None)
        if found := _TRACEBACK.search(text):
            return Cause(_text(found["message"]))
    return None


def _text(line: bytes) -> str:
    text = line.decode(errors="replace").strip()
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
