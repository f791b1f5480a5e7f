"""Put the log of a container together again from connections that break: no line twice, no loss unsaid. No I/O.

A log comes as chunks of `TIMESTAMP TEXT` lines. A new connection asks for the lines since a time, which the server
rounds down to a second, so that lines come again; they are recognized by timestamp and text, in their order. The
server has the container's current file only: when the last line that is known does not come back, the file was
rotated since, and lines may be missing. That is a `Gap`.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final

WINDOW: Final = 1 << 18  # bytes of known lines, to recognize them when they come again
REMEMBERED: Final = 20_000  # pieces whose times are kept, to place a rotation
_PREFIX: Final = re.compile(rb"^\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d) ")


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
    """Up to here all lines have been handed on: what another `LogStream` needs to go on from here.

    Args:
        lines: the last ones, all of the newest timestamp, timestamps included.
    """

    lines: tuple[bytes, ...]


class LogStream:
    """The log of one container. Call `begin`, then `feed` for each chunk, for every connection; `end` at the very end.

    Args:
        mark: where another one has come to; None is the log's beginning.
    """

    def __init__(self, mark: Mark | None = None) -> None:
        self.first: str | None = None  # timestamp of the first line
        self._heard = self._words = False  # lines of the log, other lines: since `begin`
        self._rest = b""  # of a line whose end has not come
        self._recent: deque[bytes] = deque()  # whole lines, timestamps included
        self._recent_size = 0
        self._forgot = False
        self._times: deque[tuple[bytes, bytes]] = deque(maxlen=REMEMBERED)  # of each piece: its first line's, its last line's
        self._gaps: list[Gap] = []
        self._known: list[bytes] = []  # what may come again
        self._floor: bytes = b""
        self._again: list[bytes] = []  # what has come again so far
        self._shift = 0  # `_again` equals `_known` from here on
        if mark is not None:
            self._new(b"".join(mark.lines))

    @property
    def synced(self) -> bool:
        """Whether all that has come since `begin` is understood: the last known line has come again."""
        return not self._known

    @property
    def refused(self) -> bool:
        """Whether only the server's own words have come since `begin`: `unable to retrieve container logs`."""
        return self._words and not self._heard

    @property
    def last(self) -> str | None:
        """The timestamp of the last line."""
        return _stamp(self._tail()[-1:]) if self._recent else None

    @property
    def since(self) -> str | None:
        """The time to ask the next connection from; None for the whole log."""
        return _stamp(self._tail())

    @property
    def mark(self) -> Mark | None:
        """Where it has come to; None at the beginning and while lines come again."""
        if not self._recent or not self.synced:
            return None
        last = self._times[-1][1]
        lines: list[bytes] = []
        for piece in reversed(self._recent):
            found = piece.splitlines(keepends=True)
            same = [line for line in found if _moment(line) == last]
            lines[:0] = same
            if len(same) < len(found):
                break
        return Mark(tuple(lines))

    def begin(self) -> None:
        """Start a connection that was asked from `since`."""
        self._rest, self._again, self._shift = b"", [], 0
        self._heard = self._words = False
        self._known = self._tail()
        self._floor = _moment(self._known[0]) if self._known else b""

    def feed(self, chunk: bytes) -> list[bytes | Gap]:
        """Return the text of new lines, with line ends and without timestamps, and gaps, in order."""
        whole, newline, self._rest = (self._rest + chunk).rpartition(b"\n")
        return self._lines(whole + newline) if newline else []

    def rotated(self, head: str) -> list[Gap] | None:
        """Return the gap that a rotation may have torn, none when it is known already; None when the log is not there yet.

        A kubelet that follows a log goes over to the new file as soon as there is one: what was written to the old file
        just before can be lost without a break of the connection.

        Args:
            head: the timestamp of the first line of a new file.
        """
        moment = _moment(head.encode())
        if not self._times or self._times[-1][1] < moment:
            return None
        before = min(time for pair in self._times for time in pair if time >= moment)
        after = max((time for pair in self._times for time in pair if time < moment), default=None)
        if after is None or any(_inside(moment, gap) for gap in self._gaps):
            return []
        self._gaps.append(Gap(after.decode(), before.decode()))
        return self._gaps[-1:]

    def end(self, complete: bool = True) -> list[bytes | Gap]:
        """Return what is left: a last line without its end; a gap when lines may be missing at the end.

        Args:
            complete: the last connection came to the log's end; a gap all the same when the last known line was not in it.
        """
        found = self._lines(self._rest + b"\n") if _PREFIX.match(self._rest) else []
        self._rest = b""
        if self._known or not complete:
            found.append(Gap(self.last, None))
            self._known = []
        return found

    def _lines(self, lines: bytes) -> list[bytes | Gap]:
        if not self._known:
            return self._new(lines)
        pieces = lines.splitlines(keepends=True)
        for number, line in enumerate(pieces, 1):
            if not _PREFIX.match(line):
                self._words = True
                continue
            self._heard = True
            if _moment(line) < self._floor:
                continue
            self._again.append(line)
            found = self._align()
            if found is not None:
                return found + self._new(b"".join(pieces[number:]))
        return []

    def _align(self) -> list[bytes | Gap] | None:
        """Return what is new in `_again` when that is clear, else None.

        The longest overlap counts: `_again` is compared with all that is known, then with ever shorter ends of it.
        """
        known, again = self._known, self._again
        while True:
            overlap = len(known) - self._shift
            if again[:overlap] == known[self._shift : self._shift + len(again)]:
                break
            self._shift += 1
        if len(again) < overlap:
            return None
        found: list[bytes | Gap] = [] if overlap else [Gap(_stamp(known[-1:]), _stamp(again))]
        self._gaps += [gap for gap in found if isinstance(gap, Gap)]
        self._known, self._again = [], []
        return found + self._new(b"".join(again[overlap:]))

    def _new(self, lines: bytes) -> list[bytes | Gap]:
        text = _strip(lines)
        if text is None:
            kept = [line for line in lines.splitlines(keepends=True) if _PREFIX.match(line)]
            self._words = self._words or len(kept) < lines.count(b"\n")
            lines = b"".join(kept)
            text = b"".join(line.partition(b" ")[2] for line in kept)
        self._heard = self._heard or bool(lines)
        if not lines:
            return []
        if self.first is None:
            self.first = _stamp([lines[:64]])
        self._times.append((_moment(lines[:64]), _moment(lines[lines.rfind(b"\n", 0, -1) + 1 :])))
        self._recent.append(lines)
        self._recent_size += len(lines)
        # Lines of one timestamp are forgotten together: half of them could not be told from new ones when all come again.
        while self._recent_size - len(self._recent[0]) >= WINDOW and _moment(self._recent[1][:64]) < self._times[-1][1]:
            self._recent_size -= len(self._recent.popleft())
            self._forgot = True
        return [text]

    def _tail(self) -> list[bytes]:
        """Return the last lines, beginning where the timestamp changes: the server can be asked from there."""
        lines = b"".join(self._recent).splitlines(keepends=True)
        if not self._forgot:
            return lines
        moments = [_moment(line) for line in lines]
        return next((lines[n:] for n in range(1, len(lines)) if moments[n] > max(moments[n - 1], moments[0])), lines[-1:])


def _inside(moment: bytes, gap: Gap) -> bool:
    after, before = (gap.after or "").encode(), (gap.before or "9").encode()
    return after <= moment <= before


def _strip(lines: bytes) -> bytes | None:
    """Return whole lines without their timestamps when all are of one day and zone, else None: in a tenth of the time."""
    prefix = _PREFIX.match(lines)
    if prefix is None:
        return None
    day, size = lines[:11], prefix.end()
    pieces = lines.split(b"\n")
    if lines.count(b"\n" + day) != len(pieces) - 2:
        return None
    return b"\n".join([piece[size:] for piece in pieces])


def _stamp(lines: list[bytes]) -> str | None:
    return lines[0].partition(b" ")[0].decode() if lines else None


def _moment(line: bytes) -> bytes:
    """Return a line's timestamp in UTC, so that it can be compared as text."""
    stamp = line.partition(b" ")[0]
    if stamp.endswith(b"Z"):
        return stamp
    clock, zone = stamp[:-6].decode(), stamp[-6:].decode()
    seconds, _, fraction = clock.partition(".")
    utc = datetime.fromisoformat(seconds + zone).astimezone(timezone.utc)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{fraction or '0'}Z".encode()
