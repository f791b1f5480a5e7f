"""What each try of a run leaves, wherever it runs: its log, its figures, its record."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops_launch.commands.runs.archive import ArchivedRun, Position
from mlops_launch.commands.runs.display import Display
from mlops_launch.contract import LauncherExitCode
from mlops_launch.core.log.cause import TAIL, find_cause
from mlops_launch.core.log.lines import Cut, LineReader, Metrics, results
from mlops_launch.core.record import RunRecord

CHUNK = 1 << 20  # bytes
STARTING = "starting the ranks"
FIRST_STEP = "preparing the first step, which compiles the network"
SIGNALS = 128  # exit codes from here on say that something was killed, or lost
RECORD_S = 1.0  # between two writes of the record while the training runs


class Recorder:
    """Takes the output of one try: to the archive's log, to the display, its figures to the record.

    Args:
        run: the try in the archive.
        record: its record as it begins.
        display: shows the log.
        trains: it runs a trainer, which ends with a result.
    """

    def __init__(self, run: ArchivedRun, record: RunRecord, display: Display, trains: bool = False) -> None:
        self.record = record
        self._trains = trains
        self._run = run
        self._display = display
        self._log = run.open_log()
        self._reader = LineReader()
        self._metrics = Metrics()
        self._written_at = 0.0
        self._said: set[str] = set()  # what has failed
        self.complete = True  # all of the output was to be had

    def take(self, chunk: bytes) -> None:
        """Take a chunk of the output. Nothing in it, and no defect in what reads or shows it, ends the run."""
        with self._said_once(f"the archive cannot be written: {self._run.folder}"):
            rest = memoryview(chunk)
            while rest:
                rest = rest[self._log.write(rest) :]
        with self._said_once("the log cannot be shown, the archive has it"):
            self._show(self._reader.feed(chunk))

    def end(self) -> None:
        """Take the end of the output."""
        with self._said_once("the log cannot be shown, the archive has it"):
            self._show(self._reader.end())
        self._display.end()
        with self._said_once(f"the archive cannot be written: {self._run.folder}"):
            self._log.close()

    def judged(self, code: int) -> int:
        """Return the exit code of what has ended with `code`: a trainer without a result in its whole log has not succeeded."""
        seen = not self.record.gaps and not self._said and self.complete
        return LauncherExitCode.NO_RESULT if self._trains and seen and code == 0 and not self.record.result else code

    def cause(self, code: int) -> dict[str, str | None]:
        """Return what the log says of the end with exit code `code`, as fields of the record; nothing of a success or a kill."""
        found = None
        with self._said_once(f"the archive cannot be read: {self._run.folder}"):
            found = find_cause(_end_of(self._run.log, TAIL)) if 0 < code < SIGNALS else None
        return {} if found is None else {"error": found.message, "error_hint": found.hint}

    @property
    def awaited(self) -> str | None:
        """What takes its time before the first step, silently; None when there is no more to wait for."""
        if not self._trains:
            return None if self._log.tell() else STARTING
        if not self._metrics.started:
            return f"{STARTING} and importing TensorFlow"
        return None if self._metrics.step or self._metrics.result else FIRST_STEP

    @property
    def lacks_beginning(self) -> bool:
        """Whether a trainer has said how far it is, and not that it has started."""
        figures = self._metrics
        return self._trains and not figures.started and bool(figures.step or figures.result)

    @property
    def size(self) -> int:
        """The bytes in the archive's log."""
        return int(self._log.tell())

    def place(self, position: Position) -> None:
        """Write how far the log has come."""
        with self._said_once(f"the archive cannot be written: {self._run.folder}"):
            self._run.write_position(position)

    def show_archived(self) -> None:
        """Show what the archive's log holds already, and take its figures."""
        with self._run.log.open("rb") as file:
            while chunk := file.read(CHUNK):
                self._show(self._reader.feed(chunk))

    def take_figures(self) -> None:
        """Take the figures of the archive's log once more: it was completed. A result that is new is shown."""
        self._metrics, before = Metrics(), self._metrics.result
        reader, new = LineReader(), b""
        with self._run.log.open("rb") as file:
            while chunk := file.read(CHUNK):
                new += self._told(reader.feed(chunk))
        new += self._told(reader.end())
        if new and not before:
            self._display.show(Cut(lines=new), (), {})
        self._note_figures()

    def _told(self, cut: Cut) -> bytes:
        """Take the figures in whole lines; return the result lines among them."""
        self._metrics.take(cut.lines)
        return results(cut.lines)

    def _show(self, cut: Cut) -> None:
        steps = self._metrics.take(cut.lines)
        self._display.show(cut, steps, self._metrics.step)
        self._note_figures()
        now = time.monotonic()
        if steps and now - self._written_at > RECORD_S:
            self.write(self.record)
            self._written_at = now

    def _note_figures(self) -> None:
        said, record = self._metrics, self.record
        # Asked for every piece of a log: most bring no figures.
        if (said.step, said.evaluation, said.result, said.saved) != (record.step, record.evaluation, record.result, record.saved):
            self.record = record.at(step=said.step, evaluation=said.evaluation, result=said.result, saved=said.saved)

    def write(self, record: RunRecord) -> None:
        """Write the record; a full disk is said and stops nothing."""
        with self._said_once(f"the archive cannot be written: {self._run.folder}"):
            self._run.write(record)

    @contextmanager
    def _said_once(self, failed: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever it is, the job is worth more
            if failed not in self._said:
                self._said.add(failed)
                reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
                self._display.console.warn(f"{failed}: {reason}")


def _end_of(path: Path, size: int) -> bytes:
    """Return the last `size` bytes of a file."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - size))
        return file.read()
