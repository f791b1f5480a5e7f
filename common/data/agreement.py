"""Ranks agree on their data before the first step: what one host lacks, all of them learn, and the host is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from common.agreement import find_odd
from common.comm import Comm, local_rank
from common.data.dataset import Dataset, open_dataset
from common.data.identity import Identity
from common.data.manifest import IMAGENET_MEAN, IMAGENET_STD
from common.data.records import unreadable
from common.data.stage import copy_to
from common.errors import TrainingError
from mlops_launch.contract import ExitCode

T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """A TrainingError, as it travels between ranks."""

    message: str
    hint: str | None
    code: ExitCode

    def error(self, where: str = "") -> TrainingError:
        """Return the error again, with `where` it happened in front."""
        return TrainingError(where + self.message, self.hint, self.code)


def open_on_all_ranks(
    dataset_dir: str | Path, cache_dir: str, comm: Comm, *, classes: int | None, label_offset: int | None, log: Callable[[str], None]
) -> Dataset:
    """Open the dataset on every rank, or fail on every rank; with a `cache_dir`, copied there first, once per host.

    Every rank must call it: each tells all the others its data's identity, or why it has none, in one gather. No rank
    can wait here for one that has failed.

    Raises TrainingError, the same on every rank: that of `open_dataset` where all ranks have it; BAD_DATA naming rank, host
    and difference where ranks do not have the same data; and that of a host that cannot copy.
    """
    opened: list[Dataset] = []

    def open_here() -> Identity:
        opened.append(open_dataset(dataset_dir, classes=classes, label_offset=label_offset, log=log))
        return opened[0].identity

    _agree(comm, _attempt(open_here, Path(dataset_dir)), str(dataset_dir))
    return _staged(opened[0], cache_dir, comm, log) if cache_dir else opened[0]


def agree_on_synthetic(comm: Comm, images: int, classes: int) -> None:
    """Tell the other ranks that this one needs no dataset; TrainingError (BAD_DATA) on every rank where another one does."""
    identity = Identity(classes, (), 0, IMAGENET_MEAN, IMAGENET_STD, {"train": images}, {"train": "synthetic"})
    _agree(comm, identity, "DATASET_DIR, or MLOPS_SYNTHETIC on every host")


def _agree(comm: Comm, mine: Identity | Failure, folder: str) -> None:
    error = disagreement(comm.gather_object(mine), comm.hosts, folder)
    if error is not None:
        raise error


def disagreement(found: Sequence[Identity | Failure], hosts: Sequence[str], folder: str) -> TrainingError | None:
    """Return the error of ranks that do not have the same data in `folder`, None where all have.

    What most ranks have counts as right, rank 0's among equals; the first rank that has something else is named.
    """
    kinds = [None if isinstance(one, Failure) else one.fingerprint for one in found]
    odd = find_odd(kinds, hosts, "data")
    if odd is None:
        first = found[0]
        if isinstance(first, Failure):
            # What every rank says needs no host.
            return first.error("" if len(set(found)) == 1 else f"rank 0 on host {hosts[0]}: ")
        return None
    named, good = found[odd.rank], found[odd.like]
    assert isinstance(good, Identity)
    what = named.message if isinstance(named, Failure) else good.difference(named)
    return TrainingError(
        f"{odd.text}: {what}",
        f"every host must see the same files, copy the dataset there again: {folder}",
        ExitCode.BAD_DATA,
    )


def _staged(dataset: Dataset, cache_dir: str, comm: Comm, log: Callable[[str], None]) -> Dataset:
    """Return the dataset in a copy on each host, which the host's first rank has written."""
    target: list[Path] = []

    def copy_here() -> None:
        target.append(copy_to(dataset, cache_dir, only_name=local_rank(comm) > 0, log=log))

    failures = comm.gather_object(_attempt(copy_here, Path(cache_dir)))
    for rank, failure in enumerate(failures):
        if isinstance(failure, Failure):
            raise failure.error(f"rank {rank} on host {comm.hosts[rank]}: " if comm.size > 1 else "")
    return dataset.moved(target[0])


def _attempt(work: Callable[[], T], folder: Path) -> T | Failure:
    try:
        return work()
    except TrainingError as error:
        return Failure(error.message, error.hint, error.code)
    except OSError as error:
        # One rank's error of any kind must not leave the others waiting.
        failed = unreadable(Path(error.filename or folder), error)
        return Failure(failed.message, failed.hint, failed.code)
