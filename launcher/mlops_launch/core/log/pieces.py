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


def gap_text(gap: Gap) -> str:
    """Return what may be missing, a sentence's part."""
    if gap.after is None and gap.before is None:
        return "the log's beginning may be missing: the kubelet has rotated it away"
    if gap.after is None:
        return f"the log's beginning may be missing, before {gap.before}: the kubelet has rotated it away"
    if gap.before is None:
        return f"the log's end may be missing, after {gap.after}"
    return f"lines may be missing between {gap.after} and {gap.before}: the kubelet rotated the log meanwhile"
