"""A folder of class sub-folders of JPEG and PNG files, or one with `train` and `val` that hold class sub-folders."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from common.data.layout import Layout, find_layout
from common.data.listing import Entry, Notes, Tree
from common.data.manifest import IMAGENET_MEAN, IMAGENET_STD, TRAIN, VALIDATION
from common.data.names import printable, some_of
from common.data.progress import Progress
from common.data.records import OVERHEAD, unreadable
from common.data.source import BrokenImage, Content, Item, Source, held_out
from common.errors import TrainingError
from mlops_launch.contract import ExitCode

DEFAULT_HELD_OUT: Final = 0.1
# About what a tf.train.Example adds to an image.
EXAMPLE_OVERHEAD: Final = 100


class _File(NamedTuple):
    entry: Entry
    label: int


def image_folder(
    folder: Path, *, fraction: float | None, label_offset: int, shards: int | None, threads: int, log: Callable[[str], None]
) -> Source:
    """Return the images of a folder, kept as they are; classes are the sub-folders' names, sorted.

    Args:
        folder: holds class sub-folders, or `train` and `val` with class sub-folders.
        fraction: of the images that is held out by checksum, where there is no `val`; a tenth when left out.
        label_offset: the label of the first class in the records.
        shards: record files of the training split; None for one per 128 MiB.
        threads: that read.
        log: takes what is not used of the folder, with counts and reasons.

    Raises TrainingError: NO_DATA for a missing or empty folder, BAD_DATA for a class without images, one that is in `val`
    only, and folders whose role cannot be told, USAGE for a fraction beside a `val`.
    """
    if not folder.is_dir():
        raise TrainingError(f"no such folder: {folder}", "name the folder that holds the class folders", ExitCode.NO_DATA)
    notes = Notes(folder)
    try:
        layout = find_layout(folder, fraction, notes, log)
        files = _list(folder, layout, notes)
    except OSError as error:
        raise unreadable(Path(error.filename or folder), error) from error
    notes.tell(log)
    part = 0.0 if VALIDATION in files else DEFAULT_HELD_OUT if fraction is None else fraction
    listing = [
        [str(entry.path.relative_to(folder)), entry.bytes, entry.changed, label] for split in files.values() for entry, label in split
    ]
    made_by = {
        "preparer": "folder",
        "source": hashlib.sha256(json.dumps(listing).encode()).hexdigest(),
        "label_offset": label_offset,
        "validation_fraction": part,
        "shards": shards,
    }
    name = printable(os.path.basename(os.path.realpath(folder)))
    return Source(name, made_by, label_offset, shards, partial(_read, files, layout.classes, part, threads, log))


def _list(source: Path, layout: Layout, notes: Notes) -> dict[str, list[_File]]:
    """Return the files of the splits that the folder itself has."""
    tree = Tree(source, notes)
    files = {TRAIN: [_File(entry, label) for label, name in enumerate(layout.classes) for entry in tree.files(layout.train / name)]}
    empty = sorted(set(range(len(layout.classes))) - {file.label for file in files[TRAIN]})
    if empty:
        folder = layout.train / layout.classes[empty[0]]
        raise TrainingError(f"a class folder holds no images: {printable(folder)}", "fill it or remove it", ExitCode.BAD_DATA)
    if layout.validation is not None:
        folders = [(label, layout.validation / name) for label, name in enumerate(layout.classes)]
        files[VALIDATION] = [_File(entry, label) for label, folder in folders if folder.is_dir() for entry in tree.files(folder)]
        if not files[VALIDATION]:
            raise TrainingError(f"no images in: {layout.validation}", "fill the folder or remove it", ExitCode.BAD_DATA)
    return files


def _read(files: dict[str, list[_File]], classes: tuple[str, ...], fraction: float, threads: int, log: Callable[[str], None]) -> Content:
    if fraction:
        files = _hold_out(files[TRAIN], classes, fraction, threads, log)
    room = sum(file.entry.bytes + OVERHEAD + EXAMPLE_OVERHEAD for split in files.values() for file in split)
    splits = {
        split: [Item(printable(file.entry.path), file.label, partial(_load, file.entry)) for file in part]
        for split, part in files.items()
        if part
    }
    return Content(classes, splits, IMAGENET_MEAN, IMAGENET_STD, room)


def _hold_out(
    files: Sequence[_File], classes: Sequence[str], fraction: float, threads: int, log: Callable[[str], None]
) -> dict[str, list[_File]]:
    """Return the files by split; a class of which nothing were left for training stays there as a whole."""
    progress = Progress("checksums", len(files))
    with ThreadPoolExecutor(threads) as pool:
        held = []
        for one in pool.map(lambda file: not file.entry.problem and held_out(_bytes(file.entry.path), fraction), files):
            held.append(one)
            progress.add()
    progress.close()
    trained = {file.label for file, one in zip(files, held, strict=True) if not one}
    if rare := sorted({file.label for file in files} - trained):
        log(f"nothing held out of classes too small for it, {len(rare)} of {len(classes)}: {some_of([classes[label] for label in rare])}")
    splits: dict[str, list[_File]] = {TRAIN: [], VALIDATION: []}
    for file, one in zip(files, held, strict=True):
        splits[VALIDATION if one and file.label in trained else TRAIN].append(file)
    if not splits[VALIDATION]:
        raise TrainingError(
            f"a validation fraction of {fraction:g} leaves no image for validation, of {len(files)}",
            "use another --validation-fraction (0: no validation images)",
            ExitCode.BAD_DATA,
        )
    return splits


def _load(entry: Entry) -> bytes:
    name = printable(entry.path)
    if entry.problem:
        raise BrokenImage(name, entry.problem)
    data = _bytes(entry.path)
    if not data:
        raise BrokenImage(name, "the file is empty")
    return data


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
