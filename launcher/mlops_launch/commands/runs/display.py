"""What a person or a pipe sees of a training: its lines, and on a terminal a line of progress below them."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, TextIO

from mlops_launch.contract import Value
from mlops_launch.core.log.lines import is_result
from mlops_launch.core.log.progress import progress_line

REDRAW_S = 0.1
_CLEAR = "\r\x1b[K"


@dataclass(frozen=True)
class Streams:
    """Where data and talk go.

    Args:
        data: the training's lines.
        talk: everything else.
        terminal: both are one terminal that can clear a line.
        quiet: only the result line is data.
    """

    data: BinaryIO
    talk: TextIO
    terminal: bool
    quiet: bool = False

    @classmethod
    def standard(cls, quiet: bool = False) -> Streams:
        """Return this process's stdout and stderr."""
        terminal = sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        return cls(sys.stdout.buffer, sys.stderr, terminal, quiet)


class Display:
    """Shows the lines of one training. The result line waits until the end, so that it is the last one."""

    def __init__(self, streams: Streams, preset: str | None = None) -> None:
        self._streams = streams
        self._preset = preset
        self._held: bytes | None = None
        self._drawn_at = 0.0
        self._drawn = False
        self._broken = False

    def show(self, lines: list[bytes], steps: list[bool], step: Mapping[str, Value]) -> None:
        """Show lines of the log.

        Args:
            lines: without line ends.
            steps: for each line, whether it is a step line; a terminal shows those as progress.
            step: the newest step's fields.
        """
        shown = [line for line, is_step in zip(lines, steps, strict=True) if not (is_step and self._streams.terminal)]
        if self._streams.quiet:
            shown = [line for line in shown if is_result(line)]
        if shown:
            if self._held is not None:
                shown.insert(0, self._held)
            self._held = shown.pop() if is_result(shown[-1]) else None
            self._write(b"".join(line + b"\n" for line in shown))
        if self._streams.terminal and step and not self._broken:
            self._draw(step)

    def end(self) -> None:
        """Take the line of progress away."""
        if self._drawn:
            self._drawn = False
            self._talk(_CLEAR)

    def end_with_result(self) -> None:
        """Show the result line, if the training's last line was one."""
        if self._held is not None:
            self._write(self._held + b"\n")
            self._held = None

    def say(self, text: str) -> None:
        """Show a line of talk."""
        self.end()
        self._talk(text + "\n")

    def _talk(self, text: str) -> None:
        try:
            self._streams.talk.write(text)
            self._streams.talk.flush()
        except OSError:  # the terminal was closed; the training goes on, or saves
            _silence(self._streams.talk.fileno())

    def _draw(self, step: Mapping[str, Value]) -> None:
        now = time.monotonic()
        if self._drawn and now - self._drawn_at < REDRAW_S and step["step"] != step["steps"]:
            return
        text = progress_line(step, shutil.get_terminal_size().columns - 1, self._preset)
        if "utf" not in (self._streams.talk.encoding or "").lower():
            text = text.replace("█", "#").replace("░", "-")
        self._talk(_CLEAR + text)
        self._drawn, self._drawn_at = True, now

    def _write(self, data: bytes) -> None:
        if self._broken or not data:
            return
        self.end()
        try:
            self._streams.data.write(data)
            self._streams.data.flush()
        except OSError as error:
            self._broken = True
            _silence(self._streams.data.fileno())
            self.say(f"Warning: stdout cannot be written, the training goes on and its log is kept: {error.strerror}")


def _silence(descriptor: int) -> None:
    """Lead a stream that cannot be written nowhere: what is in its buffer would change the exit code to 120 at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
