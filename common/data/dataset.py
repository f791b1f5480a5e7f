"""A dataset folder, opened: its splits, classes and records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.data import records
from common.data.manifest import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    INDEX_FILE,
    TRAIN,
    VALIDATION,
    Colour,
    Manifest,
    Shard,
    fingerprint,
    load,
)
from common.data.shards import find_shards
from common.errors import TrainingError
from mlops_launch.contract import ExitCode

# Scanning waits for the disk or the network, not for a core.
SCAN_THREADS = 16


@dataclass(frozen=True)
class Example:
    """One record, checked: `encoded` is the JPEG or PNG file, `label` is counted from 0."""

    encoded: bytes
    label: int


class Split:
    """The records of a split, numbered 0 … images-1 over all of its shards."""

    def __init__(self, folder: Path, names: list[str], lengths: list[records.Lengths]) -> None:
        self._paths = [folder / name for name in names]
        self._first = np.cumsum([0, *(len(part) for part in lengths)])
        self._lengths = np.concatenate(lengths)
        self._offsets = np.concatenate([records.offsets(part) for part in lengths])
        self.images = int(self._first[-1])

    def locate(self, record: int) -> tuple[Path, int, int, int]:
        """Return a record's file, its number in the file, its offset and the length of its data."""
        shard = int(np.searchsorted(self._first, record, "right")) - 1
        return self._paths[shard], record - int(self._first[shard]), int(self._offsets[record]), int(self._lengths[record])


@dataclass(frozen=True)
class Dataset:
    """A dataset folder, opened by `open_dataset`.

    Attributes:
        folder: the dataset folder.
        classes: the number of classes.
        class_names: their names, in the order of the labels; empty for a folder without manifest.
        label_offset: the label of the first class in the files (ImageNet's start at 1); batches count from 0.
        mean, std: of the pixels, three values each on the scale 0-255, for the normalisation.
        fingerprint: changes when the data change; for the fingerprint of a training's configuration.
        splits: by name, `train` and `validation`.
    """

    folder: Path
    classes: int
    class_names: tuple[str, ...]
    label_offset: int
    mean: Colour
    std: Colour
    fingerprint: str
    splits: Mapping[str, Split]
    files: records.Files

    def images(self, split: str) -> int:
        """Return the number of images of `train` or `validation`; TrainingError (NO_DATA) where there is no such split."""
        return self._split(split).images

    def read(self, split: str, record: int) -> Example:
        """Return a record by its number in the split, 0 … images-1.

        Raises TrainingError (BAD_DATA) naming shard, record and value for a wrong checksum, a missing feature or a label
        out of range, and IO_ERROR where the file cannot be read. Safe to call from several threads.
        """
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
        from tensorflow.train import Example as Proto

        path, number, offset, length = self._split(split).locate(record)
        data = self.files.read(path, number, offset, length)
        try:
            features = Proto.FromString(data).features.feature
        except DecodeError as error:
            raise self._bad(path, number, "no tf.train.Example, bytes", length) from error
        encoded, labels = features["image/encoded"].bytes_list.value, features["image/class/label"].int64_list.value
        if len(encoded) != 1 or len(labels) != 1:
            missing = "image/encoded" if len(encoded) != 1 else "image/class/label"
            raise self._bad(path, number, "needs one value of", missing)
        label = labels[0] - self.label_offset
        if not 0 <= label < self.classes:
            last = self.label_offset + self.classes - 1
            raise self._bad(path, number, f"label outside {self.label_offset}-{last}", labels[0])
        return Example(encoded[0], label)

    def where(self, split: str, record: int) -> str:
        """Return how messages name a record: "record 3 of `train-00000-of-00002`"."""
        path, number, _, _ = self._split(split).locate(record)
        return f"record {number} of `{path}`"

    def _split(self, split: str) -> Split:
        if split not in self.splits:
            raise TrainingError(f"the dataset has no split `{split}`: {self.folder}", f"it needs files `{split}-*`", ExitCode.NO_DATA)
        return self.splits[split]

    @staticmethod
    def _bad(path: Path, number: int, what: str, value: object) -> TrainingError:
        hint = "are the number of classes and the label offset right?" if what.startswith("label") else "prepare it again"
        return TrainingError(f"record {number} of `{path}`: {what}: {value}", hint, ExitCode.BAD_DATA)


def open_dataset(
    dataset_dir: str | Path, *, classes: int | None = None, label_offset: int | None = None, log: Callable[[str], None] = print
) -> Dataset:
    """Open a dataset folder and check that its files are there and whole in size.

    A folder with a manifest.json needs nothing else; `classes` and `label_offset`, where given, must agree with it.
    A folder without one (`train-*` and `validation-*` TFRecords from elsewhere) is scanned, and needs `classes`;
    `label_offset` is 0 when left out. ImageNet in the usual layout (`train-00000-of-01024`, labels 1 … 1000) is
    `classes=1000, label_offset=1`.

    Raises TrainingError: NO_DATA for a missing or empty folder, BAD_DATA for a truncated file or a manifest that does
    not fit the files, CONFIGURATION for classes or an offset that are missing or contradict the manifest.
    """
    folder = Path(dataset_dir)
    if not folder.is_dir():
        hint = "set DATASET_DIR, or write a dataset with `common/data/prepare.py`"
        raise TrainingError(f"no such dataset folder: {folder}", hint, ExitCode.NO_DATA)
    manifest = load(folder)
    if manifest is None:
        return _open_foreign(folder, classes, label_offset or 0, log)
    for what, given, found in (("classes", classes, len(manifest.classes)), ("label_offset", label_offset, manifest.label_offset)):
        if given is not None and given != found:
            raise TrainingError(f"{what} {given} contradicts the dataset's manifest: {found}", f"leave {what} out", ExitCode.CONFIGURATION)
    lengths = _indexed(folder, manifest, log)
    return Dataset(
        folder=folder,
        classes=len(manifest.classes),
        class_names=manifest.classes,
        label_offset=manifest.label_offset,
        mean=manifest.mean,
        std=manifest.std,
        fingerprint=fingerprint(manifest.splits, len(manifest.classes), manifest.label_offset),
        splits={
            split: Split(folder, [shard.name for shard in shards], [lengths[shard.name] for shard in shards])
            for split, shards in manifest.splits.items()
            if shards
        },
        files=records.Files(),
    )


def _open_foreign(folder: Path, classes: int | None, label_offset: int, log: Callable[[str], None]) -> Dataset:
    names = find_shards(folder)
    if classes is None:
        raise TrainingError(
            f"the dataset has no manifest, so the number of classes is needed: {folder}",
            "ImageNet's labels 1-1000 are classes 1000 and label offset 1",
            ExitCode.CONFIGURATION,
        )
    lengths = _scan(folder, [name for split in names.values() for name in split], log)
    shards = {
        split: tuple(Shard(name, records.file_size(lengths[name]), len(lengths[name]), "") for name in found)
        for split, found in names.items()
    }
    return Dataset(
        folder=folder,
        classes=classes,
        class_names=(),
        label_offset=label_offset,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        fingerprint=fingerprint(shards, classes, label_offset),
        splits={split: Split(folder, found, [lengths[name] for name in found]) for split, found in names.items()},
        files=records.Files(),
    )


def _indexed(folder: Path, manifest: Manifest, log: Callable[[str], None]) -> dict[str, records.Lengths]:
    """Return the lengths of the records of each shard, from the index file, or from the shards where it does not fit."""
    shards = [shard for split in (TRAIN, VALIDATION) for shard in manifest.splits.get(split, ())]
    for shard in shards:
        _check_size(folder / shard.name, shard.bytes)
    lengths = _from_index(folder / INDEX_FILE, shards)
    if lengths is None:
        log(f"`{folder / INDEX_FILE}` is missing or does not fit the manifest: reading the record files instead")
        lengths = _scan(folder, [shard.name for shard in shards], log)
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
    try:
        every: npt.NDArray[np.int64] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if every.dtype != np.int64 or every.shape != (sum(shard.images for shard in shards),):
        return None
    parts = np.split(every, np.cumsum([shard.images for shard in shards])[:-1])
    if any(records.file_size(part) != shard.bytes or (part < 0).any() for part, shard in zip(parts, shards, strict=True)):
        return None
    return {shard.name: part for shard, part in zip(shards, parts, strict=True)}


def _scan(folder: Path, names: list[str], log: Callable[[str], None]) -> dict[str, records.Lengths]:
    log(f"scanning the headers of {len(names)} record files: {folder}")
    with ThreadPoolExecutor(SCAN_THREADS) as pool:
        return dict(zip(names, pool.map(records.scan, [folder / name for name in names]), strict=True))
