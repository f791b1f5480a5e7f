"""The numbers that follow from the settings and the images: steps, epochs, learning rates, and when what is done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from common.data.order import step_bounds, steps_per_epoch
from common.errors import TrainingError
from common.schedule import Schedule, scaled
from common.training.settings import Settings
from mlops_launch.contract import EVALUATION, ExitCode

# A kind of pause between steps, beside the evaluation.
CHECKPOINT = "checkpoint"

# Steps of an epoch are of one size, so they are smaller than asked for. Where they are smaller than this part of it, the
# learning rate is scaled for what they have.
ENOUGH = 0.9

# TensorFlow's.
LARGEST_FLOAT = 3.4028234e38


@dataclass(frozen=True)
class Plan:
    """Steps are counted from 1, so "after step n" and "n steps done" are the same; n = 0 is the start.

    Attributes:
        images: in an epoch.
        batch: images of a step, over all ranks, as the learning rate takes it.
        steps_per_epoch: steps that see each image once.
        total_steps: the last step.
        learning_rates: of the step that follows n done ones.
        evaluation_steps: steps between two evaluations; 0: none, not even after the last.
        checkpoint_steps: steps between two checkpoints beside the evaluations; 0: none.
        fixed_batch: images in each step, where they do not come from a dataset.
    """

    images: int
    batch: int
    steps_per_epoch: int
    total_steps: int
    learning_rates: Schedule
    evaluation_steps: int
    checkpoint_steps: int
    fixed_batch: int | None

    def epoch(self, step: int) -> int:
        """Return the epoch that a step belongs to, counted from 1."""
        return 1 + (step - 1) // self.steps_per_epoch

    def images_after(self, step: int) -> int:
        """Return how many images all ranks together see in the step that follows `step`."""
        if self.fixed_batch is not None:
            return self.fixed_batch
        start, end = step_bounds(step % self.steps_per_epoch, self.steps_per_epoch, self.images)
        return end - start

    @property
    def smallest_step(self) -> int:
        """The images in the smallest step."""
        return self.images // self.steps_per_epoch if self.fixed_batch is None else self.fixed_batch

    def images_left(self, step: int) -> float:
        """Return how many images the steps after `step` have together, but for one step."""
        return (self.total_steps - step) * (self.images / self.steps_per_epoch if self.fixed_batch is None else self.fixed_batch)

    def pauses_left(self, step: int) -> Mapping[str, int]:
        """Return how many evaluations and checkpoints there are after `step`."""
        each = [steps for steps in (self.evaluation_steps, self.checkpoint_steps) if steps]
        saved = sum(self._multiples(step, steps) for steps in each)
        if len(each) == 2:
            saved -= self._multiples(step, math.lcm(*each))
        last = 0 if step == self.total_steps else 1
        at_end = [steps for steps in each if self.total_steps % steps == 0]
        evaluated = 0
        if self.evaluation_steps:
            evaluated = self._multiples(step, self.evaluation_steps) + (0 if self.evaluation_steps in at_end else last)
        return {EVALUATION: evaluated, CHECKPOINT: saved + (0 if at_end else last)}

    def _multiples(self, step: int, of: int) -> int:
        return self.total_steps // of - step // of

    def is_last(self, step: int) -> bool:
        """Return whether the training ends after `step`."""
        return step == self.total_steps

    def is_evaluated(self, step: int) -> bool:
        """Return whether the network is evaluated after `step`: each few epochs, and at the end."""
        return self.evaluation_steps > 0 and (self.is_last(step) or step % self.evaluation_steps == 0)

    def is_saved(self, step: int) -> bool:
        """Return whether a checkpoint is written after `step`."""
        return self.is_last(step) or self.is_evaluated(step) or (self.checkpoint_steps > 0 and step % self.checkpoint_steps == 0)


def make_plan(settings: Settings, images: int, is_dataset: bool) -> Plan:
    """Return the plan for `images` images an epoch; without a dataset nothing is evaluated.

    Raises:
        TrainingError: the learning rate does not fit TensorFlow's numbers (78).
    """
    an_epoch = steps_per_epoch(images, settings.global_batch)
    mean = images / an_epoch if is_dataset else settings.global_batch
    batch = settings.global_batch if mean >= ENOUGH * settings.global_batch else round(mean)
    peak = scaled(settings.base_learning_rate, batch)
    if peak > LARGEST_FLOAT:
        raise TrainingError(
            f"the learning rate of a step is not finite: {settings.base_learning_rate} for 256 images",
            "lower MLOPS_BASE_LEARNING_RATE",
            ExitCode.CONFIGURATION,
        )
    every_epoch = settings.epochs * an_epoch
    total = min(every_epoch, settings.max_steps) if settings.max_steps else every_epoch
    return Plan(
        images=images,
        batch=batch,
        steps_per_epoch=an_epoch,
        total_steps=total,
        learning_rates=Schedule(
            kind=settings.schedule,
            peak=peak,
            warmup_steps=min(total, math.ceil(min(settings.warmup_epochs * an_epoch, total))),
            total_steps=total,
            steps_per_epoch=an_epoch,
        ),
        evaluation_steps=settings.evaluation_epochs * an_epoch if is_dataset else 0,
        checkpoint_steps=settings.checkpoint_steps,
        fixed_batch=None if is_dataset else settings.global_batch,
    )


def require_divisible(global_batch: int, world_size: int) -> None:
    """Raise unless each rank gets the same number of images.

    Raises:
        TrainingError: the global batch is not a multiple of the world size (78).
    """
    if global_batch % world_size:
        near = max(world_size, round(global_batch / world_size) * world_size)
        raise TrainingError(
            f"a global batch of {global_batch} images cannot be divided among {world_size} ranks",
            f"set MLOPS_GLOBAL_BATCH, for instance to {near}",
            ExitCode.CONFIGURATION,
        )


def require_enough(smallest_step: int, world_size: int, least: int) -> None:
    """Raise where a rank has fewer images in a step than a network needs to learn from them.

    Args:
        smallest_step: images in the smallest step.
        world_size: the number of ranks.
        least: images that each of them needs.

    Raises:
        TrainingError: 78.
    """
    if smallest_step // world_size < least:
        raise TrainingError(
            f"batch norm learns nothing from a single value per channel: {smallest_step} images in a step of {world_size} ranks, "
            f"needed per rank: {least}",
            "raise MLOPS_GLOBAL_BATCH or MLOPS_IMAGE_SIZE, or use fewer ranks",
            ExitCode.CONFIGURATION,
        )
