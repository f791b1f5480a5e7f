"""A copy of a dataset on node-local disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


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
    """
    raise NotImplementedError
