"""The variables of a run: what is saved comes back, and a checkpoint that does not fit is refused by name."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import tensorflow as tf

from common.checkpoint import Checkpoints
from common.comm import SingleComm
from common.errors import TrainingError
from common.training.model import Network
from common.training.state import State
from mlops_launch.contract import ExitCode


def state(output: Path, value: float, **weights: tuple[int, ...]) -> tuple[State, list[Any]]:
    """Return the state of a network with these weights, all of one value, and the weights."""
    variables = {name: tf.Variable(tf.fill(shape, value)) for name, shape in weights.items()}
    network = cast(Network, SimpleNamespace(weights=variables, statistics={"mean": tf.Variable(value)}))
    momentum = {name: tf.Variable(tf.zeros_like(variable)) for name, variable in variables.items()}
    return State(network, momentum, Checkpoints(output, {"seed": 0}, 3, print), SingleComm()), list(variables.values())


def test_what_was_saved_is_restored(tmp_path: Path) -> None:
    state(tmp_path, 2.0, a=(2, 3), b=())[0].save(7)
    again, weights = state(tmp_path, 0.0, a=(2, 3), b=())
    assert again.restore() == 7
    assert [weight.numpy().tolist() for weight in weights] == [[[2.0] * 3] * 2, 2.0]


@pytest.mark.parametrize(
    ("weights", "differ"),
    [
        ({"a": (3, 2), "b": ()}, "2 tensors differ, the first: momentum/a"),
        ({"a": (2, 3)}, "2 tensors differ, the first: momentum/b"),
        ({"a": (2, 3), "b": (), "c": (1,)}, "2 tensors differ, the first: momentum/c"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused_and_nothing_is_taken_over(
    tmp_path: Path, weights: dict[str, tuple[int, ...]], differ: str
) -> None:
    state(tmp_path, 2.0, a=(2, 3), b=())[0].save(7)
    other, variables = state(tmp_path, 0.0, **weights)
    with pytest.raises(TrainingError) as caught:
        other.restore()
    assert (caught.value.message, caught.value.code) == (
        f"checkpoint step-00000007.safetensors is of another network, {differ}",
        ExitCode.CONFIGURATION,
    )
    assert all((variable.numpy() == 0).all() for variable in variables)
