"""The figures over all validation images."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np

from common.comm import Comm
from common.stopping import StopRequest
from common.training.source import Source
from common.training.step import EvaluationFigures


def evaluate(source: Source, step: Callable[[Any, Any], EvaluationFigures], comm: Comm, stop: StopRequest) -> dict[str, float] | None:
    """Return loss, top1, top5 and images over every validation image once, or None when a rank was asked to stop meanwhile."""
    mine = np.zeros(len(EvaluationFigures._fields))
    asked = False
    with closing(source.validation()) as batches:
        for images, labels, _ in batches:
            asked = stop.asked
            if asked:
                break
            mine += step(images, labels)
    # Horovod: each rank has seen its share; the sums over ranks are exact. Whether one was asked to stop travels with them.
    *sums, stopped = comm.sum_array(np.append(mine, float(asked)))
    if stopped:
        return None
    total = EvaluationFigures(*map(float, sums))
    return {
        "loss": total.loss / total.images, "top1": total.top1 / total.images, "top5": total.top5 / total.images,
        "images": int(total.images),
    }  # fmt: skip
