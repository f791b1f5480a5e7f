"""Batches of images and labels for one rank: read by index, decoded, augmented and normalized by tf.data."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from common.data.dataset import Dataset
from common.data.image import CHANNELS, Augment, check, evaluation_image, normalize, training_image
from common.data.order import Records, largest_slice, rank_slice, rank_steps, steps_per_epoch
from common.data.reader import NO_RECORD, Reader
from common.errors import TrainingError
from mlops_launch.contract import ExitCode

Batch = tuple[Any, Any, Any]

# Finished batches that wait for the training.
PREFETCH = 2


class Batches(Iterator[Batch]):
    """An iterator of (images, labels, records), eager tensors.

        images   float32 [n, image_size, image_size, 3], normalized with the dataset's mean and std
        labels   int32 [n], counted from 0
        records  int64 [n], the record numbers in the split: what this rank really consumed

    n may differ by one from step to step. Bad data raise TrainingError here, in the caller's thread. `close()` ends the
    reader threads; also a context manager.
    """

    def __init__(self, batches: Iterator[Batch], explain: Callable[[Exception | None], None], close: Callable[[], None]) -> None:
        self._batches: Iterator[Batch] | None = batches
        self._explain = explain
        self._close = close

    def __next__(self) -> Batch:
        import tensorflow as tf

        if self._batches is None:
            raise StopIteration
        try:
            batch = next(self._batches)
        except StopIteration:
            self.close()
            self._explain(None)
            raise
        except tf.errors.OpError as error:
            self.close()
            self._explain(error)
            raise
        return batch

    def close(self) -> None:
        """Stop reading ahead. A second call does nothing."""
        if self._batches is not None:
            # tf.data's threads end with its iterator; they must end before the readers that they wait for.
            self._batches = None
            self._close()

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


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
    """Return the batches of steps `start_step` … `start_step`+`steps`-1 of a run, counted over all epochs.

    The order and the pixels depend on (seed, epoch, record), not on the number of ranks. A step has `global_batch`
    images over all ranks, or one or a few less: `order.steps_per_epoch` says how many steps an epoch has.

    Raises TrainingError (CONFIGURATION) where a step has fewer images than there are ranks.
    """
    images = dataset.images(split)
    an_epoch = steps_per_epoch(images, global_batch)
    if images // an_epoch < world_size:
        raise TrainingError(
            f"{images} images in {an_epoch} steps are fewer a step than the {world_size} ranks: {images // an_epoch}",
            "use fewer ranks, a larger global batch, or more data",
            ExitCode.CONFIGURATION,
        )
    mine = rank_steps(images, seed=seed, start_step=start_step, steps=steps, global_batch=global_batch, rank=rank, world_size=world_size)
    keyed = (((seed << 32) + epoch, records) for epoch, records in mine)
    rows = largest_slice(images, an_epoch, world_size)

    def image(encoded: Any, seed: Any) -> Any:
        return training_image(encoded, seed, image_size, augment)

    return _batches(dataset, split, keyed, rows, threads, image_size, image)


def evaluation_batches(
    dataset: Dataset, split: str, *, local_batch: int, rank: int, world_size: int, image_size: int, augment: Augment, threads: int
) -> Batches:
    """Return this rank's share of a split, in order, each image exactly once over all ranks.

    `augment` is that of the training images: after `imagenet` the image's center is cut out (7/8 of the short side), otherwise
    the whole image is resized. Ranks may have different numbers of batches, one may have none: sum figures at the end.
    """
    start, stop = rank_slice(0, dataset.images(split), rank, world_size)
    # No more rows than there are images: each costs memory.
    local_batch = max(1, min(local_batch, stop - start))
    mine = _chunks(start, stop, local_batch)

    def image(encoded: Any, _: Any) -> Any:
        return evaluation_image(encoded, image_size, augment)

    return _batches(dataset, split, mine, local_batch, threads, image_size, image)


def synthetic_batches(*, classes: int, image_size: int, local_batch: int, steps: int, seed: int = 0) -> Batches:
    """Return `steps` times the same random batch, made once: for benchmarks and for runs without data."""
    import tensorflow as tf

    images = tf.random.stateless_normal([local_batch, image_size, image_size, CHANNELS], [seed, 0], alg="philox")
    labels = tf.random.stateless_uniform([local_batch], [seed, 1], 0, classes, tf.int32, alg="philox")
    return Batches(itertools.repeat((images, labels, tf.range(local_batch, dtype=tf.int64)), steps), lambda _: None, lambda: None)


def _chunks(start: int, stop: int, size: int) -> Iterator[tuple[int, Records]]:
    import numpy as np

    for first in range(start, stop, size):
        yield 0, np.arange(first, min(first + size, stop), dtype=np.int64)


def _batches(
    dataset: Dataset,
    split: str,
    steps: Iterator[tuple[int, Records]],
    rows: int,
    threads: int,
    image_size: int,
    image: Callable[[Any, Any], Any],
) -> Batches:
    """Return the batches of `steps`; `image` makes an image [image_size, image_size, 3] of a file and a seed, in the graph."""
    import tensorflow as tf

    def row(encoded: Any, label: Any, record: Any, key: Any) -> Batch:
        # An empty row is there only so that every step has the same number of rows; it is cut off again below.
        pixels = tf.cond(
            record == NO_RECORD,
            lambda: tf.zeros([image_size, image_size, CHANNELS]),
            lambda: normalize(image(encoded, tf.stack([key, record])), dataset.mean, dataset.std),
        )
        return pixels, label, record

    def cut(images: Any, labels: Any, records: Any) -> Batch:
        count = tf.math.count_nonzero(records != NO_RECORD)
        return images[:count], labels[:count], records[:count]

    reader = Reader(dataset, split, steps, rows)
    signature = (
        tf.TensorSpec([rows], tf.string),
        tf.TensorSpec([rows], tf.int32),
        tf.TensorSpec([rows], tf.int64),
        tf.TensorSpec([], tf.int64),
    )
    with tf.device("/cpu:0"):
        batches = (
            tf.data.Dataset.from_generator(lambda: iter(reader), output_signature=signature)
            .map(lambda encoded, labels, records, key: (encoded, labels, records, tf.repeat(key, rows)))
            .unbatch()
            .map(row, num_parallel_calls=threads, deterministic=True)
            .batch(rows)
            .map(cut)
            .prefetch(PREFETCH)
        )
        options = tf.data.Options()
        options.deterministic = True
        options.autotune.enabled = False
        options.threading.private_threadpool_size = threads
        options.threading.max_intra_op_parallelism = 1
        iterator = iter(batches.with_options(options))

    def explain(error: Exception | None) -> None:
        if reader.failure is not None:
            raise reader.failure
        if error is not None:
            _raise_undecodable(dataset, split, reader, image)

    return Batches(_counted(iterator, reader), explain, reader.close)


def _counted(iterator: Iterator[Batch], reader: Reader) -> Iterator[Batch]:
    """Take what is delivered off the reader's list of outstanding records."""
    for batch in iterator:
        reader.outstanding.popleft()
        yield batch


def _raise_undecodable(dataset: Dataset, split: str, reader: Reader, image: Callable[[Any, Any], Any]) -> None:
    """Find the image from which tf.data could not make pixels, and raise TrainingError (BAD_DATA) with its name."""
    import tensorflow as tf

    for record in (int(record) for records in reader.outstanding for record in records):
        encoded = dataset.read(split, record).encoded
        try:
            with tf.device("/cpu:0"):
                image(tf.constant(encoded), tf.constant([0, record], tf.int64))
        except tf.errors.OpError as error:
            what = f"{dataset.where(split, record)}: the image cannot be decoded: {_reason(encoded, error)}"
            raise TrainingError(what, "prepare it again", ExitCode.BAD_DATA) from None


def _reason(encoded: bytes, error: Exception) -> str:
    try:
        check(encoded)
    except ValueError as shorter:
        return str(shorter)
    return str(error).splitlines()[0]
