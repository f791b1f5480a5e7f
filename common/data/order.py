"""The order of samples: which record each rank sees at each step.

An epoch is a permutation of all record numbers that depends on the seed and the epoch only. It is cut into
steps, and each step into one slice a rank, so every image is seen exactly once an epoch whatever the number of
ranks, and also when that number changes between two steps.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Records = npt.NDArray[np.int64]


def steps_per_epoch(images: int, global_batch: int) -> int:
    """Return the number of steps that take each of `images` once, `global_batch` at most a step."""
    return (images + global_batch - 1) // global_batch


def epoch_order(seed: int, epoch: int, images: int) -> Records:
    """Return a permutation of 0 … images-1, the same for every rank and every number of ranks."""
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(images).astype(np.int64, copy=False)


def step_bounds(step_in_epoch: int, steps: int, images: int) -> tuple[int, int]:
    """Return the half-open range of the epoch's order that a step takes; sizes of steps differ by one at most.

    >>> [step_bounds(step, 3, 10) for step in range(3)]
    [(0, 3), (3, 6), (6, 10)]
    """
    return step_in_epoch * images // steps, (step_in_epoch + 1) * images // steps


def rank_slice(start: int, stop: int, rank: int, world_size: int) -> tuple[int, int]:
    """Return the part of the half-open range `start` … `stop` that a rank takes; sizes differ by one at most.

    >>> [rank_slice(3, 6, rank, 2) for rank in range(2)]
    [(3, 4), (4, 6)]
    """
    images = stop - start
    return start + rank * images // world_size, start + (rank + 1) * images // world_size


def largest_slice(images: int, steps: int, world_size: int) -> int:
    """Return the most records that any rank takes in any step.

    >>> largest_slice(10, 3, 2)
    2
    """
    largest_step = (images + steps - 1) // steps
    return (largest_step + world_size - 1) // world_size


def rank_steps(
    images: int, *, seed: int, start_step: int, steps: int, global_batch: int, rank: int, world_size: int
) -> Iterator[tuple[int, Records]]:
    """Yield (epoch, record numbers) of a rank for `steps` steps from `start_step`, which counts over all epochs."""
    an_epoch = steps_per_epoch(images, global_batch)
    order, epoch_of_order = np.empty(0, np.int64), -1
    for step in range(start_step, start_step + steps):
        epoch, step_in_epoch = divmod(step, an_epoch)
        if epoch != epoch_of_order:
            order, epoch_of_order = epoch_order(seed, epoch, images), epoch
        start, stop = rank_slice(*step_bounds(step_in_epoch, an_epoch, images), rank, world_size)
        yield epoch, order[start:stop]
