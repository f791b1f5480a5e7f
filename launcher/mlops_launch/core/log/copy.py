"""The copy of a launcher's log on the output volume: which part is one container's, and what it has more. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mlops_launch import contract

_START: Final = re.compile(r"offset=([0-9]{1,18}) time=([0-9]{1,12}(?:\.[0-9]{1,9})?) ")


@dataclass(frozen=True)
class Part:
    """Bytes of the copy.

    Args:
        begin: of the first byte.
        end: behind the last byte.
    """

    begin: int
    end: int


def part(starts: str, size: int, host: str, started: datetime, runs: int = 1) -> Part | None:
    """Return what one container has written to the copy, or None when that is not known.

    Args:
        starts: the text of `launcher.log.starts`: `offset=BYTES time=UNIX_SECONDS host=NAME` a line, oldest first.
        size: of the copy, bytes.
        host: the pod's hostname.
        started: when its container started, or its pod, where the container has started several times.
        runs: how many times it has started.
    """
    begun = [start for line in starts.split("\n") if (start := _start(line)) is not None]
    for number, (offset, time, name) in enumerate(begun):
        if name == host and time >= started.timestamp():
            mine = begun[number : number + runs]
            end = begun[number + runs][0] if number + runs < len(begun) else size
            return Part(offset, end) if len(mine) == runs and {one[2] for one in mine} == {host} and offset <= end <= size else None
    return None


def _start(line: str) -> tuple[int, float, str] | None:
    """Return offset, time and host of a line; None for a line that was not written to its end, or not by an entry point."""
    found = _START.match(line)
    fields = contract.parse_fields(line) if found else {}
    return (int(found[1]), float(found[2]), fields["host"]) if found and "host" in fields else None


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
