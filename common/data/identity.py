"""What makes two datasets the same: their content. Names, paths and times of change do not count."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from common.data.manifest import Color
from common.data.records import Checksums, Lengths

# So many records of a split are looked at where a manifest vouches for the rest: each costs a read of its own, which a network file
# system answers slowly.
LOOKED_AT = 1 << 16


@dataclass(frozen=True)
class Identity:
    """A dataset's content, in a few short values that ranks can compare.

    Attributes:
        classes: the number of classes.
        class_names: in the order of the labels; empty where no manifest has them.
        label_offset: the label of the first class in the files.
        mean, std: of the pixels, as batches are normalized by them.
        images: the number of records of each split.
        content: of each split, a checksum of its records' lengths and CRC-32Cs in their order.
    """

    classes: int
    class_names: tuple[str, ...]
    label_offset: int
    mean: Color
    std: Color
    images: Mapping[str, int]
    content: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """A checksum of all of it, for a run's configuration and the name of a copy."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()

    def difference(self, other: Identity) -> str | None:
        """Return what is wrong with `other` where this one is right, the wrong value last; None where both are the same."""
        for split in sorted({*self.images, *other.images}):
            mine, its = self.images.get(split, 0), other.images.get(split, 0)
            if mine != its:
                return f"{mine} images of {split} expected: {its}"
        for what in ("classes", "label_offset", "class_names", "mean", "std"):
            mine, its = getattr(self, what), getattr(other, what)
            if mine != its:
                return f"other {what.replace('_', ' ')}, {_short(mine)} expected: {_short(its)}"
        for split in sorted(self.content):
            if self.content[split] != other.content[split]:
                return f"the same number of records, but other content or another order of them: {split}"
        return None


def content_checksum(lengths: Lengths, checksums: Checksums, vouched: tuple[str, ...] = ()) -> str:
    """Return a checksum of a split: the length of every record, the CRC-32Cs that were read, and what the manifest vouches for."""
    digest = hashlib.sha256(lengths.astype("<i8").tobytes())
    digest.update(checksums.astype("<u4").tobytes())
    digest.update("".join(vouched).encode())
    return digest.hexdigest()


def looked_at(images: int) -> Lengths:
    """Return the numbers of the records whose checksums are read: all, or so many at equal distances, with the first and the last.

    >>> looked_at(4).tolist()
    [0, 1, 2, 3]
    """
    return np.linspace(0, images - 1, min(images, LOOKED_AT)).astype(np.int64) if images else np.empty(0, np.int64)


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
