"""A folder of class sub-folders of JPEG and PNG files, or one with `train` and `val` that hold class sub-folders."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from common.data.manifest import IMAGENET_MEAN, IMAGENET_STD, TRAIN, VALIDATION
from common.data.progress import Progress
from common.data.records import OVERHEAD, unreadable
from common.data.source import BrokenImage, Content, Item, Source, held_out
from common.errors import TrainingError
from mlops_launch.contract import ExitCode

DEFAULT_HELD_OUT: Final = 0.1
VALIDATION_FOLDERS: Final = ("val", "validation")
# About what a tf.train.Example adds to an image.
EXAMPLE_OVERHEAD: Final = 100


class _File(NamedTuple):
    path: Path
    label: int
    bytes: int
    changed: int


def image_folder(folder: Path, *, fraction: float | None, label_offset: int, shards: int | None, threads: int) -> Source:
    """Return the images of a folder, kept as they are; classes are the sub-folders' names, sorted.

    Args:
        folder: holds class sub-folders, or `train` and `val` with class sub-folders.
        fraction: of the images that is held out by checksum, where there is no `val`; a tenth when left out.
        label_offset: the label of the first class in the records.
        shards: record files of the training split; None for one per 128 MiB.
        threads: that read.

    Raises TrainingError: NO_DATA for a missing or empty folder, BAD_DATA for a class without images or one that is in `val`
    only, USAGE for a fraction beside a `val`.
    """
    if not folder.is_dir():
        raise TrainingError(f"no such folder: {folder}", "name the folder that holds the class folders", ExitCode.NO_DATA)
    try:
        classes, files = _list(folder, fraction)
    except OSError as error:
        raise unreadable(Path(error.filename or folder), error) from error
    part = 0.0 if VALIDATION in files else DEFAULT_HELD_OUT if fraction is None else fraction
    listing = [[str(file.path.relative_to(folder)), file.bytes, file.changed] for split in files.values() for file in split]
    made_by = {
        "preparer": "folder",
        "source": hashlib.sha256(json.dumps(listing).encode()).hexdigest(),
        "label_offset": label_offset,
        "validation_fraction": part,
        "shards": shards,
    }
    return Source(folder.resolve().name, made_by, label_offset, shards, partial(_read, files, classes, part, threads))


def _list(folder: Path, fraction: float | None) -> tuple[tuple[str, ...], dict[str, list[_File]]]:
    """Return the classes, and the files of the splits that the folder itself has."""
    train = folder / "train" if (folder / "train").is_dir() else folder
    held = next((folder / name for name in VALIDATION_FOLDERS if train != folder and (folder / name).is_dir()), None)
    if held is not None and fraction is not None:
        raise TrainingError(f"--validation-fraction is not for a folder that has its own: {held}", None, ExitCode.USAGE)
    classes = _class_names(train)
    files = {TRAIN: _files(train, classes, empty_allowed=False)}
    if held is not None:
        if unknown := sorted(set(_class_names(held)) - set(classes)):
            raise TrainingError(f"a class of `{held}` has no training images: {unknown[0]}", None, ExitCode.BAD_DATA)
        files[VALIDATION] = _files(held, classes, empty_allowed=True)
    return classes, files


def _read(files: dict[str, list[_File]], classes: tuple[str, ...], fraction: float, threads: int) -> Content:
    if fraction:
        files = _hold_out(files[TRAIN], fraction, threads)
    room = sum(file.bytes + OVERHEAD + EXAMPLE_OVERHEAD for split in files.values() for file in split)
    splits = {
        split: [Item(str(file.path), file.label, partial(_load, file.path)) for file in part] for split, part in files.items() if part
    }
    return Content(classes, splits, IMAGENET_MEAN, IMAGENET_STD, room)


def _hold_out(files: Sequence[_File], fraction: float, threads: int) -> dict[str, list[_File]]:
    splits: dict[str, list[_File]] = {TRAIN: [], VALIDATION: []}
    progress = Progress("checksums", len(files))
    with ThreadPoolExecutor(threads) as pool:
        for file, held in zip(files, pool.map(lambda file: held_out(_bytes(file.path), fraction), files), strict=True):
            splits[VALIDATION if held else TRAIN].append(file)
            progress.add()
    progress.close()
    for split, part in splits.items():
        if not part:
            raise TrainingError(
                f"a validation fraction of {fraction:g} leaves no image for {split}, of {len(files)}",
                "use another --validation-fraction (0: no validation images)",
                ExitCode.BAD_DATA,
            )
    return splits


def _class_names(folder: Path) -> tuple[str, ...]:
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not names:
        raise TrainingError(f"no class folders in: {folder}", "each class is a sub-folder that holds its images", ExitCode.NO_DATA)
    return tuple(names)


def _files(folder: Path, classes: tuple[str, ...], empty_allowed: bool) -> list[_File]:
    found: list[_File] = []
    for label, name in enumerate(classes):
        before = len(found)
        for base, folders, names in os.walk(folder / name, onerror=_fail, followlinks=True):
            folders[:] = sorted(sub for sub in folders if not sub.startswith("."))
            for file in sorted(file for file in names if not file.startswith(".")):
                path = Path(base, file)
                status = path.stat()
                found.append(_File(path, label, status.st_size, status.st_mtime_ns))
        if len(found) == before and not empty_allowed:
            raise TrainingError(f"a class folder holds no images: {folder / name}", "fill it or remove it", ExitCode.BAD_DATA)
    return found


def _fail(error: OSError) -> None:
    raise error


def _load(path: Path) -> bytes:
    data = _bytes(path)
    if not data:
        raise BrokenImage(str(path), "the file is empty")
    return data


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
