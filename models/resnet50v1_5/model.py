"""ResNet-50 v1.5: He et al. 2015 (arXiv:1512.03385) with the stride of a block on its 3x3 convolution.

v1 has that stride on the first 1x1 convolution, and so has `keras.applications.ResNet50`, which is why it is not
used here.  v1.5 has no paper; it is the network of Goyal et al. (arXiv:1706.02677) and of NVIDIA's and MLPerf's
references.  Padding: the strided convolutions pad both sides alike (1 for 3x3, 3 for the 7x7 stem), as in the
first of these implementations.  No convolution has a bias, since batch norm follows.

Written in TensorFlow operations without Keras, whose layers add operations of their own to each step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

BATCH_NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class Architecture:
    """Blocks of each stage and the width of the first; the last convolution of a block has four times its width."""

    blocks: tuple[int, ...]
    width: int


ARCHITECTURES = {
    "resnet50": Architecture(blocks=(3, 4, 6, 3), width=64),
    # For tests of everything around the network: the same kind of blocks, 1/500 of the weights.
    "tiny": Architecture(blocks=(1, 1), width=8),
}


@dataclass(frozen=True)
class Block:
    """A bottleneck block: its name, the stride of its 3x3 convolution, its width, and whether its shortcut is projected."""

    name: str
    stride: int
    width: int
    projected: bool


def blocks_of(architecture: Architecture) -> Iterator[Block]:
    """Yield the blocks in order: the first of each stage but the first halves the image."""
    for stage, count in enumerate(architecture.blocks):
        for number in range(count):
            first = number == 0
            yield Block(f"stage{stage + 1}/block{number + 1}", 2 if first and stage > 0 else 1, architecture.width * 2**stage, first)


class ResNet(tf.Module):  # type: ignore[misc]
    """The network and its variables.

    Args:
        architecture: one of `ARCHITECTURES`.
        classes: number of logits.
        compute: dtype of activations and of the kernels when they are used, float32 or bfloat16; variables are float32.
        bn_decay: decay of the moving mean and variance.
        zero_gamma: start the last batch norm of each block at 0, so that a block starts as the identity (Goyal et al.).
        seed: of the initial values.
    """

    def __init__(self, architecture: Architecture, classes: int, compute: Any, bn_decay: float, zero_gamma: bool, seed: int) -> None:
        super().__init__(name="resnet")
        self.architecture = architecture
        self.weights: dict[str, tf.Variable] = {}
        self.statistics: dict[str, tf.Variable] = {}
        self._compute = compute
        self._bn_decay = bn_decay
        self._random = tf.random.Generator.from_seed(seed)
        width = architecture.width
        self._add_convolution("stem", 7, 3, width, gamma=1.0)
        channels = width
        for block in blocks_of(architecture):
            if block.projected:
                self._add_convolution(f"{block.name}/shortcut", 1, channels, 4 * block.width, gamma=1.0)
            self._add_convolution(f"{block.name}/conv1", 1, channels, block.width, gamma=1.0)
            self._add_convolution(f"{block.name}/conv2", 3, block.width, block.width, gamma=1.0)
            channels = 4 * block.width
            self._add_convolution(f"{block.name}/conv3", 1, block.width, channels, gamma=0.0 if zero_gamma else 1.0)
        self._add("head/kernel", self._random.normal([channels, classes], stddev=0.01))
        self._add("head/bias", tf.zeros([classes]))

    def _add(self, name: str, value: Any) -> None:
        self.weights[name] = tf.Variable(value, name=name)

    def _add_convolution(self, name: str, size: int, channels: int, filters: int, gamma: float) -> None:
        # He et al. 2015 (arXiv:1502.01852): variance 2 / fan-in keeps the scale through ReLUs.
        self._add(f"{name}/kernel", self._random.normal([size, size, channels, filters], stddev=(2 / (size * size * channels)) ** 0.5))
        self._add(f"{name}/gamma", tf.fill([filters], gamma))
        self._add(f"{name}/beta", tf.zeros([filters]))
        self.statistics[f"{name}/mean"] = tf.Variable(tf.zeros([filters]), trainable=False, name=f"{name}/mean")
        self.statistics[f"{name}/variance"] = tf.Variable(tf.ones([filters]), trainable=False, name=f"{name}/variance")

    def __call__(self, images: Any, batch_statistics: bool) -> Any:
        """Return logits, float32 [N, classes], of images, float32 [N, height, width, 3].

        With `batch_statistics` each batch norm uses the batch's own mean and variance and moves its statistics
        towards them; without, it uses the moving ones and leaves them.
        """
        x = tf.cast(images, self._compute)
        x = tf.nn.relu(self._convolve("stem", x, 2, batch_statistics))
        x = tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
        for block in blocks_of(self.architecture):
            shortcut = self._convolve(f"{block.name}/shortcut", x, block.stride, batch_statistics) if block.projected else x
            y = tf.nn.relu(self._convolve(f"{block.name}/conv1", x, 1, batch_statistics))
            # v1.5: the stride is here.
            y = tf.nn.relu(self._convolve(f"{block.name}/conv2", y, block.stride, batch_statistics))
            y = self._convolve(f"{block.name}/conv3", y, 1, batch_statistics)
            x = tf.nn.relu(y + shortcut)
        features = tf.cast(tf.reduce_mean(x, axis=[1, 2]), tf.float32)
        return features @ self.weights["head/kernel"] + self.weights["head/bias"]

    def _convolve(self, name: str, x: Any, stride: int, batch_statistics: bool) -> Any:
        """Return batch norm (convolution (x)), without activation."""
        kernel = tf.cast(self.weights[f"{name}/kernel"], self._compute)
        pad = (kernel.shape[0] - 1) // 2
        if stride == 1 or pad == 0:
            # At stride 1 this pads both sides by `pad`.
            y = tf.nn.conv2d(x, kernel, stride, "SAME")
        else:
            # Not conv2d's own explicit padding: oneDNN does not take it, and a convolution takes twice the time in
            # float32 and many times that in bfloat16.
            y = tf.nn.conv2d(tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]]), kernel, stride, "VALID")
        return self._batch_norm(name, y, batch_statistics)

    def _batch_norm(self, name: str, x: Any, batch_statistics: bool) -> Any:
        gamma, beta = self.weights[f"{name}/gamma"], self.weights[f"{name}/beta"]
        mean, variance = self.statistics[f"{name}/mean"], self.statistics[f"{name}/variance"]
        if not batch_statistics:
            return tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, mean, variance, epsilon=BATCH_NORM_EPSILON, is_training=False)[0]
        y, batch_mean, batch_variance = tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, epsilon=BATCH_NORM_EPSILON, is_training=True)
        mean.assign_sub((1 - self._bn_decay) * (mean - batch_mean))
        variance.assign_sub((1 - self._bn_decay) * (variance - batch_variance))
        return y

    @property
    def parameter_count(self) -> int:
        """The number of trainable parameters."""
        return sum(int(variable.shape.num_elements()) for variable in self.weights.values())
