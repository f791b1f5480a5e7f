"""What a log is read as: text, gaps, and marks of where a reader has come to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gap:
    """Lines may be missing here.

    Args:
        after: the timestamp of the last line before it; None before the first line.
        before: the timestamp of the first line behind it; None at the end of the log.
    """

    after: str | None
    before: str | None


@dataclass(frozen=True)
class Mark:
    """Up to here all lines have been handed on: what another reader needs to resume from here.

    Args:
        lines: the last ones, all of one timestamp, timestamps included; of a long one its beginning.
    """

    lines: tuple[bytes, ...]


Piece = bytes | Gap
