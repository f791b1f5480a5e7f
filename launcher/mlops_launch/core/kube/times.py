"""Times as the API server and the archive write them, and how long ago they were."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_CENTURY_S: Final = 36500.0 * 86400


def moment(stamp: str) -> datetime:
    """Return the time of an RFC 3339 timestamp; nanoseconds are cut to microseconds."""
    head, dot, tail = stamp.replace("Z", "+00:00").partition(".")
    if not dot:
        return datetime.fromisoformat(head)
    zone = max(tail.find("+"), tail.find("-"))
    return datetime.fromisoformat(f"{head}.{tail[:zone][:6]:0<6}{tail[zone:]}")


def iso(time: datetime) -> str:
    """Return a time as records have it."""
    return time.isoformat(timespec="milliseconds")


def seconds_of(duration: str) -> float | None:
    """Return the seconds of a duration, or None when it is not one; nothing lasts longer than a century.

    >>> [seconds_of(duration) for duration in ("90", "1.5s", "30m", "12h", "2d", "2 days")]
    [90.0, 1.5, 1800.0, 43200.0, 172800.0, None]
    """
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)([smhd]?)", duration)
    return None if match is None else min(float(match[1]) * _UNITS[match[2] or "s"], _CENTURY_S)


def short(seconds: float) -> str:
    """Return a duration in the largest unit that there are two of, or that it is exactly.

    >>> [short(seconds) for seconds in (0, 119, 120, 7199, 7200, 200000)]
    ['0s', '119s', '2m', '119m', '2h', '2d']
    """
    whole = max(0, int(seconds))
    unit, size = next(((unit, size) for unit, size in reversed(_UNITS.items()) if whole >= 2 * size or whole == size), ("s", 1))
    return f"{whole // size}{unit}"
