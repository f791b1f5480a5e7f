"""Where each record begins: from the index file beside the shards, or from the shards themselves."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.data import records
from common.data.manifest import INDEX_FILE, TRAIN, VALIDATION, Manifest, Shard
from common.errors import TrainingError
from mlops_launch.contract import ExitCode

# Scanning waits for the disk or the network, not for a core.
SCAN_THREADS = 16


def indexed(folder: Path, manifest: Manifest, log: Callable[[str], None]) -> dict[str, records.Lengths]:
    """Return the lengths of the records of each shard, from the index file, or from the shards where it does not fit."""
    shards = [shard for split in (TRAIN, VALIDATION) for shard in manifest.splits.get(split, ())]
    for shard in shards:
        _check_size(folder / shard.name, shard.bytes)
    lengths = _from_index(folder / INDEX_FILE, shards)
    if lengths is None:
        log(f"`{folder / INDEX_FILE}` is missing or does not fit the manifest: reading the record files instead")
        lengths = {name: found.lengths for name, found in scan_files(folder, [shard.name for shard in shards], log).items()}
    for shard in shards:
        if len(lengths[shard.name]) != shard.images:
            raise TrainingError(
                f"`{folder / shard.name}` should hold {shard.images} records by the manifest: {len(lengths[shard.name])}",
                records.COPY_AGAIN,
                ExitCode.BAD_DATA,
            )
    return lengths


def _check_size(path: Path, size: int) -> None:
    try:
        found = path.stat().st_size
    except FileNotFoundError:
        raise TrainingError(f"a record file of the manifest is missing: {path}", records.COPY_AGAIN, ExitCode.BAD_DATA) from None
    except OSError as error:
        raise records.unreadable(path, error) from error
    if found != size:
        what = "truncated" if found < size else "too long"
        raise TrainingError(f"`{path}` is {what}, {size} bytes by the manifest: {found}", records.COPY_AGAIN, ExitCode.BAD_DATA)


def _from_index(path: Path, shards: list[Shard]) -> dict[str, records.Lengths] | None:
    images = sum(shard.images for shard in shards)
    try:
        every: npt.NDArray[np.int64] = np.load(path, allow_pickle=False)
        if every.dtype != np.int64 or every.shape != (images,):
            return None
    except Exception:
        # Whatever numpy says of a damaged file: the shards know better.
        return None
    parts = np.split(every, np.cumsum([shard.images for shard in shards])[:-1])
    if any(records.file_size(part) != shard.bytes or (part < 0).any() for part, shard in zip(parts, shards, strict=True)):
        return None
    return {shard.name: part for shard, part in zip(shards, parts, strict=True)}


def scan_files(folder: Path, names: list[str], log: Callable[[str], None]) -> dict[str, records.Scanned]:
    """Return lengths and checksums of the records of each file, from their headers and footers."""
    log(f"scanning the headers of {len(names)} record files: {folder}")
    with ThreadPoolExecutor(SCAN_THREADS) as pool:
        return dict(zip(names, pool.map(records.scan, [folder / name for name in names]), strict=True))
