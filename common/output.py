"""The output folder: one writer at a time, its small files mended after a kill, the log's lines."""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import io
import json
import math
import os
import stat
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from common.errors import TrainingError
from common.files import io_error, partial_of, replace_file
from mlops_launch.contract import METRICS_FILE, RESULT_FILE, ExitCode, Value

LARGEST_STEP: Final = 2**63  # of TensorBoard's files
LOCK_FILE: Final = ".lock"
READ_S: Final = 2.0  # for mpirun, to read a rank's last words
PASSED_ON_S: Final = 0.1  # for mpirun, to pass on what it has read
# What a killed run may leave: of this version, and of the first one.
_LEFTOVERS: Final = (partial_of(Path(METRICS_FILE)).name, partial_of(Path(RESULT_FILE)).name, "metrics.partial")
# A file system that cannot lock; a network file system mounted without its lock service.
_NO_LOCKS: Final = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)

Record = Mapping[str, Any]


class OutputFolder:
    """OUTPUT_DIR, held by this process until it ends: the kernel drops the lock with the process, however it dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            # Not through a link: whoever can write to the volume could have the lock empty another file.
            descriptor = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise io_error(error, f"write to the output folder {path}") from error
        self._lock = os.fdopen(descriptor, "r+", encoding="utf-8", errors="replace")
        try:
            _take(self._lock, path)
        except BaseException:
            self.close()
            raise
        for name in _LEFTOVERS:
            with contextlib.suppress(OSError):
                (path / name).unlink()

    def close(self) -> None:
        """Let the folder go; the end of the process does it too."""
        self._lock.close()

    def rewind_metrics(self, step: int) -> list[Record]:
        """Drop the metrics of steps after `step`, which a resumed run writes again, and what is not legible, aloud; return the rest."""
        path = self.path / METRICS_FILE
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise io_error(error, f"read {METRICS_FILE}") from error
        lines = [line for line in data.split(b"\n") if line]
        records = [(line, record) for line in lines if (record := _record(line)) is not None]
        if len(records) < len(lines):
            talk(f"warning: lines of {METRICS_FILE} that a killed run has left illegible are dropped: {len(lines) - len(records)}")
        kept = [(line, record) for line, record in records if record["step"] <= step]
        # Each with its newline, which a kill may have cut off.
        content = b"".join(line + b"\n" for line, _ in kept)
        if content != data:
            try:
                replace_file(path, lambda file: file.write(content))
            except OSError as error:
                raise io_error(error, f"write {METRICS_FILE}") from error
        return [record for _, record in kept]

    def write_metrics(self, record: Mapping[str, Value]) -> None:
        """Append one JSON line to metrics.jsonl."""
        try:
            with (self.path / METRICS_FILE).open("a", encoding="utf-8") as stream:
                stream.write(_json(record) + "\n")
        except OSError as error:
            raise io_error(error, f"write {METRICS_FILE}") from error

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a small JSON file whole or not at all."""
        content = (_json(value, indent=2) + "\n").encode()
        try:
            replace_file(self.path / name, lambda file: file.write(content))
        except OSError as error:
            raise io_error(error, f"write {name}") from error

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return a JSON file of the folder that has a `step`; None where there is none, or it is damaged, which is said."""
        try:
            data = (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise io_error(error, f"read {name}") from error
        value = _parse(data)
        if value is None:
            talk(f"warning: {name} is damaged and does not count")
        return value


def _take(lock: IO[str], path: Path) -> None:
    """Lock the folder by its open lock file, and write into that who holds it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {os.uname().nodename}\n")
        lock.flush()
    except BlockingIOError as error:
        holder = lock.read(200).strip() or "another run"
        raise TrainingError(
            f"the output folder is in use by {holder}: {path}",
            "wait for it, stop it, or set another OUTPUT_DIR",
            ExitCode.CANNOT_CREATE,
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise io_error(error, f"lock the output folder {path}") from error
        raise TrainingError(
            f"the file system of the output folder has no locks, two runs could overwrite each other: {path}",
            "mount the volume with locks (`flock`; NFS without `nolock`), or set OUTPUT_DIR on another volume",
            ExitCode.CANNOT_CREATE,
        ) from error


def _record(line: bytes) -> Record | None:
    """Return a line of metrics.jsonl, or None where it is not one: a killed writer leaves half a line, a power cut zeros."""
    record = _parse(line)
    return record if record is not None and isinstance(record.get("kind"), str) else None


def _parse(data: bytes) -> dict[str, Any] | None:
    """Return a JSON object with a `step`, or None."""
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and type(value.get("step")) is int and 0 <= value["step"] < LARGEST_STEP else None


def _json(value: Mapping[str, Any], indent: int | None = None) -> str:
    """Return JSON, which has no word for a number that is not finite: null."""
    finite = {name: None if isinstance(item, float) and not math.isfinite(item) else item for name, item in value.items()}
    return json.dumps(finite, indent=indent, allow_nan=False)


def print_whatever() -> None:
    """Have stdout write an escape for what its encoding lacks, as stderr does: a name of a folder must not end a run."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def say(line: str) -> None:
    """Print one line of the log, at once."""
    print(line, flush=True)


def talk(line: str) -> None:
    """Print one line for people, on stderr."""
    print(line, file=sys.stderr, flush=True)


def hand_over() -> None:
    """Send off what was printed, and return when it was read, after READ_S at the latest.

    An abort makes mpirun end the ranks, and what still lies in their pipes is lost: the line that says why.
    """
    until = time.monotonic() + READ_S
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        while _unread(stream.fileno()) and time.monotonic() < until:
            time.sleep(0.01)
    time.sleep(PASSED_ON_S)


def _unread(descriptor: int) -> int:
    """Return how many bytes of a pipe nobody has read yet; 0 for what is not a pipe."""
    count = array.array("i", [0])
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        fcntl.ioctl(descriptor, termios.FIONREAD, count)
    return count[0]
