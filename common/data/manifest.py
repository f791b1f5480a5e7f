"""The manifest of a dataset folder, manifest.json: what is in the record files, and how they were made."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from common.data.records import unreadable
from common.errors import TrainingError
from mlops_launch.contract import ExitCode

SCHEMA: Final = 1
MANIFEST_FILE: Final = "manifest.json"
# int64, the length of every record's data, shard after shard in the manifest's order.
INDEX_FILE: Final = "index.npy"
# There from the first shard until the manifest is written: the folder is not complete.
JOURNAL_FILE: Final = "unfinished.json"

TRAIN: Final = "train"
VALIDATION: Final = "validation"

# Of ImageNet's training images, on the scale 0-255.
IMAGENET_MEAN: Final = (123.675, 116.28, 103.53)
IMAGENET_STD: Final = (58.395, 57.12, 57.375)

Color = tuple[float, float, float]

# By any of these fields a manifest is known as one of ours.
_OURS: Final = frozenset(("schema", "label_offset", "made_by", "splits"))


@dataclass(frozen=True)
class Shard:
    """A record file: its name in the folder, its size, its number of records and its checksum."""

    name: str
    bytes: int
    images: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a dataset folder holds.

    Attributes:
        name: of the dataset.
        classes: the names of the classes, in the order of the labels.
        label_offset: the label of the first class (0, or ImageNet's 1).
        encoding: `jpeg`, `png` or `mixed`.
        channels: of the encoded images; batches always have three.
        smallest, largest: least and greatest height and width of the images.
        mean, std: of the pixels, on the scale 0-255, for the normalization.
        splits: the shards of `train` and `validation`.
        made_by: the preparer and what decides its output; the same again means the same files.
        skipped: source files that are no images and were left out on request.
        damaged: records whose images libjpeg decodes and complains of, with its words and the source file.
    """

    name: str
    classes: tuple[str, ...]
    label_offset: int
    encoding: str
    channels: int
    smallest: tuple[int, int]
    largest: tuple[int, int]
    mean: Color
    std: Color
    splits: Mapping[str, tuple[Shard, ...]]
    made_by: Mapping[str, Any]
    skipped: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    def images(self, split: str) -> int:
        """Return the number of images of a split, 0 where there is no such split."""
        return sum(shard.images for shard in self.splits.get(split, ()))


def dumps(manifest: Manifest) -> str:
    """Return the text of manifest.json."""
    fields = dataclasses.asdict(manifest)
    splits = {
        split: {"images": manifest.images(split), "shards": [dataclasses.asdict(shard) for shard in shards]}
        for split, shards in manifest.splits.items()
    }
    return json.dumps({"schema": SCHEMA, **fields, "splits": splits}, indent=2) + "\n"


def loads(text: str, path: Path) -> Manifest:
    """Return the manifest that a text holds; TrainingError (BAD_DATA) names `path` where it is none."""
    try:
        fields = json.loads(text)
        if fields["schema"] != SCHEMA:
            raise _bad(path, f"schema {SCHEMA} expected: {fields['schema']}")
        manifest = Manifest(
            name=str(fields["name"]),
            classes=tuple(str(name) for name in fields["classes"]),
            label_offset=int(fields["label_offset"]),
            encoding=str(fields["encoding"]),
            channels=int(fields["channels"]),
            smallest=_pair(fields["smallest"]),
            largest=_pair(fields["largest"]),
            mean=_color(fields["mean"]),
            std=_color(fields["std"]),
            splits={
                str(split): tuple(
                    Shard(str(shard["name"]), int(shard["bytes"]), int(shard["images"]), str(shard["sha256"]))
                    for shard in content["shards"]
                )
                for split, content in fields["splits"].items()
            },
            made_by=dict(fields["made_by"]),
            skipped=tuple(str(name) for name in fields["skipped"]),
            # Not there in a manifest of the first version.
            damaged=tuple(str(name) for name in fields.get("damaged", ())),
        )
        counts = {split: int(content["images"]) for split, content in fields["splits"].items()}
    except KeyError as error:
        raise _bad(path, f"a field is missing: {error.args[0]}") from error
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise _bad(path, f"not a manifest: {error}") from error
    _check(manifest, counts, path)
    return manifest


def _check(manifest: Manifest, counts: Mapping[str, int], path: Path) -> None:
    """Raise TrainingError (BAD_DATA) for values that no preparer writes."""
    for split, images in counts.items():
        if images != manifest.images(split):
            raise _bad(path, f"the shards of {split} do not add up to {images} images: {manifest.images(split)}")
    if len(manifest.classes) < 2 or manifest.label_offset < 0:
        raise _bad(path, f"two classes or more and a label offset from 0 expected: {len(manifest.classes)}, {manifest.label_offset}")
    if not all(map(math.isfinite, (*manifest.mean, *manifest.std))) or min(manifest.std) <= 0:
        raise _bad(path, f"finite means and standard deviations above 0 expected: {manifest.mean}, {manifest.std}")
    names: set[str] = set()
    for split, shards in manifest.splits.items():
        if split not in (TRAIN, VALIDATION):
            raise _bad(path, f"splits {TRAIN} and {VALIDATION} expected: {split}")
        for shard in shards:
            if Path(shard.name).name != shard.name or shard.name in ("", "..") or "\0" in shard.name:
                raise _bad(path, f"a shard is not a file name: {shard.name}")
            if shard.bytes < 0 or shard.images < 0 or shard.name in names:
                raise _bad(path, f"a shard has a size below 0 or is there twice: {shard.name}")
            names.add(shard.name)


def load(dataset_dir: Path) -> Manifest | None:
    """Return the manifest of a dataset folder, None where it has none, or one that another program wrote for itself.

    Raises TrainingError: BAD_DATA where the manifest is damaged or its preparer did not finish, IO_ERROR where it cannot be read.
    """
    path = dataset_dir / MANIFEST_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if path.is_symlink():
            raise unreadable(path, error) from error
        if (dataset_dir / JOURNAL_FILE).exists():
            raise TrainingError(
                f"the dataset is not complete, its preparation was interrupted: {dataset_dir}",
                "run the same prepare command again: it resumes where it stopped",
                ExitCode.BAD_DATA,
            ) from None
        return None
    except UnicodeDecodeError as error:
        raise _bad(path, f"not a manifest: {error}") from error
    except OSError as error:
        raise unreadable(path, error) from error
    return None if _is_of_another_program(text) else loads(text, path)


def _is_of_another_program(text: str) -> bool:
    """Return whether a file of this common name is whole and has nothing that only a manifest of ours has."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return not isinstance(fields, dict) or not _OURS & set(fields)


def _pair(values: Any) -> tuple[int, int]:
    height, width = values
    return int(height), int(width)


def _color(values: Any) -> Color:
    red, green, blue = values
    return float(red), float(green), float(blue)


def _bad(path: Path, what: str) -> TrainingError:
    return TrainingError(f"`{path}`: {what}", "prepare the dataset again", ExitCode.BAD_DATA)
