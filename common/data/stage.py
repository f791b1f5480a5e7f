"""A copy of a dataset on node-local disk."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from common.data.dataset import Dataset
from common.data.manifest import load
from common.data.records import unreadable
from common.data.sizes import size_text
from common.errors import TrainingError
from common.files import io_error, replace_file
from mlops_launch.contract import ExitCode

BLOCK = 4 << 20


class _Part(NamedTuple):
    """A file to copy; `sha256` is empty where no manifest knows it."""

    name: str
    bytes: int
    sha256: str


def copy_to(dataset: Dataset, cache_dir: str | Path, *, only_name: bool, log: Callable[[str], None] = print) -> Path:
    """Copy the dataset's files to a folder in `cache_dir` and return that folder; `only_name` returns it without copying.

    The folder's name follows the content: other data never meet an older copy. Checksums of the manifest are verified, and what
    an earlier call left whole is kept.

    Raises TrainingError: BAD_DATA for a file that is not the manifest's, CANNOT_CREATE for a cache folder that cannot be
    written, IO_ERROR for too little room or a failing read.
    """
    parts = _parts(dataset)
    key = repr([dataset.fingerprint, *[(part.name, part.bytes) for part in parts]])
    target = Path(cache_dir) / f"dataset-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if not only_name:
        try:
            _copy(dataset.folder, target, parts, log)
        except OSError as error:
            raise io_error(error, f"write the cache folder: {target}") from error
    return target


def _parts(dataset: Dataset) -> list[_Part]:
    manifest = load(dataset.folder)
    known = {} if manifest is None else {shard.name: shard.sha256 for shards in manifest.splits.values() for shard in shards}
    sizes = {name: size for split in dataset.splits.values() for name, size in split.files().items()}
    return [_Part(name, size, known.get(name, "")) for name, size in sizes.items()]


def _copy(source: Path, target: Path, parts: list[_Part], log: Callable[[str], None]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    folder = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Another job on this host may copy the same dataset: the second one waits and finds it there.
        fcntl.flock(folder, fcntl.LOCK_EX)
        # A file gets its name only after its checksum was verified, so the size is enough to know it again.
        missing = [part for part in parts if not _is_there(target / part.name, part.bytes)]
        if not missing:
            return
        needed, free = sum(part.bytes for part in missing), shutil.disk_usage(target).free
        if free < needed:
            raise TrainingError(
                f"not enough room in `{target}`, {size_text(needed)} are needed: {size_text(free)}",
                "use a larger cache folder, or none",
                ExitCode.IO_ERROR,
            )
        log(f"copying {len(missing)} of {len(parts)} files, {size_text(needed)}, to the node: {target}")
        for part in missing:
            replace_file(target / part.name, lambda file, part=part: _copy_file(source / part.name, file, part))  # type: ignore[misc]
    finally:
        os.close(folder)


def _is_there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _copy_file(path: Path, to: BinaryIO, part: _Part) -> None:
    digest, copied = hashlib.sha256(), 0
    try:
        file = open(path, "rb")
    except OSError as error:
        raise unreadable(path, error) from error
    with file:
        while True:
            try:
                block = file.read(BLOCK)
            except OSError as error:
                raise unreadable(path, error) from error
            if not block:
                break
            to.write(block)
            digest.update(block)
            copied += len(block)
    if copied != part.bytes or part.sha256 not in ("", digest.hexdigest()):
        raise TrainingError(f"the copy has another size or checksum than the manifest says: {path}", "prepare it again", ExitCode.BAD_DATA)
