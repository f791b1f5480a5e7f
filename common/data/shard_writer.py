"""Writes one record file of images."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from common.data import records
from common.data.image import check
from common.data.journal import Written
from common.data.manifest import Shard
from common.data.native_stderr import complaints
from common.data.progress import Progress
from common.data.source import BrokenImage, Item
from common.errors import TrainingError
from common.files import replace_file
from mlops_launch.contract import ExitCode

# Images that are read and checked at a time, by all threads.
CHUNK: Final = 64


@dataclass(frozen=True)
class Image:
    """An image that decodes; `complaint` is what libjpeg says of it nevertheless."""

    encoded: bytes
    size: tuple[int, int]
    complaint: str = ""

    @property
    def encoding(self) -> str:
        """`jpeg` or `png`."""
        return "png" if self.encoded.startswith(b"\x89PNG") else "jpeg"


def load_images(pool: ThreadPoolExecutor, items: Sequence[Item], progress: Progress) -> Iterator[tuple[Item, Image | BrokenImage]]:
    """Yield each item with its image, read and decoded by the threads of `pool`, in order."""
    for first in range(0, len(items), CHUNK):
        chunk = items[first : first + CHUNK]
        images, said = complaints(lambda chunk=chunk: list(pool.map(_load, chunk)))  # type: ignore[misc]
        # Of which file it was said is found by asking for each alone.
        yield from zip(chunk, map(_complaint_of, images) if said else images, strict=True)
        progress.add(len(chunk))


def _complaint_of(image: Image | BrokenImage) -> Image | BrokenImage:
    if isinstance(image, BrokenImage):
        return image
    _, said = complaints(lambda: check(image.encoded))
    return dataclasses.replace(image, complaint=said[0]) if said else image


def _load(item: Item) -> Image | BrokenImage:
    try:
        encoded = item.load()
        return Image(encoded, check(encoded))
    except BrokenImage as error:
        return error
    except ValueError as error:
        return BrokenImage(item.name, str(error))


def write_shard(
    path: Path, images: Iterator[tuple[Item, Image | BrokenImage]], label_offset: int, skip_broken: bool, log: Callable[[str], None]
) -> Written:
    """Write the images that `load_images` yields as one record file, which is there under its name only when it is whole.

    Raises TrainingError (BAD_DATA) for a broken image without `skip_broken`.
    """
    digest, encodings, labels = hashlib.sha256(), set(), set()
    sizes: list[tuple[int, int]] = []
    skipped: list[str] = []
    damaged: list[str] = []

    def write(file: BinaryIO) -> None:
        for item, image in images:
            if isinstance(image, BrokenImage):
                if not skip_broken:
                    hint = "repair or remove it, or leave such files out with --skip-broken"
                    raise TrainingError(f"broken image, {image.reason}: {image.name}", hint, ExitCode.BAD_DATA)
                log(f"left out, {image.reason}: {image.name}")
                skipped.append(image.name)
                continue
            if image.complaint:
                log(f"kept although damaged, {image.complaint}: {item.name}")
                damaged.append(f"record {len(sizes)} of {path.name}, {image.complaint}: {item.name}")
            record = records.frame(_example(image.encoded, item.label + label_offset))
            file.write(record)
            digest.update(record)
            sizes.append(image.size)
            encodings.add(image.encoding)
            labels.add(item.label)

    replace_file(path, write)
    shard = Shard(path.name, path.stat().st_size, len(sizes), digest.hexdigest())
    heights, widths = [height for height, _ in sizes] or [0], [width for _, width in sizes] or [0]
    return Written(
        shard,
        (min(heights), min(widths)),
        (max(heights), max(widths)),
        tuple(sorted(encodings)),
        tuple(sorted(labels)),
        tuple(skipped),
        tuple(damaged),
    )


def _example(encoded: bytes, label: int) -> bytes:
    """Return a serialized tf.train.Example with ImageNet's feature names."""
    from tensorflow.train import BytesList, Example, Feature, Features, Int64List

    features = {
        "image/encoded": Feature(bytes_list=BytesList(value=[encoded])),
        "image/class/label": Feature(int64_list=Int64List(value=[label])),
    }
    # Without `deterministic` the order of the map's keys would change from call to call.
    return bytes(Example(features=Features(feature=features)).SerializeToString(deterministic=True))
