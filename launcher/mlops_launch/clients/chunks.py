"""A chunked answer read straight from its connection, as much at a time as has come.

An API server sends a chunk per line of a log that is followed. `http.client` makes some fifteen calls for each of them; here a line
costs a read of the socket, and is handed on together with those that have come with it.
"""

from __future__ import annotations

import io
import socket
import time
from typing import Any, Final

READ: Final = 1 << 14  # bytes; a record of TLS holds no more
BLOCK: Final = 1 << 17  # bytes handed on at a time, about
PAUSE_S: Final = 0.005  # between two looks at a connection: lines that come quickly are taken together
LONGEST_SIZE: Final = 1 << 12  # bytes of the line that tells a chunk's size


class Chunks:
    """Takes the framing of chunks away: RFC 9112, section 7.1. No I/O."""

    def __init__(self) -> None:
        self.ended = False  # the last chunk has come
        self._left = 0  # bytes to come of a chunk that has begun, its line end included
        self._rest = b""  # of the line that tells the next chunk's size

    def feed(self, data: bytes) -> bytes:
        """Return what the chunks hold, as far as it has come.

        Raises:
            ValueError: these are not chunks.
        """
        parts = [data[: max(0, self._left - 2)]]
        begin = min(self._left, len(data))
        self._left -= begin
        data, begin = self._rest + data[begin:], 0
        while not self.ended and (end := data.find(b"\r\n", begin)) >= 0:
            size = int(data[begin:end].partition(b";")[0], 16)
            if size < 0:
                raise ValueError(f"the size of a chunk is negative: {size}")
            self.ended = size == 0
            parts.append(data[end + 2 : end + 2 + size])
            begin = end + 2 + size + 2
            if begin > len(data):
                self._left = begin - len(data)
                break
        self._rest = data[begin:]
        if len(self._rest) > LONGEST_SIZE and not self.ended:
            raise ValueError("the size of a chunk does not end")
        return b"".join(parts)


class Wire:
    """The connection below a chunked answer.

    Args:
        connection: the socket.
        buffer: what `http.client` reads it through; some of the body may be in it.
    """

    def __init__(self, connection: socket.socket, buffer: io.BufferedReader) -> None:
        self._connection, self._buffer = connection, buffer
        self._chunks = Chunks()
        self._begun = False  # the buffer is empty
        self._read_at = 0.0

    @classmethod
    def below(cls, response: Any) -> Wire | None:
        """Return the connection below urllib3's response; None when it cannot be read by itself: it is no plain chunked one."""
        if not getattr(response, "chunked", False) or not response.supports_chunked_reads() or response.headers.get("Content-Encoding"):
            return None
        connection = getattr(response.connection, "sock", None)
        buffer = getattr(getattr(response, "_fp", None), "fp", None)  # inside urllib3: where it is not, urllib3 reads
        return cls(connection, buffer) if isinstance(connection, socket.socket) and isinstance(buffer, io.BufferedReader) else None

    def read(self) -> bytes:
        """Return what has come, at least a byte; nothing at the body's proper end.

        Raises:
            OSError: the connection broke, or nothing came within the time limit.
            ValueError: what comes makes no sense.
        """
        found = b""
        while not found and not self._chunks.ended:
            found = self._chunks.feed(self._take())
        return found

    def _take(self) -> bytes:
        """Wait for what comes; return it with what has come with it."""
        time.sleep(max(0.0, self._read_at + PAUSE_S - time.monotonic()))
        parts = [self._connection.recv(READ) if self._begun else self._buffer.read1(BLOCK)]
        self._begun = True
        if not parts[0]:
            raise ConnectionError("it was closed before the answer's end")
        size, limit = len(parts[0]), self._connection.gettimeout()
        self._connection.settimeout(0)
        try:
            while size < BLOCK and (more := self._connection.recv(READ)):
                parts.append(more)
                size += len(more)
        except OSError:
            pass  # nothing more waits; a connection that broke says so again next time
        finally:
            self._connection.settimeout(limit)
        self._read_at = time.monotonic()
        return b"".join(parts)
