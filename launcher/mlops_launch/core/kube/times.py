"""Times as the API server and the archive write them, and how long ago they were."""

from __future__ import annotations

from datetime import datetime


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
