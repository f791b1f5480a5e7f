"""A dataset folder, opened: its splits, classes and records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Example:
    """One record, checked: `encoded` is the JPEG or PNG file, `label` is counted from 0."""

    encoded: bytes
    label: int


class Dataset:
    """A dataset folder, opened by `open_dataset`.

    Attributes:
        folder: the dataset folder.
        classes: the number of classes.
        class_names: their names, in the order of the labels; empty for a folder without manifest.
        label_offset: the label of the first class in the files (ImageNet's start at 1); batches count from 0.
        mean, std: of the pixels, three values each on the scale 0-255, for the normalisation.
        fingerprint: changes when the data change; for the fingerprint of a training's configuration.
    """

    folder: Path
    classes: int
    class_names: tuple[str, ...]
    label_offset: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fingerprint: str

    def images(self, split: str) -> int:
        """Return the number of images of `train` or `validation`; TrainingError (NO_DATA) where there is no such split."""
        raise NotImplementedError

    def read(self, split: str, record: int) -> Example:
        """Return a record by its number in the split, 0 … images-1.

        Raises TrainingError (BAD_DATA) naming shard, record and value for a wrong checksum, a missing feature or a label
        out of range, and IO_ERROR where the file cannot be read. Safe to call from several threads.
        """
        raise NotImplementedError


def open_dataset(
    dataset_dir: str | Path, *, classes: int | None = None, label_offset: int | None = None, log: Callable[[str], None] = print
) -> Dataset:
    """Open a dataset folder and check that its files are there and whole in size.

    A folder with a manifest.json needs nothing else; `classes` and `label_offset`, where given, must agree with it.
    A folder without one (`train-*` and `validation-*` TFRecords from elsewhere) is scanned, and needs `classes`;
    `label_offset` is 0 when left out (ImageNet's 1,000 classes start at 1).

    Raises TrainingError: NO_DATA for a missing or empty folder, BAD_DATA for a truncated file or a manifest that does
    not fit the files, CONFIGURATION for classes or an offset that are missing or contradict the manifest.
    """
    raise NotImplementedError
