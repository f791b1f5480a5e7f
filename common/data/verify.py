"""Reads every record of a dataset and decodes its image: libjpeg's complaints, and errors, with the record's name."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from common.data.dataset import Dataset
from common.data.progress import Progress
from common.data.shard_writer import CHUNK, load_images
from common.data.source import BrokenImage, Item
from common.errors import TrainingError
from mlops_launch.contract import ExitCode


class Verified(NamedTuple):
    """How many records there are, how many decode although damaged, and how many cannot be used."""

    images: int
    damaged: int
    broken: int


def verify(dataset: Dataset, threads: int, log: Callable[[str], None]) -> Verified:
    """Return what the records are like; log names each that is damaged or cannot be used.

    Raises TrainingError (NO_DATA, IO_ERROR) where a file cannot be read.
    """
    damaged = broken = 0
    total = sum(dataset.images(split) for split in dataset.splits)
    progress = Progress("images", total)
    with ThreadPoolExecutor(threads) as pool:
        for split in dataset.splits:
            for first in range(0, dataset.images(split), CHUNK):
                records = range(first, min(first + CHUNK, dataset.images(split)))
                items = [Item(dataset.where(split, record), 0, partial(_load, dataset, split, record)) for record in records]
                for item, image in load_images(pool, items, progress):
                    if isinstance(image, BrokenImage):
                        broken += 1
                        log(f"broken, {image.reason}: {image.name}" if image.name else f"broken, {image.reason}")
                    elif image.complaint:
                        damaged += 1
                        log(f"damaged, {image.complaint}: {item.name}")
    progress.close()
    return Verified(total, damaged, broken)


def _load(dataset: Dataset, split: str, record: int) -> bytes:
    try:
        return dataset.read(split, record).encoded
    except TrainingError as error:
        if error.code != ExitCode.BAD_DATA:
            raise
        # The message names the record.
        raise BrokenImage("", error.message) from error
