"""The output folder: one writer at a time, the log's lines and their machine-readable twin."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from common.errors import TrainingError
from common.files import io_error as io_error  # models import it from here
from common.files import replace_file
from mlops_launch.contract import METRICS_FILE, ExitCode, Value

LOCK_FILE = ".lock"


class OutputFolder:
    """OUTPUT_DIR, held by this process until it ends: the kernel drops the lock with the process, however it dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock: IO[str] = (path / LOCK_FILE).open("a+", encoding="utf-8")
        except OSError as error:
            raise io_error(error, f"write to the output folder {path}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "another training"
            self.close()
            raise TrainingError(
                f"the output folder is in use by {holder}: {path}",
                "wait for it, stop it, or set another OUTPUT_DIR",
                ExitCode.CANNOT_CREATE,
            ) from error
        except OSError as error:
            raise io_error(error, f"lock the output folder {path}") from error
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} on {os.uname().nodename}\n")
        self._lock.flush()

    def close(self) -> None:
        """Let the folder go; the end of the process does it too."""
        self._lock.close()

    def rewind_metrics(self, step: int) -> None:
        """Drop the metrics of steps after `step`: a resumed training writes them again."""
        path = self.path / METRICS_FILE
        if not path.exists():
            return
        kept = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if _step_of(line) <= step]
        replace_file(path, lambda file: file.write("".join(kept).encode()))

    def write_metrics(self, record: Mapping[str, Value]) -> None:
        """Append one JSON line to metrics.jsonl."""
        try:
            with (self.path / METRICS_FILE).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")
        except OSError as error:
            raise io_error(error, f"write {METRICS_FILE}") from error

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a small JSON file whole or not at all."""
        try:
            replace_file(self.path / name, lambda file: file.write((json.dumps(value, indent=2) + "\n").encode()))
        except OSError as error:
            raise io_error(error, f"write {name}") from error

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return a JSON file of the folder, or None where there is none."""
        path = self.path / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _step_of(line: str) -> float:
    """Return the step of a metrics line; infinity for half a line, which a killed writer may leave."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return float("inf")


def say(line: str) -> None:
    """Print one line of the log, at once."""
    print(line, flush=True)


def talk(line: str) -> None:
    """Print one line for people, on stderr."""
    print(line, file=sys.stderr, flush=True)
