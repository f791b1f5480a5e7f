"""What a model brings to the training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from common.training.settings import Settings


class Network(Protocol):
    """A network and its variables, TensorFlow's, float32.

    Attributes:
        name: in the line `plan` of the log.
        weights: what the gradient descent moves, by name. Weight decay acts on those called `…/kernel`.
        statistics: what the network moves itself while it trains, by name; ranks average them.
        least_images: that a rank needs in a step to learn from them: 2 where batch norm would see a single value per channel.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    weights: Mapping[str, Any]
    statistics: Mapping[str, Any]
    least_images: int

    def __call__(self, images: Any, training: bool) -> Any:
        """Return logits, float32 [n, classes], of images, float32 [n, size, size, 3]; `training` may move the statistics."""


@dataclass(frozen=True)
class Model:
    """A model.

    Attributes:
        title: its name for people.
        settings: its class of settings.
        presets: the folder of its presets.
        build: makes the network from the settings and the number of classes; imports TensorFlow, which by then is started.
    """

    title: str
    settings: type[Settings]
    presets: Path
    build: Callable[[Any, int], Network]


def parameter_count(network: Network) -> int:
    """Return the number of trainable parameters."""
    return sum(int(weight.shape.num_elements()) for weight in network.weights.values())
