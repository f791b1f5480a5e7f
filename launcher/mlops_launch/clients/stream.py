"""The body of an answer that may last for hours: a log that is followed, a watch."""

from __future__ import annotations

from typing import Any

from mlops_launch.clients.chunks import Wire
from mlops_launch.clients.refusals import Disconnected

CHUNK = 1 << 18  # bytes


class Stream:
    """The body of an answer that may last for hours."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._wire = Wire.below(response)

    def read(self) -> bytes:
        """Return what has come, at least a byte; nothing at the body's proper end.

        Raises:
            Disconnected: the connection broke, or nothing came within the time limit.
        """
        import urllib3

        try:
            return bytes(self._response.read1(CHUNK)) if self._wire is None else self._wire.read()
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:  # the last two: it was closed
            raise Disconnected(f"the connection broke: {error}") from error

    def close(self) -> None:
        """End it; a `read` in another thread returns."""
        try:
            self._response.shutdown()
        except (OSError, ValueError, RuntimeError, AttributeError):
            pass  # it has ended
        self._response.close()
