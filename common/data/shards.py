"""The names of record files: `train-00000-of-00004`."""

from __future__ import annotations

import re
from pathlib import Path

from common.data.manifest import TRAIN, VALIDATION
from common.errors import TrainingError
from mlops_launch.contract import ExitCode

_NUMBERED = re.compile(r"-(\d+)-of-(\d+)$")


def shard_name(split: str, number: int, shards: int) -> str:
    """Return the name of a record file.

    >>> shard_name("train", 3, 1024)
    'train-00003-of-01024'
    """
    return f"{split}-{number:05d}-of-{shards:05d}"


def find_shards(folder: Path) -> dict[str, list[str]]:
    """Return the record files of each split of a folder without a manifest, by name.

    Raises TrainingError: NO_DATA where there is no `train-*` or `validation-*` file or one is empty, BAD_DATA where files
    `…-of-N` are not N.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise TrainingError(f"cannot list the dataset folder: {folder}: {error.strerror}", None, ExitCode.NO_DATA) from error
    splits = {split: [name for name in names if name.startswith(f"{split}-")] for split in (TRAIN, VALIDATION)}
    found = {split: files for split, files in splits.items() if files}
    if not found:
        hint = "set DATASET_DIR, or write a dataset with `common/data/prepare.py`"
        raise TrainingError(f"no files `train-*` or `validation-*` in the dataset folder: {folder}", hint, ExitCode.NO_DATA)
    for files in found.values():
        _check_complete(folder, files)
    for name in (name for files in found.values() for name in files):
        if not (folder / name).stat().st_size:
            raise TrainingError(f"a record file is empty: {folder / name}", "copy or prepare the file again", ExitCode.BAD_DATA)
    return found


def _check_complete(folder: Path, files: list[str]) -> None:
    numbered = [match for name in files if (match := _NUMBERED.search(name))]
    if not numbered:
        return
    expected = {shard_name(files[0].split("-", 1)[0], number, int(numbered[0][2])) for number in range(int(numbered[0][2]))}
    if missing := sorted(expected - set(files)):
        raise TrainingError(
            f"{len(missing)} of {len(expected)} record files are missing from `{folder}`, the first: {missing[0]}",
            "copy the dataset again",
            ExitCode.BAD_DATA,
        )
    if surplus := sorted(set(files) - expected):
        raise TrainingError(
            f"`{folder}` holds record files of more than one dataset, for example: {surplus[0]}",
            "keep each dataset in a folder of its own",
            ExitCode.BAD_DATA,
        )
