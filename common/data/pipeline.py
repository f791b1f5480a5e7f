"""Batches of images and labels for one rank: read by index, decoded, augmented and normalised by tf.data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from common.data.dataset import Dataset

Augment = Literal["none", "shift", "imagenet"]


class Batches(Iterator[tuple[Any, Any, Any]]):
    """An iterator of (images, labels, records), eager tensors.

        images   float32 [n, image_size, image_size, 3], normalised with the dataset's mean and std
        labels   int32 [n], counted from 0
        records  int64 [n], the record numbers in the split: what this rank really consumed

    n may differ by one from step to step. Bad data raise TrainingError here, in the caller's thread. `close()` ends the
    reader threads; also a context manager.
    """

    def __next__(self) -> tuple[Any, Any, Any]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def training_batches(
    dataset: Dataset,
    split: str,
    *,
    seed: int,
    start_step: int,
    steps: int,
    global_batch: int,
    rank: int,
    world_size: int,
    image_size: int,
    augment: Augment,
    threads: int,
) -> Batches:
    """Return the batches of steps `start_step` … `start_step`+`steps`-1 of a training, counted over all epochs.

    The order and the pixels depend on (seed, epoch, record), not on the number of ranks. A step has `global_batch`
    images over all ranks, or one or a few less: `order.steps_per_epoch` says how many steps an epoch has.

    Raises TrainingError (CONFIGURATION) where a step has fewer images than there are ranks.
    """
    raise NotImplementedError


def evaluation_batches(
    dataset: Dataset, split: str, *, local_batch: int, rank: int, world_size: int, image_size: int, augment: Augment, threads: int
) -> Batches:
    """Return this rank's share of a split, in order, each image exactly once over all ranks.

    `augment` is the one of the training: after `imagenet` the image's centre is cut out (7/8 of the short side), otherwise
    the whole image is resized. Ranks may have different numbers of batches, one may have none: sum figures at the end.
    """
    raise NotImplementedError


def synthetic_batches(*, classes: int, image_size: int, local_batch: int, steps: int, seed: int = 0) -> Batches:
    """Return `steps` times the same random batch, made once: for benchmarks and for runs without data."""
    raise NotImplementedError
