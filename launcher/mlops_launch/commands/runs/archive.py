"""The archive of runs: `.mlops/runs/<name>/<time>/` with plan.yaml, training.log and result.json, for its owner only.

A run on a cluster has pods/<pod>.log of its other pods and events.jsonl too, and position.json until it has ended.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from mlops_launch.clients.host import Host
from mlops_launch.commands.runs.root import find_root
from mlops_launch.core.log.pieces import Mark
from mlops_launch.core.record import RunRecord, state
from mlops_launch.errors import LauncherError

PLAN: Final = "plan.yaml"
LOG: Final = "training.log"
WHOLE_LOG: Final = "training.log.new"
POSITION: Final = "position.json"
RESULT: Final = "result.json"
SCRATCH: Final = "scratch"
PODS: Final = "pods"
EVENTS: Final = "events.jsonl"


@dataclass(frozen=True)
class Position:
    """Where the archived log of a run on a cluster has come to: what another follower needs to resume from there.

    Args:
        read: uids of pods whose log is in it to its end.
        pod: uid of the one whose log was being read.
        offset: bytes of the archived log that belong to it.
        mark: the place in the pod's log.
    """

    read: tuple[str, ...]
    pod: str
    offset: int
    mark: Mark


@dataclass(frozen=True)
class ArchivedRun:
    """One try of one run, in its folder."""

    folder: Path

    @property
    def time(self) -> str:
        """When it began; the folder's name."""
        return self.folder.name

    @property
    def log(self) -> Path:
        """The training's log, byte for byte."""
        return self.folder / LOG

    @property
    def whole_log(self) -> Path:
        """The whole log, until it is put in place of the log."""
        return self.folder / WHOLE_LOG

    @property
    def plan(self) -> Path:
        """What was started: actions and objects."""
        return self.folder / PLAN

    @property
    def scratch(self) -> Path:
        """The folder of temporary files; gone when the run has ended."""
        return self.folder / SCRATCH

    def read(self) -> RunRecord:
        """Return the run's record.

        Raises:
            LauncherError: it is damaged, or of another version.
        """
        path = self.folder / RESULT
        try:
            return RunRecord.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise LauncherError(f"cannot read the run's record: {path}", "remove the folder when you do not need it") from error

    def write(self, record: RunRecord) -> None:
        """Put the record in place of the last one; a reader sees one or the other, never a part."""
        path = self.folder / RESULT
        temporary = path.with_suffix(".json.new")
        with _private(temporary, "w") as file:
            json.dump(record.to_json(), file, indent=2)
            file.write("\n")
            file.flush()
            if record.ended is not None:
                os.fsync(file.fileno())
        temporary.replace(path)

    def write_plan(self, text: str) -> None:
        """Write the plan."""
        with _private(self.plan, "w") as file:
            file.write(text)

    def open_log(self) -> Any:
        """Return the log opened to append, unbuffered; `write` may write less than it is given."""
        return _private(self.log, "ab")

    def open_whole_log(self) -> Any:
        """Return a new file for the whole log, unbuffered."""
        return _private(self.whole_log, "wb")

    def write_position(self, position: Position) -> None:
        """Put the position in place of the last one; flushed to no disk: a crash of the machine costs a second reading."""
        temporary = (self.folder / POSITION).with_suffix(".json.new")
        lines = [line.decode("latin-1") for line in position.mark.lines]
        with _private(temporary, "w") as file:
            json.dump({"read": position.read, "pod": position.pod, "offset": position.offset, "lines": lines}, file)
        temporary.replace(self.folder / POSITION)

    def read_position(self) -> Position | None:
        """Return the position, or None when there is none that can be used."""
        try:
            found = json.loads((self.folder / POSITION).read_text(encoding="utf-8"))
            mark = Mark(tuple(line.encode("latin-1") for line in found["lines"]))
            position = Position(tuple(map(str, found["read"])), str(found["pod"]), int(found["offset"]), mark)
            usable = bool(mark.lines) and 0 <= position.offset <= self.log.stat().st_size
        except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
            return None
        return position if usable else None

    def remove_position(self) -> None:
        """Remove it: the run has ended."""
        (self.folder / POSITION).unlink(missing_ok=True)

    def remove_pod_log(self, pod: str) -> None:
        """Remove the log of another pod of the run, if there is one."""
        (self.folder / PODS / f"{pod}.log").unlink(missing_ok=True)

    def open_pod_log(self, pod: str) -> Any:
        """Return the log of another pod of the run opened to append, unbuffered."""
        folder = self.folder / PODS
        folder.mkdir(mode=0o700, exist_ok=True)
        return _private(folder / f"{pod}.log", "ab")

    def write_events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Write the events of a cluster, a JSON object a line."""
        with _private(self.folder / EVENTS, "w") as file:
            for event in events:
                file.write(json.dumps(event) + "\n")

    def state(self, record: RunRecord, host: Host) -> str:
        """Return the state; a run of another host counts as running, because it cannot be seen from here."""
        here = record.host == host.name()
        return state(record, not here or host.process_started(record.pid) == record.pid_started)

    def remove_scratch(self) -> None:
        """Remove the temporary files."""
        shutil.rmtree(self.scratch, ignore_errors=True)


class Archive:
    """All runs below one folder, the nearest `.mlops` unless another is given."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = find_root() if root is None else root

    def create(self, name: str, started: datetime) -> ArchivedRun:
        """Make the folder of a new run.

        Raises:
            LauncherError: it cannot be made.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            ignore = self.root / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            runs = self.root / "runs" / name
            for folder in (runs.parent, runs):
                folder.mkdir(mode=0o700, exist_ok=True)
            stamp, number = started.strftime("%Y%m%dT%H%M%SZ"), 1
            while True:
                folder = runs / (stamp if number == 1 else f"{stamp}-{number}")
                try:
                    folder.mkdir(mode=0o700)
                    return ArchivedRun(folder)
                except FileExistsError:
                    number += 1
        except OSError as error:
            failed = f"cannot write the archive: {error.filename or self.root}: {error.strerror}"
            raise LauncherError(failed, "run in a folder of yours: runs are kept in its .mlops/") from error

    def runs(self, name: str | None = None) -> list[ArchivedRun]:
        """Return the runs, of one name or of all, oldest first."""
        folders = [path.parent for path in (self.root / "runs").glob(f"{name or '*'}/*/{RESULT}")]
        return [ArchivedRun(folder) for folder in sorted(folders, key=_by_time)]

    def find(self, name: str | None = None, time: str | None = None) -> ArchivedRun:
        """Return the newest run, or the newest of `name`, or the one that began at `time`.

        Raises:
            LauncherError: there is none.
        """
        runs = self.runs(name)
        found = [run for run in runs if time in (None, run.time)]
        if found:
            return found[-1]
        if not self.runs():
            raise LauncherError(f"no run in: {self.root / 'runs'}", "`mlops-launch run OVERLAY --local` creates one")
        if not runs:
            known = ", ".join(dict.fromkeys(run.folder.parent.name for run in self.runs()))
            raise LauncherError(f"no run of that name: {name}", f"known: {known}")
        raise LauncherError(f"no run at that time: {time}", f"known: {', '.join(run.time for run in runs)}")

    def sweep(self, host: Host) -> None:
        """Remove what runs left that were killed: their scratch folders."""
        for run in self._with_scratch():
            try:
                running = run.state(run.read(), host) == "running"
            except LauncherError:  # a damaged record: `ls` names it; it must not stop new runs
                continue
            if not running:
                run.remove_scratch()

    def _with_scratch(self) -> Iterator[ArchivedRun]:
        for folder in (self.root / "runs").glob(f"*/*/{SCRATCH}"):
            if (folder.parent / RESULT).exists():
                yield ArchivedRun(folder.parent)


def _by_time(folder: Path) -> tuple[str, int, str]:
    stamp, _, number = folder.name.partition("-")
    return stamp, int(number) if re.fullmatch("[0-9]{1,9}", number) else 1, folder.parent.name


def _private(path: Path, mode: str) -> Any:
    """Open a file that only its owner can read, without a buffer when it is binary."""
    binary = "b" in mode
    return open(
        path, mode, buffering=0 if binary else -1, encoding=None if binary else "utf-8", errors=None if binary else "surrogateescape",
        opener=lambda name, flags: os.open(name, flags, 0o600),
    )  # fmt: skip
