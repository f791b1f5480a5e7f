"""The copy of a launcher's log on the output volume: which part is one container's, and what it has more. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from mlops_launch import contract


@dataclass(frozen=True)
class Part:
    """Bytes of the copy.

    Args:
        begin: of the first byte.
        end: behind the last byte.
    """

    begin: int
    end: int


def part(starts: str, size: int, host: str, started: datetime) -> Part | None:
    """Return what one container has written to the copy, or None when that is not known.

    Args:
        starts: the text of `launcher.log.starts`: `offset=BYTES time=UNIX_SECONDS host=NAME` a line, oldest first.
        size: of the copy, bytes.
        host: the pod's hostname.
        started: when its container started.
    """
    lines = [contract.parse_fields(line) for line in starts.split("\n")]
    known = [fields for fields in lines if {"offset", "time", "host"} <= fields.keys()]
    for fields, following in zip(known, [*known[1:], {"offset": str(size)}], strict=True):
        if fields["host"] == host and float(fields["time"]) >= started.timestamp():
            return Part(int(fields["offset"]), int(following["offset"]))
    return None


def lines_more(archived: Iterable[bytes], copy: Iterable[bytes]) -> int | None:
    """Return how many lines the copy has that the archive has not; None unless it has all of the archive's, in their order."""
    more = 0
    lines = iter(copy)
    for line in archived:
        for candidate in lines:
            if candidate == line:
                break
            more += 1
        else:
            return None
    return more + sum(1 for _ in lines)
