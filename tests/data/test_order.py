"""The order of samples: every image once an epoch, for any number of ranks, also when that number changes."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data import order

# A resumed training must find the order it began with, also after an update.
FIRST = [2, 4, 3, 6, 5, 0, 1, 7]

SIZES = {"images": st.integers(1, 500), "global_batch": st.integers(1, 64)}


def epoch(images: int, global_batch: int, worlds: list[int], seed: int, number: int) -> list[list[np.ndarray]]:
    """Return what each rank of each step of an epoch takes, step i on worlds[i % len(worlds)] ranks."""
    steps = order.steps_per_epoch(images, global_batch)
    taken = []
    for step in range(steps):
        world = worlds[step % len(worlds)]
        mine = [
            list(
                order.rank_steps(
                    images, seed=seed, start_step=number * steps + step, steps=1, global_batch=global_batch, rank=rank, world_size=world
                )
            )
            for rank in range(world)
        ]
        assert all([epoch for epoch, _ in part] == [number] for part in mine)
        taken.append([part[0][1] for part in mine])
    return taken


@settings(deadline=None)
@given(**SIZES, worlds=st.lists(st.integers(1, 9), min_size=1, max_size=4), seed=st.integers(0, 2**31 - 1), number=st.integers(0, 3))
def test_every_image_once_an_epoch_even_when_the_number_of_ranks_changes_at_every_step(
    images: int, global_batch: int, worlds: list[int], seed: int, number: int
) -> None:
    taken = epoch(images, global_batch, worlds, seed, number)
    assert sorted(np.concatenate([rank for step in taken for rank in step]).tolist()) == list(range(images))


@settings(deadline=None)
@given(**SIZES, world=st.integers(1, 9), seed=st.integers(0, 2**31 - 1))
def test_a_step_takes_the_same_images_on_any_number_of_ranks(images: int, global_batch: int, world: int, seed: int) -> None:
    alone = [step[0].tolist() for step in epoch(images, global_batch, [1], seed, 0)]
    together = [np.concatenate(step).tolist() for step in epoch(images, global_batch, [world], seed, 0)]
    assert together == alone


@settings(deadline=None)
@given(**SIZES, world=st.integers(1, 9))
def test_steps_and_ranks_differ_by_one_image_at_most_and_none_is_larger_than_announced(images: int, global_batch: int, world: int) -> None:
    taken = epoch(images, global_batch, [world], 0, 0)
    steps = [sum(len(rank) for rank in step) for step in taken]
    assert max(steps) - min(steps) <= 1
    assert max(steps) <= global_batch
    for step in taken:
        sizes = [len(rank) for rank in step]
        assert max(sizes) - min(sizes) <= 1
    largest = max(len(rank) for step in taken for rank in step)
    assert largest <= order.largest_slice(images, len(taken), world)


def test_steps_run_on_over_epochs_from_any_step() -> None:
    call = {"images": 10, "seed": 3, "global_batch": 4, "rank": 1, "world_size": 2}
    whole = [(epoch, records.tolist()) for epoch, records in order.rank_steps(start_step=0, steps=9, **call)]
    later = [(epoch, records.tolist()) for epoch, records in order.rank_steps(start_step=4, steps=5, **call)]
    assert [epoch for epoch, _ in whole] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert later == whole[4:]


def test_the_order_depends_on_seed_and_epoch_and_never_changes_between_versions() -> None:
    assert order.epoch_order(0, 0, 8).tolist() == FIRST
    assert order.epoch_order(0, 1, 8).tolist() != FIRST
    assert order.epoch_order(1, 0, 8).tolist() != FIRST
