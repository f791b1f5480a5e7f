"""What a person or a pipe sees of a run: its log as it comes, and on a terminal a line of progress below it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence

from mlops_launch.commands.runs.console import Console
from mlops_launch.commands.runs.streams import Streams
from mlops_launch.contract import Value
from mlops_launch.core.log.lines import Cut, is_result, results
from mlops_launch.core.log.progress import progress_line
from mlops_launch.core.printable import one_line

REDRAW_S = 0.1
SILENT_S = 3.0  # without a line, before what is going on is said
_CLEAR = "\r\x1b[K"


class Display:
    """Shows the log of one run. The result line waits until the end, so that it is the last one."""

    def __init__(self, streams: Streams, preset: str | None = None) -> None:
        self._streams = streams
        self._preset = preset
        self._held = b""
        self._drawn_at = 0.0
        self._drawn = False
        self._inside = False  # a line of the log has begun and not ended
        self._broken = False
        self._waits_for: str | None = None
        self._waits_since = 0.0
        self.console = Console(self._say)  # talk, which takes the line of progress away

    def show(self, cut: Cut, steps: Sequence[tuple[int, int]], step: Mapping[str, Value]) -> None:
        """Show more of the log.

        Args:
            cut: what has come.
            steps: where in its lines the step lines are, as `Metrics.take` has it; a terminal shows those as progress.
            step: the newest step's fields.
        """
        lines = _without(cut.lines, steps) if self._streams.terminal else cut.lines
        if self._streams.quiet:
            cut, lines = Cut(), results(lines)
        if self._held and (lines or cut.opened):
            lines, self._held = self._held + lines, b""
        last = lines.rfind(b"\n", 0, -1) + 1
        if not cut.opened and is_result(lines[last:-1]):
            lines, self._held = lines[:last], lines[last:]
        self._write(cut.rest + lines + cut.opened)
        if self._drawn and not step and not self._inside:
            self.end()
        if self._streams.terminal and step and not self._broken and not self._inside:
            self._draw(step)

    def silent(self, what: str | None) -> None:
        """Say on a terminal what is waited for, and for how long already; None when nothing is. Called again and again."""
        now = time.monotonic()
        if what != self._waits_for:
            self._waits_for, self._waits_since = what, now
        seconds = now - self._waits_since
        if what is None or not self._streams.terminal or seconds < SILENT_S or self._inside or self._drawn and now - self._drawn_at < 1.0:
            return
        self._talk(_CLEAR + f"{what}, {seconds:.0f} s"[: shutil.get_terminal_size().columns - 1])
        self._drawn, self._drawn_at = True, now

    def end(self) -> None:
        """Take the line of progress away."""
        if self._drawn:
            self._drawn = False
            self._talk(_CLEAR)

    def end_with_result(self) -> None:
        """Show the result line, if the run's last line was one."""
        self._write(self._held)
        self._held = b""

    def _say(self, text: str) -> None:
        self.end()
        if self._inside and self._streams.terminal:
            text, self._inside = "\n" + text, False
        self._talk(text + "\n")

    def _talk(self, text: str) -> None:
        try:
            self._streams.talk.write(text)
            self._streams.talk.flush()
        except OSError:  # the terminal was closed; the job keeps running, or saves
            _silence(self._streams.talk.fileno())

    def _draw(self, step: Mapping[str, Value]) -> None:
        now = time.monotonic()
        if self._drawn and now - self._drawn_at < REDRAW_S and step["step"] != step["steps"]:
            return
        text = one_line(progress_line(step, shutil.get_terminal_size().columns - 1, self._preset))
        if "utf" not in (self._streams.talk.encoding or "").lower():
            text = text.replace("█", "#").replace("░", "-")
        self._talk(_CLEAR + text)
        self._drawn, self._drawn_at = True, now

    def _write(self, data: bytes) -> None:
        if self._broken or not data:
            return
        self.end()
        self._inside = not data.endswith(b"\n")
        try:
            self._streams.data.write(data)
            self._streams.data.flush()
        except OSError as error:
            self._broken = True
            _silence(self._streams.data.fileno())
            self.console.warn(f"stdout cannot be written, the job keeps running and its log is kept: {error.strerror}")


def _without(lines: bytes, parts: Sequence[tuple[int, int]]) -> bytes:
    """Return what of `lines` is between `parts`."""
    begins, ends = [0, *(end for _, end in parts)], [*(begin for begin, _ in parts), len(lines)]
    return b"".join(lines[begin:end] for begin, end in zip(begins, ends, strict=True))


def _silence(descriptor: int) -> None:
    """Lead a stream that cannot be written nowhere: what is in its buffer would change the exit code to 120 at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
