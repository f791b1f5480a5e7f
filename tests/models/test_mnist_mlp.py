"""The second model: one hidden layer, with the training that every model has."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from common.training.model import Network, parameter_count
from models.mnist_mlp.main import MODEL
from models.mnist_mlp.settings import Settings


def network(**settings: object) -> Network:
    return MODEL.build(Settings(**settings), 10)  # type: ignore[arg-type]


@pytest.mark.parametrize(("units", "parameters"), [(100, 79_510), (1, 805)])
def test_its_parameters_are_two_layers(units: int, parameters: int) -> None:
    assert parameter_count(network(hidden_units=units)) == parameters == (784 + 1) * units + (units + 1) * 10


def test_an_image_s_logits_do_not_depend_on_the_others_nor_on_training() -> None:
    model = network()
    images = tf.random.stateless_normal([3, 28, 28, 3], seed=[1, 2])
    together, alone = model(images, training=True).numpy(), model(images[1:2], training=False).numpy()
    assert (together.shape, together.dtype) == ((3, 10), np.float32)
    np.testing.assert_allclose(alone[0], together[1], rtol=1e-4, atol=1e-6)


def test_a_model_is_small() -> None:
    """What another model needs beside `common/training`: code, presets and README."""
    files = [path for path in (Path(__file__).parents[2] / "models" / "mnist_mlp").rglob("*") if path.suffix in (".py", ".md")]
    assert sum(len(path.read_text().splitlines()) for path in files) <= 200
