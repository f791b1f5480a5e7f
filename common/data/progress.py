"""Progress on stderr: a bar on a terminal, a plain line every few seconds in a pipe."""

from __future__ import annotations

import sys
import time
from typing import Final, TextIO

BAR: Final = 30
SECONDS_BETWEEN_BARS: Final = 0.1
SECONDS_BETWEEN_LINES: Final = 5.0


class Progress:
    """Counts up to `total`; nothing is written before the first interval has passed, so that fast work stays silent in a pipe."""

    def __init__(self, what: str, total: int, stream: TextIO | None = None) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._begin = self._written = time.monotonic()

    def add(self, count: int = 1) -> None:
        """Count `count` more."""
        self._done += count
        now = time.monotonic()
        if now - self._written >= (SECONDS_BETWEEN_BARS if self._terminal else SECONDS_BETWEEN_LINES):
            self._written = now
            self._write(now - self._begin)

    def close(self) -> None:
        """End the bar's line, so that what is written next begins a line of its own."""
        if self._terminal:
            self._write(time.monotonic() - self._begin)
            self._stream.write("\n")
            self._stream.flush()

    def _write(self, seconds: float) -> None:
        part = self._done / self._total if self._total else 1.0
        rate = self._done / seconds if seconds else 0.0
        left = f", {(self._total - self._done) / rate:.0f} s left" if rate else ""
        text = f"{self._what} {self._done}/{self._total} ({rate:.0f}/s{left})"
        if self._terminal:
            bar = "#" * round(part * BAR)
            self._stream.write(f"\r[{bar:<{BAR}}] {text}\x1b[K")
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()
