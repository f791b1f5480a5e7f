"""Where data and talk go; a terminal gets a log that it can show."""

from __future__ import annotations

import codecs
import os
import sys
from dataclasses import dataclass
from typing import Protocol, TextIO

from mlops_launch.core.printable import printable


class Output(Protocol):
    """Takes bytes: a file, a pipe, or a terminal behind `Printable`."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""

    def flush(self) -> None:
        """Send it on."""

    def fileno(self) -> int:
        """Return the file descriptor behind it."""


class Printable:
    """A terminal's stdout, written to in bytes: what would steer the terminal, or is not text, is shown instead."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, data: bytes) -> None:
        """Show more; a letter whose last bytes are still to come waits for them."""
        encoding = self._terminal.encoding or "utf-8"
        text = printable(self._decoder.decode(data))
        self._terminal.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def flush(self) -> None:
        """Send it on."""
        self._terminal.flush()

    def fileno(self) -> int:
        """Return the terminal's file descriptor."""
        return self._terminal.fileno()


def standard_output() -> Output:
    """Return this process's stdout: to a terminal in a form that is harmless, else byte for byte."""
    return Printable(sys.stdout) if sys.stdout.isatty() else sys.stdout.buffer


@dataclass(frozen=True)
class Streams:
    """Where data and talk go.

    Args:
        data: the log.
        talk: everything else.
        terminal: both are one terminal that can clear a line.
        quiet: only the result line is data.
    """

    data: Output
    talk: TextIO
    terminal: bool
    quiet: bool = False

    @classmethod
    def standard(cls, quiet: bool = False) -> Streams:
        """Return this process's stdout and stderr."""
        terminal = sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        return cls(standard_output(), sys.stderr, terminal, quiet)
