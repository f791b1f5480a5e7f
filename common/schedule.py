"""The learning rate of each step."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Goyal et al. 2017 (arXiv:1706.02677): a tenth after epochs 30, 60 and 80.
STEP_EPOCHS = (30, 60, 80)


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up from 0 to `peak`, then a half cosine to 0, or a tenth at each of `STEP_EPOCHS`.

    Args:
        kind: `cosine` or `step`.
        peak: learning rate after the warm-up.
        warmup_steps: length of the warm-up, in steps.
        total_steps: length of the training, in steps.
        steps_per_epoch: for `step`.
    """

    kind: str
    peak: float
    warmup_steps: int
    total_steps: int
    steps_per_epoch: int

    def __call__(self, step: int) -> float:
        """Return the learning rate of step `step`, counted from 0."""
        if step < self.warmup_steps:
            return self.peak * ((step + 1) / self.warmup_steps)
        if self.kind == "step":
            epoch = step / self.steps_per_epoch
            return float(self.peak * 0.1 ** sum(epoch >= boundary for boundary in STEP_EPOCHS))
        done = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        return 0.5 * self.peak * (1 + math.cos(math.pi * done))


def scaled(base: float, global_batch: int) -> float:
    """Return the learning rate for a global batch, `base` being the one for 256 images (linear scaling rule, Goyal et al.).

    >>> scaled(0.1, 512)
    0.2
    """
    return base * global_batch / 256
