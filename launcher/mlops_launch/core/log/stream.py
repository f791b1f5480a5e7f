"""Put the log of a container together again from connections that break: no line twice, no loss unsaid. No I/O.

A log comes as chunks of `TIMESTAMP TEXT` lines; a line ends at a line feed, whatever else is in it. Each connection brings the
container's current file from its beginning, and the lines that are known are found in it by timestamp and text, so that a
clock that is set back neither hides a line nor doubles one. The server has the current file only: when the last line that
is known is not in it, the file was rotated since, and lines may be missing. That is a `Gap`.
"""

from __future__ import annotations

from typing import Final

from mlops_launch.core.log.lines import is_result
from mlops_launch.core.log.pieces import Gap, Mark, Piece
from mlops_launch.core.log.places import Places
from mlops_launch.core.log.search import Search
from mlops_launch.core.log.stamps import STAMP, STAMP_SIZE, stamp_of, without_stamps

LONG: Final = 1 << 16  # bytes of a line whose end is waited for; a longer one is handed on as it comes
KEY: Final = 1 << 10  # bytes by which a longer one is known again


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
        self.places = Places()

    @property
    def synced(self) -> bool:
        """Whether all that has come since `begin` is understood: the last known line has come again."""
        return self._search is None and not self._lost

    @property
    def refused(self) -> bool:
        """Whether only the server's own words have come since `begin`: `unable to retrieve container logs`."""
        return self._words and not self._heard

    @property
    def empty(self) -> bool:
        """Whether no byte has come since `begin`, though lines are known: another file has begun, and nothing is in it."""
        return bool(self._last) and not (self._heard or self._words or self._rest)

    @property
    def said_all(self) -> bool:
        """Whether the last line is the one that a training ends with."""
        return not self._lost and bool(self._last) and is_result(self._last[-1].partition(b" ")[2])

    @property
    def last(self) -> str | None:
        """The timestamp of the last line."""
        return stamp_of(self._last[-1]) if self._last else None

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
        chunk = self._rest + chunk
        end = chunk.rfind(b"\n") + 1
        self._rest = chunk[end:]
        found += self._lines(chunk[:end])
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
        if not line or not STAMP.match(line):
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
        if not STAMP.match(beginning):
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
        text, count = without_stamps(lines)
        if count < lines.count(b"\n") + (not lines.endswith(b"\n")):
            kept = [line for line in _split(lines) if STAMP.match(line)]
            self._words = self._words or bool(lines)
            lines = b"".join(kept)
            text = b"".join(STAMP.sub(b"", line, count=1) for line in kept)
        if not lines:
            return []
        first = stamp_of(lines)
        self._heard = True
        if not self._head:
            self._head = self._file = _key(lines[: lines.find(b"\n") + 1] or lines)
        self.first = self.first or first
        found = [Gap(self.last, first)] if self._lost else []
        for gap in found:
            self.places.add_gap(gap)
        self._lost = False
        self._remember(lines)
        self.places.add(lines, self._last[-1])
        return [*found, text]

    def _remember(self, lines: bytes) -> None:
        """Keep the last lines, all that have the newest timestamp."""
        end, keys = len(lines), []
        newest = None
        while end:
            begin = lines.rfind(b"\n", 0, end - 1) + 1
            stamp = stamp_of(lines[begin : begin + STAMP_SIZE])
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
