"""The network is ResNet-50 v1.5, by the figures that tell it from others."""

import numpy as np
import pytest
import tensorflow as tf

from common.training.model import parameter_count
from models.resnet50v1_5.model import BATCH_NORM_EPSILON, ResNet
from models.resnet50v1_5.settings import Settings


def network(name: str = "resnet50", classes: int = 1000, zero_gamma: bool = True, seed: int = 0) -> ResNet:
    return ResNet(Settings(model=name, zero_gamma=zero_gamma, seed=seed), classes)


def convolutions(model: ResNet, size: int) -> list[tuple[list[int], list[int], list[int]]]:
    """Return (kernel shape, strides, output shape) of each convolution in the traced graph, in order."""
    graph = tf.function(lambda images: model(images, training=True)).get_concrete_function(tf.TensorSpec([2, size, size, 3])).graph
    return [
        (op.inputs[1].shape.as_list(), list(op.get_attr("strides"))[1:3], op.outputs[0].shape.as_list())
        for op in graph.get_operations()
        if op.type == "Conv2D"
    ]


def test_it_has_25_557_032_trainable_parameters_at_1000_classes() -> None:
    assert parameter_count(network()) == 25_557_032


def test_the_stride_of_a_block_is_on_its_3x3_convolution_not_on_the_first_1x1() -> None:
    found = convolutions(network(), 224)
    assert len(found) == 53
    strided = [(kernel[0], kernel[3], output[1]) for kernel, stride, output in found if stride == [2, 2]]
    # The stem, then for each of stages 2 to 4 the projected shortcut (1x1) and the 3x3.
    assert strided == [(7, 64, 112), (1, 512, 28), (3, 128, 28), (1, 1024, 14), (3, 256, 14), (1, 2048, 7), (3, 512, 7)]


def test_first_blocks_of_stages_2_to_4_halve_the_image_and_the_others_do_not() -> None:
    strides = [block.conv2.stride for block in network().blocks]
    assert strides == [1, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1]


@pytest.mark.parametrize(("size", "classes"), [(32, 10), (64, 7), (75, 3)])
def test_any_image_size_and_class_count(size: int, classes: int) -> None:
    logits = network("tiny", classes)(tf.zeros([2, size, size, 3]), training=False)
    assert logits.shape == (2, classes)
    assert logits.dtype == tf.float32


def test_with_zero_gamma_every_block_starts_as_its_shortcut() -> None:
    weights = network("tiny").weights
    last = {name: weights[name].numpy() for name in weights if name.endswith("conv3/gamma")}
    assert last and all((gamma == 0).all() for gamma in last.values())
    assert all((weights[name].numpy() == 1).all() for name in weights if name.endswith("/gamma") and name not in last)


def test_initial_kernels_have_the_variance_of_he_initialization() -> None:
    kernel = network().weights["stage4/block3/conv2/kernel"].numpy()
    assert np.var(kernel) == pytest.approx(2 / (3 * 3 * 512), rel=0.01)


def test_the_seed_alone_decides_the_initial_values() -> None:
    first, same, other = (network("tiny", seed=seed).weights["stem/kernel"].numpy() for seed in (1, 1, 2))
    assert (first == same).all()
    assert (first != other).any()


def test_batch_norm_moves_its_statistics_towards_the_batch_by_a_tenth_at_decay_0_9() -> None:
    model = network("tiny")
    images = tf.random.stateless_normal([8, 32, 32, 3], seed=[1, 2])
    padded = tf.pad(images, [[0, 0], [3, 3], [3, 3], [0, 0]])
    before_norm = tf.nn.conv2d(padded, model.weights["stem/kernel"], 2, "VALID").numpy()
    model(images, training=True)
    np.testing.assert_allclose(model.statistics["stem/mean"].numpy(), 0.1 * before_norm.mean((0, 1, 2)), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(model.statistics["stem/variance"].numpy(), 0.9 + 0.1 * before_norm.var((0, 1, 2), ddof=1), rtol=1e-4)


def test_with_moving_statistics_an_image_s_logits_do_not_depend_on_the_others_and_nothing_moves() -> None:
    model = network("tiny", zero_gamma=False)
    before = {name: value.numpy() for name, value in model.statistics.items()}
    images = tf.random.stateless_normal([4, 32, 32, 3], seed=[3, 4])
    together = model(images, training=False).numpy()
    alone = model(images[1:2], training=False).numpy()
    np.testing.assert_allclose(alone[0], together[1], rtol=1e-4, atol=1e-6)
    assert all((model.statistics[name].numpy() == value).all() for name, value in before.items())


def test_bfloat16_activations_give_float32_logits_near_those_of_float32() -> None:
    images = tf.random.stateless_normal([2, 32, 32, 3], seed=[5, 6])
    full = network("tiny", zero_gamma=False)(images, training=False).numpy()
    half = ResNet(Settings(model="tiny", zero_gamma=False, precision="bf16"), 1000)(images, training=False)
    assert half.dtype == tf.float32
    np.testing.assert_allclose(half.numpy(), full, atol=0.03 * float(np.abs(full).max()))


def test_epsilon_is_the_references() -> None:
    assert BATCH_NORM_EPSILON == 1e-5
