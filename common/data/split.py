"""The records of a split, and one record read."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.data import records


@dataclass(frozen=True)
class Example:
    """One record, checked: `encoded` is the JPEG or PNG file, `label` is counted from 0."""

    encoded: bytes
    label: int


class Split:
    """The records of a split, numbered 0 … images-1 over all of its shards."""

    def __init__(self, folder: Path, names: list[str], lengths: list[records.Lengths]) -> None:
        self._names = names
        self._paths = [folder / name for name in names]
        self._first = np.cumsum([0, *(len(part) for part in lengths)])
        self._lengths = np.concatenate(lengths)
        self._offsets = np.concatenate([records.offsets(part) for part in lengths])
        self.images = int(self._first[-1])

    def locate(self, record: int) -> tuple[Path, int, int, int]:
        """Return a record's file, its number in the file, its offset and the length of its data."""
        shard = int(np.searchsorted(self._first, record, "right")) - 1
        return self._paths[shard], record - int(self._first[shard]), int(self._offsets[record]), int(self._lengths[record])

    def files(self) -> dict[str, int]:
        """Return the names of the record files and their sizes in bytes."""
        parts = [self._lengths[first:last] for first, last in itertools.pairwise(self._first)]
        return {name: records.file_size(part) for name, part in zip(self._names, parts, strict=True)}

    def moved(self, folder: Path) -> Split:
        """Return the same records, to be read from files of the same names in another folder."""
        copy_ = copy.copy(self)
        copy_._paths = [folder / name for name in self._names]
        return copy_
