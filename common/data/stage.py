"""A copy of a dataset on node-local disk."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from common.data.manifest import INDEX_FILE, MANIFEST_FILE, load
from common.data.records import unreadable
from common.data.shards import find_shards
from common.errors import TrainingError
from common.files import io_error, replace_file
from mlops_launch.contract import ExitCode

BLOCK = 4 << 20


class _Part(NamedTuple):
    """A file to copy; `sha256` is empty where no manifest knows it."""

    name: str
    bytes: int
    sha256: str


def stage(
    dataset_dir: str | Path,
    cache_dir: str | Path,
    *,
    local_rank: int,
    barrier: Callable[[], None],
    log: Callable[[str], None] = print,
) -> Path:
    """Copy the dataset to `cache_dir`, once a host, and return the folder to open instead.

    Local rank 0 copies, verifies the manifest's checksums and keeps what an earlier call left whole; every rank then
    waits in `barrier`. A failure raises TrainingError before the barrier: the caller ends the other ranks by abort.

    Raises TrainingError: NO_DATA or BAD_DATA as `open_dataset`, BAD_DATA for a copy with another checksum, CANNOT_CREATE for
    a cache folder that cannot be written, IO_ERROR for too little room or a failing read.
    """
    source = Path(dataset_dir)
    if not source.is_dir():
        raise TrainingError(f"no such dataset folder: {source}", "set DATASET_DIR", ExitCode.NO_DATA)
    parts = _parts(source)
    name = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    target = Path(cache_dir) / f"dataset-{name}"
    if local_rank == 0:
        try:
            _copy(source, target, parts, log)
        except OSError as error:
            raise io_error(error, f"write the cache folder: {target}") from error
    barrier()
    return target


def _parts(source: Path) -> list[_Part]:
    manifest = load(source)
    try:
        if manifest is None:
            names = [name for found in find_shards(source).values() for name in found]
            return [_Part(name, (source / name).stat().st_size, "") for name in names]
        parts = [_Part(shard.name, shard.bytes, shard.sha256) for shards in manifest.splits.values() for shard in shards]
        if (source / INDEX_FILE).is_file():
            parts.append(_Part(INDEX_FILE, (source / INDEX_FILE).stat().st_size, ""))
        # The manifest comes last: with it, the copy is whole.
        digest = hashlib.sha256((source / MANIFEST_FILE).read_bytes()).hexdigest()
        return [*parts, _Part(MANIFEST_FILE, (source / MANIFEST_FILE).stat().st_size, digest)]
    except OSError as error:
        raise unreadable(source, error) from error


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
                f"not enough room in `{target}`, {needed >> 20} MiB are needed: {free >> 20} MiB",
                "use a larger cache folder, or none",
                ExitCode.IO_ERROR,
            )
        log(f"copying {len(missing)} of {len(parts)} files, {needed >> 20} MiB, to the node: {target}")
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
