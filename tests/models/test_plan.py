"""The numbers of a training: what is left of it, what its learning rate is scaled for, what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.data.order import step_bounds
from common.errors import TrainingError
from common.training.clock import Pauses
from common.training.plan import CHECKPOINT, ENOUGH, make_plan, require_enough
from common.training.settings import Settings
from common.training.state import require_finite
from mlops_launch.contract import EVALUATION, ExitCode


@given(
    images=st.integers(1, 60), batch=st.integers(1, 20), epochs=st.integers(1, 5), max_steps=st.integers(0, 30),
    evaluation=st.integers(0, 3), checkpoint=st.integers(0, 9), data=st.data(),
)  # fmt: skip
def test_what_is_left_is_what_will_be_done(
    images: int, batch: int, epochs: int, max_steps: int, evaluation: int, checkpoint: int, data: st.DataObject
) -> None:
    settings = Settings(global_batch=batch, epochs=epochs, max_steps=max_steps, evaluation_epochs=evaluation, checkpoint_steps=checkpoint)
    plan = make_plan(settings, images, is_dataset=True)
    step = data.draw(st.integers(0, plan.total_steps))
    rest = range(step + 1, plan.total_steps + 1)
    assert plan.pauses_left(step) == {EVALUATION: sum(map(plan.is_evaluated, rest)), CHECKPOINT: sum(map(plan.is_saved, rest))}
    assert abs(plan.images_left(step) - sum(plan.images_after(n - 1) for n in rest)) <= plan.images / plan.steps_per_epoch + 1


@given(st.integers(1, 10**5), st.integers(1, 10**5))
def test_the_learning_rate_is_scaled_for_images_that_are_there(images: int, batch: int) -> None:
    plan = make_plan(Settings(global_batch=batch, base_learning_rate=0.1), images, is_dataset=True)
    largest = max(
        end - start for start, end in (step_bounds(n, plan.steps_per_epoch, images) for n in range(min(plan.steps_per_epoch, 50)))
    )
    assert plan.learning_rates.peak == pytest.approx(0.1 * plan.batch / 256)
    assert ENOUGH * plan.batch <= largest + 1
    assert plan.batch == batch or plan.batch <= largest


def test_a_batch_larger_than_the_dataset_is_the_dataset() -> None:
    assert make_plan(Settings(global_batch=4096), 1412, is_dataset=True).batch == 1412
    assert make_plan(Settings(global_batch=50), 1412, is_dataset=True).batch == 50


def test_a_learning_rate_that_overflows_when_it_is_scaled_is_refused() -> None:
    with pytest.raises(TrainingError) as caught:
        make_plan(Settings(global_batch=1000, base_learning_rate=3e38), 10**6, is_dataset=True)
    assert caught.value.message == "the learning rate of a step is not finite: 3e+38 for 256 images"


def test_a_rank_with_fewer_images_than_batch_norm_needs_is_refused() -> None:
    require_enough(smallest_step=101, world_size=50, least=2)
    with pytest.raises(TrainingError) as caught:
        require_enough(smallest_step=99, world_size=50, least=2)
    assert caught.value.message.endswith("99 images in a step of 50 ranks, needed per rank: 2")
    assert caught.value.code == ExitCode.CONFIGURATION


def test_pauses_last_as_long_as_those_before_in_the_mean() -> None:
    times = iter([0.0, 4.0, 10.0, 12.0])
    pauses = Pauses(lambda: next(times))
    assert pauses.left({EVALUATION: 2, CHECKPOINT: 5}, {EVALUATION: 7.0}) == 14
    for _ in range(2):
        with pauses.measured(EVALUATION):
            pass
    assert pauses.left({EVALUATION: 2, CHECKPOINT: 5}, {EVALUATION: 7.0}) == 6


@given(arrays(np.float32, st.integers(1, 30), elements=st.floats(width=32)))
def test_a_checkpoint_is_finite_or_refused(values: np.ndarray) -> None:
    squares = math.fsum(float(value) ** 2 for value in values) if np.isfinite(values).all() else math.inf
    if squares < 1e38:
        require_finite({"weights/a": np.ones(3, np.float32), "weights/b": values}, 7)
    elif squares > 4e38:
        with pytest.raises(TrainingError) as caught:
            require_finite({"weights/a": np.ones(3, np.float32), "weights/b": values}, 7)
        assert caught.value.message == "weights/b is not finite after step 7, no checkpoint is written"
        assert caught.value.code == ExitCode.DIVERGED
