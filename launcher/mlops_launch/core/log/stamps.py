"""The timestamp in front of each line of a container's log: RFC 3339, then a blank."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Final

_STAMP: Final = rb"\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d) "
STAMP: Final = re.compile(_STAMP)
_LINE_STAMP: Final = re.compile(rb"\n" + _STAMP)  # three times as fast as `^`: the line feed is searched for first
STAMP_SIZE: Final = 64  # bytes; a timestamp is shorter


def without_stamps(lines: bytes) -> tuple[bytes, int]:
    """Return lines without the timestamps in front of them, and how many there were."""
    text, count = _LINE_STAMP.subn(b"\n", b"\n" + lines)
    return text[1:], count


def stamp_of(line: bytes) -> str:
    """Return a line's timestamp as it stands there."""
    return line[:STAMP_SIZE].partition(b" ")[0].decode(errors="replace")


def moment_of(line: bytes) -> bytes:
    """Return a line's timestamp in UTC, so that it can be compared as text."""
    stamp = line[:STAMP_SIZE].partition(b" ")[0]
    if stamp.endswith(b"Z"):
        return stamp
    clock, zone = stamp[:-6].decode(errors="replace"), stamp[-6:].decode(errors="replace")
    seconds, _, fraction = clock.partition(".")
    try:
        utc = datetime.fromisoformat(seconds + zone).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return stamp
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{fraction or '0'}Z".encode()
