"""List runs, show one, follow its log: for `ls`, `status` and `logs`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from typing import Any, Final

from mlops_launch.clients.host import Host
from mlops_launch.commands.runs.archive import Archive, ArchivedRun
from mlops_launch.contract import Value
from mlops_launch.core.log.progress import clock
from mlops_launch.core.printable import one_line
from mlops_launch.core.record import RunRecord, exit_name, record_hint
from mlops_launch.errors import LauncherError

POLL_S: Final = 0.2
CHUNK: Final = 1 << 20  # bytes
COLUMNS: Final = ("NAME", "RUN", "STATE", "EXIT", "STEP", "IMAGES/S", "VAL TOP-1", "OUTPUT")

LEFT_OUT: Final = ("OUTPUT", "IMAGES/S", "EXIT", "STEP")  # in this order, where they do not fit


@dataclass(frozen=True)
class RunStatus:
    """A run as it is now."""

    run: ArchivedRun
    record: RunRecord
    state: str

    def to_json(self) -> dict[str, Any]:
        """Return the record with the state, the run's time and its folder."""
        fields = {key: value for key, value in self.record.to_json().items() if key != "schema"}
        return {"run": self.run.time, "state": self.state, **fields, "archive": str(self.run.folder)}

    def row(self) -> tuple[str, ...]:
        """Return the cells under `COLUMNS`."""
        record = self.record
        return (
            record.name, self.run.time, self.state, "-" if record.exit_code is None else str(record.exit_code), _progress(record),
            _text(record.step.get("images_per_s")), _text(self._validation.get("top1")), record.output or "-",
        )  # fmt: skip

    @property
    def _validation(self) -> Mapping[str, Value]:
        """The figures of the last evaluation; those of the steps are of other images, and are not mixed with them."""
        return self.record.evaluation or self.record.result

    def to_text(self) -> str:
        """Return the status for people, a `key: value` line each."""
        record, step = self.record, self.record.step
        lines = [
            ("run", f"{record.name} {self.run.time}"),
            ("state", f"{self.state} on {record.host}" if self.state == "running" else self.state),
            ("overlay", record.overlay),
            ("started", record.started),
            ("ended", record.ended),
            ("try", str(record.try_number) if record.try_number > 1 else None),
            ("exit code", self._exit()),
            ("reason", record.reason),
            ("error", record.error),
            ("step", _progress(record) if step else None),
            ("images/s", _text(step.get("images_per_s")) if step else None),
            ("loss", _text(step.get("loss")) if step else None),
            ("val loss", _text(self._validation["loss"]) if "loss" in self._validation else None),
            ("val top-1", _text(self._validation["top1"]) if "top1" in self._validation else None),
            ("time left", clock(step.get("eta_s")) if self.state == "running" else None),
            ("output", record.output),
            ("log", str(self.run.log)),
            ("hint", self._hint()),
        ]
        return "\n".join(f"{key + ':':<11}{one_line(value)}" for key, value in lines if value is not None)

    def _exit(self) -> str | None:
        code = self.record.exit_code
        return None if code is None else f"{code} ({exit_name(code, self.record.out_of_memory)})"

    def _hint(self) -> str | None:
        if self.state == "lost":
            return "mlops-launch was killed; the same command resumes from the newest checkpoint"
        return record_hint(self.record)


def look(run: ArchivedRun, host: Host) -> RunStatus:
    """Return a run's status.

    Raises:
        LauncherError: its record cannot be read.
    """
    record = run.read()
    return RunStatus(run, record, run.state(record, host))


def list_runs(archive: Archive, host: Host, warn: Callable[[str], None]) -> list[RunStatus]:
    """Return the status of every run, oldest first; one that cannot be read is said and left out."""
    found = []
    for run in archive.runs():
        try:
            found.append(look(run, host))
        except LauncherError as error:
            warn(error.message)
    return found


def table(runs: list[RunStatus], width: int | None = None) -> str:
    """Return the runs as a table; one that would be wider than `width` characters leaves out what matters least."""
    rows = [COLUMNS, *(run.row() for run in runs)]
    for column in (None, *LEFT_OUT):
        if column is not None:
            at = rows[0].index(column)
            rows = [(*row[:at], *row[at + 1 :]) for row in rows]
        text = aligned(rows)
        if width is None or max(map(len, text.splitlines())) <= width:
            break
    return text


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as text, the last column as wide as it is; what a log has put into a cell steers no terminal."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def follow_log(run: ArchivedRun, host: Host, follow: bool, tail: int | None = None) -> Iterator[bytes]:
    """Yield the run's log in chunks, or its last `tail` lines; with `follow` until the run has ended.

    Raises:
        LauncherError: there is no log.
    """
    try:
        file = open(run.log, "rb", buffering=0)
    except FileNotFoundError as error:
        raise LauncherError(f"the run has no log: {run.log}", "it ended before its command was started") from error
    with file:
        if tail is not None:
            file.seek(last_lines(file, tail))
        while True:
            # The state first: what is written before the end is then read for sure.
            ended = not follow or look(run, host).state != "running"
            while chunk := os.read(file.fileno(), CHUNK):
                yield chunk
            if ended:
                return
            host.sleep(POLL_S)


def last_lines(file: FileIO, count: int) -> int:
    """Return where the last `count` lines begin; what has no line feed at its end is one too."""
    begin = end = file.seek(0, os.SEEK_END)
    if count == 0 or end == 0:
        return end
    file.seek(end - 1)
    missing = count + (file.read(1) == b"\n")  # line feeds to be found
    while begin > 0:
        size = min(CHUNK, begin)
        begin -= size
        file.seek(begin)
        chunk, at = file.read(size), size
        while (at := chunk.rfind(b"\n", 0, at)) >= 0:
            missing -= 1
            if missing == 0:
                return begin + at + 1
    return 0


def _progress(record: RunRecord) -> str:
    return f"{record.step.get('step', '?')}/{record.step.get('steps', '?')}" if record.step else "-"


def _text(value: Any) -> str:
    return "-" if value is None else str(value)
