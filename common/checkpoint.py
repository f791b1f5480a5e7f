"""Checkpoints: one safetensors file a step, checksummed, replaced whole, the newest few kept.

Format 1: tensors by name; metadata (text) holds `format`, `step`, `sha256` over the tensors' names, types, shapes
and bytes in name order, and `configuration`, a JSON object of what a resume must not change.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import TrainingError
from common.output import io_error
from mlops_launch.contract import CHECKPOINTS_FOLDER, ExitCode

FORMAT = "1"
_NAME = re.compile(r"step-(\d{8})\.safetensors")

Tensors = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read back: the step it was taken after, its tensors by name, and where it lies."""

    step: int
    tensors: Tensors
    path: Path


def checksum(tensors: Tensors) -> str:
    """Return the SHA-256 of all tensors: names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        digest.update(tensor.data)
    return digest.hexdigest()


class Checkpoints:
    """The checkpoints of one output folder.

    Args:
        output_dir: OUTPUT_DIR.
        configuration: what must be the same when a training goes on, by name.
        keep: how many checkpoints stay.
    """

    def __init__(self, output_dir: Path, configuration: Mapping[str, Any], keep: int = 3) -> None:
        self.folder = output_dir / CHECKPOINTS_FOLDER
        self._configuration = dict(configuration)
        self._keep = keep

    def paths(self) -> list[Path]:
        """Return the checkpoints' files, newest first."""
        if not self.folder.is_dir():
            return []
        return sorted((path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)), reverse=True)

    def save(self, step: int, tensors: Tensors) -> Path:
        """Write the checkpoint after `step`, durable before it has its name; remove those beyond `keep`.

        Raises:
            TrainingError: the folder cannot be written (73), or the disk is full (74).
        """
        from safetensors.numpy import save_file

        metadata = {
            "format": FORMAT,
            "step": str(step),
            "sha256": checksum(tensors),
            "configuration": json.dumps(self._configuration, sort_keys=True),
        }
        path = self.folder / f"step-{step:08d}.safetensors"
        partial = self.folder / f".{path.name}.partial"
        try:
            self.folder.mkdir(exist_ok=True)
            try:
                save_file(dict(tensors), partial, metadata=metadata)
            except OSError:
                raise
            except Exception as error:  # safetensors wraps the OSError in a type of its own
                raise _os_error(error) from error
            _sync(partial)
            partial.replace(path)
            _sync(self.folder)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise io_error(error, f"write the checkpoint {path.name}") from error
        for old in self.paths()[self._keep :]:
            old.unlink(missing_ok=True)
        return path

    def newest(self, talk: Callable[[str], None]) -> Checkpoint | None:
        """Return the newest checkpoint that is whole, or None where there is none; says which ones are not.

        Raises:
            TrainingError: it belongs to another configuration, or every checkpoint is broken (78).
        """
        paths = self.paths()
        for path in paths:
            try:
                step, configuration, tensors = _read(path)
            except ValueError as error:
                talk(f"warning: checkpoint {path.name} is broken, trying the one before: {error}")
                continue
            self._require_same(configuration, path)
            return Checkpoint(step, tensors, path)
        if paths:
            raise TrainingError(
                f"no whole checkpoint among {len(paths)} in: {self.folder}",
                "restore one, or start anew in another OUTPUT_DIR",
                ExitCode.CONFIGURATION,
            )
        return None

    def _require_same(self, configuration: Mapping[str, Any], path: Path) -> None:
        theirs, ours = dict(configuration), json.loads(json.dumps(self._configuration))
        changed = [
            f"{name} was {theirs.get(name)}, is {ours.get(name)}"
            for name in sorted(theirs.keys() | ours.keys())
            if theirs.get(name) != ours.get(name)
        ]
        if changed:
            raise TrainingError(
                f"checkpoint {path.name} is of another configuration: {'; '.join(changed)}",
                "set the values back to go on with it, or set another OUTPUT_DIR to start anew",
                ExitCode.CONFIGURATION,
            )


def _read(path: Path) -> tuple[int, dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return (step, configuration, tensors) of a checkpoint.

    Raises:
        ValueError: it is truncated, changed, or of another format.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (SafetensorError, OSError) as error:
        raise ValueError(str(error)) from error
    if metadata.get("format") != FORMAT:
        raise ValueError(f"its format is {metadata.get('format')}, known is {FORMAT}")
    if metadata.get("sha256") != checksum(tensors):
        raise ValueError("its checksum does not match")
    return int(metadata["step"]), json.loads(metadata["configuration"]), tensors


def _os_error(error: Exception) -> OSError:
    """Return the OSError inside safetensors' own error, which carries it as text only: `… (os error 28)`."""
    number = re.search(r"os error (\d+)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(0, str(error))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
