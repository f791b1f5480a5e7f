"""A dataset folder, opened: its splits, classes and records."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.data import records
from common.data.identity import Identity, content_checksum, looked_at
from common.data.index import SCAN_THREADS, indexed, scan_files
from common.data.manifest import IMAGENET_MEAN, IMAGENET_STD, MANIFEST_FILE, Color, Manifest, Shard, load
from common.data.names import some_of
from common.data.shards import find_shards, is_record_file
from common.data.split import Example, Split
from common.errors import TrainingError
from mlops_launch.contract import NO_DATA_HINT, ExitCode


@dataclass(frozen=True)
class Dataset:
    """A dataset folder, opened by `open_dataset`.

    Attributes:
        folder: the dataset folder.
        identity: its content: classes, label offset, mean and std of the pixels, and checksums of the records.
        splits: by name, `train` and `validation`.
    """

    folder: Path
    identity: Identity
    splits: Mapping[str, Split]
    files: records.Files

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self.identity.classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the labels; empty for a folder without a manifest."""
        return self.identity.class_names

    @property
    def label_offset(self) -> int:
        """The label of the first class in the files (ImageNet's start at 1); batches count from 0."""
        return self.identity.label_offset

    @property
    def mean(self) -> Color:
        """Mean of the pixels, three values on the scale 0-255, for the normalization."""
        return self.identity.mean

    @property
    def std(self) -> Color:
        """Standard deviation of the pixels, three values on the scale 0-255."""
        return self.identity.std

    @property
    def fingerprint(self) -> str:
        """Changes when the data change, and only then; for the fingerprint of a run's configuration."""
        return self.identity.fingerprint

    def moved(self, folder: Path) -> Dataset:
        """Return this dataset, to be read from a copy of its files in another folder."""
        splits = {name: split.moved(folder) for name, split in self.splits.items()}
        return dataclasses.replace(self, folder=folder, splits=splits, files=records.Files())

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
        # Asking for a key that is not there would add it.
        encoded = features["image/encoded"].bytes_list.value if "image/encoded" in features else []
        labels = features["image/class/label"].int64_list.value if "image/class/label" in features else []
        if len(encoded) != 1 or len(labels) != 1:
            missing = "image/encoded" if len(encoded) != 1 else "image/class/label"
            raise self._bad(path, number, f"it has {some_of(sorted(features)) or 'no features'}, and needs one value of", missing)
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
        raise TrainingError(f"no such dataset folder: {folder}", NO_DATA_HINT, ExitCode.NO_DATA)
    manifest = load(folder)
    if manifest is None:
        if (folder / MANIFEST_FILE).exists():
            log(f"not used, a manifest of another program: {folder / MANIFEST_FILE}")
        return _open_foreign(folder, classes, label_offset or 0, log)
    for what, given, found in (("classes", classes, len(manifest.classes)), ("label_offset", label_offset, manifest.label_offset)):
        if given is not None and given != found:
            raise TrainingError(f"{what} {given} contradicts the dataset's manifest: {found}", f"leave {what} out", ExitCode.CONFIGURATION)
    _tell(folder, manifest, log)
    lengths = indexed(folder, manifest, log)
    shards = {split: parts for split, parts in manifest.splits.items() if parts}
    identity = Identity(
        classes=len(manifest.classes),
        class_names=manifest.classes,
        label_offset=manifest.label_offset,
        mean=manifest.mean,
        std=manifest.std,
        images={split: manifest.images(split) for split in shards},
        content={split: _content(folder, parts, lengths) for split, parts in shards.items()},
    )
    splits = {
        split: Split(folder, [shard.name for shard in parts], [lengths[shard.name] for shard in parts]) for split, parts in shards.items()
    }
    return Dataset(folder, identity, splits, records.Files())


def _tell(folder: Path, manifest: Manifest, log: Callable[[str], None]) -> None:
    """Log what a person may not expect of a dataset with a manifest."""
    if manifest.damaged:
        log(f"images that libjpeg complains of without their name, {len(manifest.damaged)}: {some_of(manifest.damaged)}")
    known = {shard.name for shards in manifest.splits.values() for shard in shards}
    with contextlib.suppress(OSError):  # the files of the manifest can be read in a folder that cannot be listed
        if others := sorted(name for name in os.listdir(folder) if is_record_file(name) and name not in known):
            log(f"not used, record files that are not in the manifest, {len(others)}: {some_of(others)}")


def _open_foreign(folder: Path, classes: int | None, label_offset: int, log: Callable[[str], None]) -> Dataset:
    names = find_shards(folder, log)
    if classes is None:
        raise TrainingError(
            f"the dataset has no manifest, so the number of classes is needed: {folder}",
            "ImageNet's labels 1-1000 are classes 1000 and label offset 1",
            ExitCode.CONFIGURATION,
        )
    if classes < 2:
        raise TrainingError(f"a classifier needs two classes: {classes}", "set MLOPS_CLASSES", ExitCode.CONFIGURATION)
    scanned = scan_files(folder, [name for split in names.values() for name in split], log)
    lengths = {split: [scanned[name].lengths for name in found] for split, found in names.items()}
    checksums = {split: [scanned[name].checksums for name in found] for split, found in names.items()}
    identity = Identity(
        classes=classes,
        class_names=(),
        label_offset=label_offset,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        images={split: sum(map(len, parts)) for split, parts in lengths.items()},
        content={split: content_checksum(np.concatenate(lengths[split]), np.concatenate(checksums[split])) for split in names},
    )
    return Dataset(folder, identity, {split: Split(folder, found, lengths[split]) for split, found in names.items()}, records.Files())


def _content(folder: Path, shards: tuple[Shard, ...], lengths: Mapping[str, records.Lengths]) -> str:
    """Return the checksum of a split's content: the manifest's own of each shard, and what the records themselves say.

    The records are asked too, since a manifest may lie beside shards that were replaced.
    """
    first = np.cumsum([0, *(shard.images for shard in shards)])
    chosen = looked_at(int(first[-1]))
    parts = [chosen[(chosen >= first[at]) & (chosen < first[at + 1])] - first[at] for at in range(len(shards))]
    with ThreadPoolExecutor(SCAN_THREADS) as pool:
        read = list(pool.map(lambda shard, part: records.read_checksums(folder / shard.name, lengths[shard.name], part), shards, parts))
    every = np.concatenate([lengths[shard.name] for shard in shards])
    return content_checksum(every, np.concatenate(read), tuple(shard.sha256 for shard in shards))
