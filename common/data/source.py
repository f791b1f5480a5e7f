"""What a preparer reads: images with their labels, before they are written as records."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from common.data.manifest import Color


class Item(NamedTuple):
    """One image: its name in messages, its label counted from 0, and how to get its JPEG or PNG file.

    `load` raises BrokenImage where there is none.
    """

    name: str
    label: int
    load: Callable[[], bytes]


class BrokenImage(Exception):
    """A source file that is no whole JPEG or PNG image."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


@dataclass(frozen=True)
class Content:
    """The images of a source, by split; `bytes` is about how much room they need."""

    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[Item]]
    mean: Color
    std: Color
    bytes: int


@dataclass(frozen=True)
class Source:
    """What a preparer writes.

    Attributes:
        name: of the dataset.
        made_by: what decides the output: compared, and written into the manifest.
        label_offset: the label of the first class in the records.
        shards: record files of the training split; None for one per 128 MiB.
        read: gives the images; called only where there is something to write.
    """

    name: str
    made_by: Mapping[str, Any]
    label_offset: int
    shards: int | None
    read: Callable[[], Content]


def held_out(content: bytes, fraction: float) -> bool:
    """Return whether an image belongs to the validation split, by the checksum of its content.

    The same image is always on the same side, however often and under whatever name it occurs.
    """
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big") < fraction * 2**64
