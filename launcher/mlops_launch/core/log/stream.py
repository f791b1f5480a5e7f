"""Put the log of a container together again from connections that break: no line twice, no loss unsaid. No I/O.

A log comes as chunks of `TIMESTAMP TEXT` lines; a line ends at a line feed, whatever else is in it. Each connection brings the
container's current file from its beginning, and the lines that are known are found in it by timestamp and text, so that a
clock that is set back neither hides a line nor doubles one. The server has the current file only: when the last line that
is known is not in it, the file was rotated since, and lines may be missing. That is a `Gap`.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final

from mlops_launch.core.log.search import Search

LONG: Final = 1 << 16  # bytes of a line whose end is waited for; a longer one is handed on as it comes
KEY: Final = 1 << 10  # bytes by which a longer one is known again
REMEMBERED: Final = 20_000  # pieces whose times are kept, to place a rotation
_STAMP: Final = re.compile(rb"^\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d) ", re.MULTILINE)
_STAMP_SIZE: Final = 64  # bytes; a timestamp is shorter


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
    """Up to here all lines have been handed on: what another `LogStream` needs to resume from here.

    Args:
        lines: the last ones, all of one timestamp, timestamps included; of a long one its beginning.
    """

    lines: tuple[bytes, ...]


Piece = bytes | Gap


class LogStream:
    """The log of one container. Call `begin`, then `feed` for each chunk, for every connection; `end` at the very end.

    Args:
        mark: where another one has come to; None is the log's beginning.
    """

    def __init__(self, mark: Mark | None = None) -> None:
        self.first: str | None = None  # timestamp of the first line
        self.unsure = False  # the file is another one than before: only its end tells whether the last known line is in it
        self._heard = self._words = False  # lines of the log, other lines: since `begin`
        self._rest = b""  # of a line whose end has not come
        self._last: list[bytes] = list(mark.lines) if mark else []  # keys of the last lines, all of one timestamp
        self._open = 0  # bytes that were handed on of the last one, when its end was not
        self._lost = False  # the last line is in the file no more
        self._search: Search | None = None
        self._file = self._head = b""  # key of the first line: of the file that was read before, of this connection's
        self._inside = self._passing = False  # a long line has begun; it is handed on
        self._size = 0  # of the long line, so far
        self._times: deque[tuple[bytes, bytes]] = deque(maxlen=REMEMBERED)  # of each piece: its first line's, its last line's
        self._gaps: list[Gap] = []

    @property
    def synced(self) -> bool:
        """Whether all that has come since `begin` is understood: the last known line has come again."""
        return self._search is None and not self._lost

    @property
    def refused(self) -> bool:
        """Whether only the server's own words have come since `begin`: `unable to retrieve container logs`."""
        return self._words and not self._heard

    @property
    def last(self) -> str | None:
        """The timestamp of the last line."""
        return _stamp(self._last[-1]) if self._last else None

    @property
    def mark(self) -> Mark | None:
        """Where it has come to; None at the beginning, inside a long line, and while lines come again."""
        return Mark(tuple(self._last)) if self._last and self.synced and not self._open else None

    def begin(self) -> None:
        """Start a connection, which brings the file from its beginning."""
        self._rest = self._head = b""
        self._heard = self._words = self._inside = self._passing = False
        self._search = Search(self._last) if self._last and not self._lost else None

    def feed(self, chunk: bytes) -> list[Piece]:
        """Return the text of new lines, with line ends and without timestamps, and gaps, in order."""
        found: list[Piece] = []
        if self._inside:
            part, newline, chunk = chunk.partition(b"\n")
            found += self._more(part + newline)
            if not newline:
                return found
        lines, newline, self._rest = (self._rest + chunk).rpartition(b"\n")
        found += self._lines(lines + newline)
        if len(self._rest) >= LONG:
            found += self._begin_long(self._rest)
            self._rest = b""
        return found

    def settle(self) -> list[Piece]:
        """The file has been read to its end: a last known line that was not in it is lost, and the next connection brings what is in it.

        Returns:
            New lines, when the last known one came without its line end.
        """
        found: list[Piece] = []
        if self._search is not None and self._heard:
            new = self._search.take(_key(self._rest + b"\n")) if self._rest else None
            self._search, self._lost = None, new is None
            if new is not None:
                self._file, self._rest = self._head, self._rest if new else b""
                found = self._new(b"".join(new[:-1]))
            self._open = 0
        self.unsure = self.unsure and self._search is not None
        return found

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

    def end(self, complete: bool = True) -> list[Piece]:
        """Return what is left: a last line without its end; a gap when lines may be missing at the end.

        Args:
            complete: the last connection came to the log's end; a gap all the same when the last known line was not in it.
        """
        found = self._new(self._rest) if self._search is None and self._rest else []
        self._rest = b""
        if not (self.synced and complete):
            found.append(Gap(self.last, None))
            self._search, self._lost = None, False
        return found

    def _lines(self, lines: bytes) -> list[Piece]:
        """Take whole lines."""
        found: list[Piece] = []
        begin = 0
        while self._search is not None and begin < len(lines):
            begin = self._search.skip(lines, begin)
            end = lines.find(b"\n", begin) + 1 or len(lines)
            found += self._again(lines[begin:end])
            begin = end
        return found + self._new(lines[begin:])

    def _again(self, line: bytes) -> list[Piece]:
        """Take a line, or the beginning of a long one, that may be known."""
        if not line or not _STAMP.match(line):
            self._words = self._words or bool(line)
            return []
        assert self._search is not None
        self._heard, self._head = True, self._head or _key(line)
        new = self._search.take(_key(line))
        self.unsure = new is None and not self._search.at_head and self._head != self._file
        if new is None:
            return []
        self._search, self._file = None, self._head
        if not new:
            return self._resume(line)
        # One of the file's first lines was taken for a known one, of which there were several.
        cut = self._open or not all(key.endswith(b"\n") for key in new[:-1])
        self._open, self._lost = 0, bool(cut)
        earlier = [] if cut else self._new(b"".join(new[:-1]))
        return earlier + (self._new(line) if line.endswith(b"\n") else self._new_long(line))

    def _resume(self, line: bytes) -> list[Piece]:
        """Take the last known line, or its beginning: hand on what was not before."""
        handed_on, whole = self._open, line.endswith(b"\n")
        if not handed_on:
            return []
        self._passing, self._size = not whole, len(line)
        self._open = 0 if whole else max(handed_on, len(line))
        return [line[handed_on:]] if len(line) > handed_on else []

    def _begin_long(self, beginning: bytes) -> list[Piece]:
        self._inside, self._passing = True, False
        if self._search is not None:
            return self._again(beginning)
        if not _STAMP.match(beginning):
            self._words = True
            return []
        return self._new_long(beginning)

    def _new_long(self, beginning: bytes) -> list[Piece]:
        found = self._new(beginning)
        self._passing, self._size, self._open = True, len(beginning), len(beginning)
        return found

    def _more(self, part: bytes) -> list[Piece]:
        """Take more of a long line."""
        self._inside = not part.endswith(b"\n")
        if not self._passing:
            return []
        known = max(0, self._open - self._size)
        self._size += len(part)
        self._open = max(self._open, self._size) if self._inside else 0
        return [part[known:]] if len(part) > known else []

    def _new(self, lines: bytes) -> list[Piece]:
        """Take new lines; the last one may lack its end."""
        text, count = _STAMP.subn(b"", lines)
        if count < lines.count(b"\n") + (not lines.endswith(b"\n")):
            kept = [line for line in _split(lines) if _STAMP.match(line)]
            self._words = self._words or bool(lines)
            lines = b"".join(kept)
            text = b"".join(_STAMP.sub(b"", line, count=1) for line in kept)
        if not lines:
            return []
        first = _stamp(lines)
        self._heard = True
        if not self._head:
            self._head = self._file = _key(lines[: lines.find(b"\n") + 1] or lines)
        self.first = self.first or first
        found: list[Piece] = [Gap(self.last, first)] if self._lost else []
        self._gaps += [gap for gap in found if isinstance(gap, Gap)]
        self._lost = False
        self._remember(lines)
        self._times.append((_moment(lines), _moment(self._last[-1])))
        return [*found, text]

    def _remember(self, lines: bytes) -> None:
        """Keep the last lines, all that have the newest timestamp."""
        end, keys = len(lines), []
        newest = None
        while end:
            begin = lines.rfind(b"\n", 0, end - 1) + 1
            stamp = _stamp(lines[begin : begin + _STAMP_SIZE])
            newest = newest or stamp
            if stamp != newest:
                break
            keys.append(_key(lines[begin:end]))
            end = begin
        if end or self.last != newest:
            self._last = []
        self._last = [*self._last, *reversed(keys)]


def _key(line: bytes) -> bytes:
    """Return what a line is known by: itself, or the beginning of a long one, which has no line end."""
    return line if len(line) <= LONG and line.endswith(b"\n") else line[:KEY].rstrip(b"\n")


def _split(lines: bytes) -> list[bytes]:
    *whole, rest = lines.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


def _inside(moment: bytes, gap: Gap) -> bool:
    after, before = (gap.after or "").encode(), (gap.before or "9").encode()
    return after <= moment <= before


def _stamp(line: bytes) -> str:
    return line[:_STAMP_SIZE].partition(b" ")[0].decode(errors="replace")


def _moment(line: bytes) -> bytes:
    """Return a line's timestamp in UTC, so that it can be compared as text."""
    stamp = line[:_STAMP_SIZE].partition(b" ")[0]
    if stamp.endswith(b"Z"):
        return stamp
    clock, zone = stamp[:-6].decode(errors="replace"), stamp[-6:].decode(errors="replace")
    seconds, _, fraction = clock.partition(".")
    try:
        utc = datetime.fromisoformat(seconds + zone).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return stamp
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{fraction or '0'}Z".encode()
