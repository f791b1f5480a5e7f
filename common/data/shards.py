"""The names of record files: `train-00000-of-00004`, with any number of digits and any suffix."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from common.data.manifest import INDEX_FILE, MANIFEST_FILE, TRAIN, VALIDATION
from common.data.names import some_of
from common.data.records import unreadable
from common.errors import TrainingError
from mlops_launch.contract import NO_DATA_HINT, ExitCode

# What the record files of a split begin with, before a hyphen.
PREFIXES = {TRAIN: (TRAIN,), VALIDATION: (VALIDATION, "val", "valid")}
_NUMBERED = re.compile(r"-([0-9]{1,9})-of-([0-9]{1,9})(?![0-9])")


def shard_name(split: str, number: int, shards: int) -> str:
    """Return the name of a record file.

    >>> shard_name("train", 3, 1024)
    'train-00003-of-01024'
    """
    return f"{split}-{number:05d}-of-{shards:05d}"


def find_shards(folder: Path, log: Callable[[str], None]) -> dict[str, list[str]]:
    """Return the record files of each split of a folder without a manifest, by name; log names the files that are of neither.

    Raises TrainingError: NO_DATA where there is no `train-*` or `validation-*` file, BAD_DATA where one is empty, files
    `…-of-N` are not N, or a split has files of two names.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith(".") and not path.is_dir())
    except OSError as error:
        raise unreadable(folder, error) from error
    found: dict[str, list[str]] = {}
    for split, prefixes in PREFIXES.items():
        of_split = {prefix: files for prefix in prefixes if (files := [name for name in names if name.startswith(f"{prefix}-")])}
        if len(of_split) > 1:
            raise _bad(f"two sets of files for {split} in `{folder}`", some_of([f"{prefix}-*" for prefix in of_split]))
        if of_split:
            found[split] = _complete(folder, next(iter(of_split.values())))
    if not found:
        holds = f"; it holds {some_of(sorted(path.name for path in folder.iterdir()))}" if any(folder.iterdir()) else ""
        raise TrainingError(
            f"no files `train-*` or `validation-*` in the dataset folder: {folder}",
            f"{NO_DATA_HINT}{holds}",
            ExitCode.NO_DATA,
        )
    used = {name for files in found.values() for name in files} | {MANIFEST_FILE, INDEX_FILE}
    if unused := [name for name in names if name not in used]:
        log(f"not used, neither `train-*` nor `validation-*`, {len(unused)} of the files in `{folder}`: {some_of(unused)}")
    return found


def is_record_file(name: str) -> bool:
    """Return whether a file is called as record files are.

    >>> is_record_file("val-00000-of-00001"), is_record_file("trains.txt")
    (True, False)
    """
    return any(name.startswith(f"{prefix}-") for prefixes in PREFIXES.values() for prefix in prefixes)


def _complete(folder: Path, files: list[str]) -> list[str]:
    """Return a split's files in the order of their numbers, where each is there once and holds something."""
    files = _in_order(folder, files)
    for name in files:
        try:
            size = (folder / name).stat().st_size
        except OSError as error:
            raise unreadable(folder / name, error) from error
        if not size:
            raise TrainingError(f"a record file is empty: {folder / name}", "copy or prepare the file again", ExitCode.BAD_DATA)
    return files


def _in_order(folder: Path, files: list[str]) -> list[str]:
    matches = {name: match for name in files if (match := _NUMBERED.search(name))}
    if not matches:
        return files
    (usual, _), *_ = Counter(_set_of(name, match) for name, match in matches.items()).most_common(1)
    numbers = {name: int(match[1]) for name, match in matches.items() if _set_of(name, match) == usual}
    shards, found = usual[0], set(numbers.values())
    # Some count from 1.
    first = 1 if 0 not in found and shards in found else 0
    surplus = [name for name in files if name not in numbers or not first <= numbers[name] < first + shards]
    if surplus or len(found) < len(numbers):
        repeated = [name for name, number in numbers.items() if list(numbers.values()).count(number) > 1]
        raise _bad(f"`{folder}` holds record files of more than one dataset, for example", (surplus or repeated)[0])
    if len(found) < shards:
        missing = next(number for number in itertools.count(first) if number not in found)
        name, match = next((name, match) for name, match in matches.items() if name in numbers)
        raise TrainingError(
            f"{shards - len(found)} of {shards} record files are missing from `{folder}`, "
            f"the first: {name[: match.start(1)]}{missing:0{len(match[1])}d}{name[match.end(1) :]}",
            "copy the dataset again",
            ExitCode.BAD_DATA,
        )
    return sorted(numbers, key=numbers.__getitem__)


def _set_of(name: str, match: re.Match[str]) -> tuple[int, str, str]:
    """Return what a set of files is known by: their number, and what stands before and after the numbers."""
    return int(match[2]), name[: match.start()], name[match.end() :]


def _bad(what: str, value: str) -> TrainingError:
    return TrainingError(f"{what}: {value}", "keep each dataset in a folder of its own", ExitCode.BAD_DATA)
