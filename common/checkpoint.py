"""Checkpoints: one file per step, replaced whole; the newest few that are whole stay, damaged ones are set aside."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from common.checkpoint_file import Damaged, Decoded, Tensors, decode, encode
from common.errors import TrainingError
from common.files import PARTIAL, io_error, replace_file
from mlops_launch.contract import CHECKPOINTS_FOLDER, ExitCode

DAMAGED: Final = ".damaged"
_NAME: Final = re.compile(r"step-([0-9]{8,})\.safetensors")
# What a killed save leaves: of this version, and of the first one, whose library had temporary names of its own.
_LEFTOVER: Final = re.compile(rf"\.step-[0-9]{{8,}}\.safetensors{re.escape(PARTIAL)}|\.tmp[A-Za-z0-9]{{6}}")

Identity = tuple[int, int, int, int]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read back: the step it was taken after, its tensors by name, and where it lies."""

    step: int
    tensors: Tensors
    path: Path


class Checkpoints:
    """The checkpoints of one output folder, whose lock the caller holds.

    Args:
        output_dir: OUTPUT_DIR.
        configuration: what must be the same when a run resumes, by name.
        keep: how many whole checkpoints stay.
        talk: called with each warning.
    """

    def __init__(self, output_dir: Path, configuration: Mapping[str, Any], keep: int, talk: Callable[[str], None]) -> None:
        self.folder = output_dir / CHECKPOINTS_FOLDER
        self._configuration: dict[str, Any] = json.loads(json.dumps(configuration))
        self._keep = keep
        self._talk = talk
        # This run's own, whole when they were written or read here: by name, what changes when the file does.
        self._whole: dict[str, Identity] = {}
        # Damaged ones that could not be renamed.
        self._damaged: set[str] = set()
        self._resumed_from: Path | None = None

    def paths(self) -> list[Path]:
        """Return what has the name of a checkpoint and is not known to be damaged, newest first."""
        steps = {path: _step_in(path.name) for path in self._listing() if path.name not in self._damaged}
        found = [(step, path) for path, step in steps.items() if step is not None]
        return [path for _, path in sorted(found, reverse=True)]

    def save(self, step: int, tensors: Tensors) -> Path:
        """Write the checkpoint after `step`, durable before it has its name; remove those beyond `keep`.

        Raises:
            TrainingError: the folder cannot be written (73), or the disk is full or failing (74). The ones before stay.
        """
        path = self.folder / f"step-{step:08d}.safetensors"
        content = encode(step, self._configuration, tensors)
        try:
            self.folder.mkdir(exist_ok=True)
            replace_file(path, lambda file: file.writelines(content))
            self._whole[path.name] = _identity(path)
            self._damaged.discard(path.name)
        except OSError as error:
            raise io_error(error, f"write the checkpoint {path.name}") from error
        self._remove_old(written=path)
        return path

    def newest(self) -> Checkpoint | None:
        """Return the newest whole checkpoint, or None where there is none; set damaged newer ones aside, aloud.

        What killed saves have left is removed.

        Raises:
            TrainingError: it is of another configuration or version, or every checkpoint is damaged (78); a file
                cannot be read (73, 74): it may be whole, so none before it is taken in its place; or the folder
                cannot be written (73).
        """
        self._require_writable()
        self._remove_leftovers()
        damaged: dict[Path, Damaged] = {}
        for path in self.paths():
            try:
                step, configuration, tensors = self._read(path)
            except Damaged as error:
                damaged[path] = error
                continue
            except OSError as error:
                raise io_error(error, f"read the checkpoint {path.name}") from error
            for other, reason in damaged.items():
                self._set_aside(other, reason)
            self._require_same(configuration, path)
            self._resumed_from = path
            return Checkpoint(step, tensors, path)
        # Where none is whole they keep their names: without them, the next try would start from nothing.
        for path, reason in damaged.items():
            self._talk(f"warning: checkpoint {path.name} is damaged: {reason}")
        if damaged:
            raise TrainingError(
                f"no whole checkpoint among {len(damaged)} in: {self.folder}",
                "restore one, or start anew in another OUTPUT_DIR",
                ExitCode.CONFIGURATION,
            )
        return None

    def _listing(self) -> list[Path]:
        try:
            return list(self.folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise io_error(error, f"list the checkpoints in {self.folder}") from error

    def _read(self, path: Path) -> Decoded:
        """Return (step, configuration, tensors); note the file as whole where it is this run's own.

        Raises:
            Damaged: it is not what was saved as this step.
            OSError: it cannot be read, which says nothing about what it holds.
            TrainingError: it is of a later format (78).
        """
        _require_file(path)
        identity = _identity(path)
        decoded = decode(path.read_bytes(), path.name)
        if decoded[0] != _step_in(path.name):
            raise Damaged(f"it holds step {decoded[0]}")
        if decoded[1] == self._configuration:
            self._whole[path.name] = identity
        return decoded

    def _is_own(self, path: Path) -> bool:
        """Return whether a file is a whole checkpoint of this run; read it unless that is known. A damaged one is set aside."""
        known = self._whole.pop(path.name, None)
        try:
            _require_file(path)
            if known is not None and known == _identity(path):
                self._whole[path.name] = known
            else:
                self._read(path)
        except Damaged as reason:
            self._set_aside(path, reason)
        except OSError as error:
            self._talk(f"warning: cannot read the checkpoint {path.name}, it does not count: {error.strerror or error}")
        except TrainingError:
            pass  # of another version: somebody put it there
        return path.name in self._whole

    def _remove_old(self, written: Path) -> None:
        """Remove own whole checkpoints beyond the newest `keep`, but neither `written` nor, the first time, the one resumed from."""
        spared = {written, self._resumed_from}
        own = [path for path in self.paths() if self._is_own(path)]
        for path in own[self._keep :]:
            if path not in spared:
                self._unlink(path)
                self._whole.pop(path.name, None)
        self._resumed_from = None

    def _require_writable(self) -> None:
        """Raise now for a folder in which the first save, an epoch later, would fail: another user's, or something else of this name."""
        if not os.path.lexists(self.folder):
            return
        number = 0 if os.access(self.folder, os.W_OK | os.X_OK) else errno.EACCES
        if not self.folder.is_dir():
            number = errno.ENOTDIR
        if number:
            raise io_error(OSError(number, os.strerror(number)), f"write to the folder {self.folder}")

    def _remove_leftovers(self) -> None:
        for path in self._listing():
            if _LEFTOVER.fullmatch(path.name) and not path.is_dir():
                self._unlink(path)

    def _unlink(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self._talk(f"warning: cannot remove {path.name} from the checkpoints: {error.strerror}")

    def _set_aside(self, path: Path, reason: Damaged) -> None:
        """Give a damaged checkpoint a name that is not a checkpoint's, and say so."""
        aside, number = path.with_name(path.name + DAMAGED), 1
        while os.path.lexists(aside):  # of an earlier damage; a folder and a file cannot replace each other
            number += 1
            aside = path.with_name(f"{path.name}{DAMAGED}-{number}")
        try:
            path.replace(aside)
            self._talk(f"warning: checkpoint {path.name} is damaged, set aside as {aside.name}: {reason}")
        except OSError as error:
            self._damaged.add(path.name)
            self._talk(f"warning: checkpoint {path.name} is damaged, but cannot be set aside ({error.strerror}): {reason}")

    def _require_same(self, theirs: Mapping[str, Any], path: Path) -> None:
        ours = self._configuration
        changed = [
            f"{name} was {theirs.get(name)}, is {ours.get(name)}"
            for name in sorted(theirs.keys() | ours.keys())
            if theirs.get(name) != ours.get(name)
        ]
        if changed:
            raise TrainingError(
                f"checkpoint {path.name} is of another configuration: {'; '.join(changed)}",
                "set the values back to resume from it, or set another OUTPUT_DIR to start anew",
                ExitCode.CONFIGURATION,
            )


def _step_in(name: str) -> int | None:
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def _require_file(path: Path) -> None:
    """Raise Damaged where the name leads to something that cannot be a checkpoint, such as a folder or a link to nothing."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if path.is_symlink() and error.errno in (errno.ENOENT, errno.ELOOP):
            raise Damaged("it is a link to nothing") from error
        raise
    if not stat.S_ISREG(mode):
        raise Damaged("it is not a file")


def _identity(path: Path) -> Identity:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
