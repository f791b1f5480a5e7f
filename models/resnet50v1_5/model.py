"""ResNet-50 v1.5: He et al. 2015 (arXiv:1512.03385) with the stride of a block on its 3x3 convolution.

v1 has that stride on the first 1x1 convolution, and so has `keras.applications.ResNet50`, which is why it is not
used here.  v1.5 has no paper; it is the network of Goyal et al. (arXiv:1706.02677) and of NVIDIA's and MLPerf's
references.  Padding: the strided convolutions pad both sides alike (1 for 3x3, 3 for the 7x7 stem), as in the
first of these implementations.  No convolution has a bias, since batch norm follows.

Written in TensorFlow operations without Keras, whose layers add operations of their own to each step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from models.resnet50v1_5.settings import Settings

BATCH_NORM_EPSILON = 1e-5


class Architecture(NamedTuple):
    """Blocks of each stage and the width of the first; the last convolution of a block has four times its width."""

    blocks: tuple[int, ...]
    width: int


ARCHITECTURES = {
    "resnet50": Architecture(blocks=(3, 4, 6, 3), width=64),
    # For tests of everything around the network: the same kind of blocks, 1/500 of the weights.
    "tiny": Architecture(blocks=(1, 1), width=8),
}


class ResNet(tf.Module):  # type: ignore[misc]
    """The network and its variables, float32; activations, and kernels when they are used, are of the settings' precision.

    Attributes:
        weights: what training moves, by name.
        statistics: batch norm's moving means and variances, by name.
        least_images: batch norm sets a single value to its beta, whatever the image.
        stem: the first convolution.
        blocks: the others, four or three a block.
    """

    def __init__(self, settings: Settings, classes: int) -> None:
        super().__init__(name=settings.model)
        self.weights: dict[str, tf.Variable] = {}
        self.statistics: dict[str, tf.Variable] = {}
        self.settings = settings
        self.compute = tf.bfloat16 if settings.precision == "bf16" else tf.float32
        self.random = tf.random.Generator.from_seed(settings.seed)
        architecture = ARCHITECTURES[settings.model]
        self.stem = Convolution(self, "stem", size=7, channels=3, filters=architecture.width, stride=2)
        self.blocks: list[Block] = []
        channels = architecture.width
        for stage, count in enumerate(architecture.blocks):
            width = architecture.width * 2**stage
            for number in range(count):
                self.blocks.append(Block(self, f"stage{stage + 1}/block{number + 1}", channels, width, number == 0, stage > 0))
                channels = 4 * width
        self.kernel = self.add("head/kernel", self.random.normal([channels, classes], stddev=0.01))
        self.bias = self.add("head/bias", tf.zeros([classes]))
        # The stem and its pooling halve the image, and so does each stage but the first; halves are rounded up.
        last_map = -(-settings.image_size // 2 ** (2 + len(architecture.blocks) - 1))
        self.least_images = 2 if last_map == 1 and settings.batch_norm == "batch" else 1

    def add(self, name: str, value: Any) -> Any:
        """Return a new weight."""
        self.weights[name] = tf.Variable(value, name=name)
        return self.weights[name]

    def add_statistic(self, name: str, value: Any) -> Any:
        """Return a new variable that training moves without gradients."""
        self.statistics[name] = tf.Variable(value, trainable=False, name=name)
        return self.statistics[name]

    def __call__(self, images: Any, training: bool) -> Any:
        """Return logits, float32 [N, classes], of images, float32 [N, height, width, 3].

        In training each batch norm uses the batch's own mean and variance and moves its statistics towards them, unless
        the settings say that it uses the moving ones and leaves them; otherwise it does the latter.
        """
        batch_statistics = training and self.settings.batch_norm == "batch"
        x = tf.nn.relu(self.stem(tf.cast(images, self.compute), batch_statistics))
        x = tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
        for block in self.blocks:
            x = block(x, batch_statistics)
        features = tf.cast(tf.reduce_mean(x, axis=[1, 2]), tf.float32)
        return features @ self.kernel + self.bias


class Block:
    """A bottleneck block; the first of a stage projects its shortcut, and in each stage but the first it halves the image."""

    def __init__(self, network: ResNet, name: str, channels: int, width: int, first: bool, halved: bool) -> None:
        stride = 2 if first and halved else 1
        # Goyal et al.: with a gamma of 0 at its end a block starts as the identity.
        gamma = 0.0 if network.settings.zero_gamma else 1.0
        self.shortcut = Convolution(network, f"{name}/shortcut", 1, channels, 4 * width, stride) if first else None
        self.conv1 = Convolution(network, f"{name}/conv1", 1, channels, width)
        # v1.5: the stride is here.
        self.conv2 = Convolution(network, f"{name}/conv2", 3, width, width, stride)
        self.conv3 = Convolution(network, f"{name}/conv3", 1, width, 4 * width, gamma=gamma)

    def __call__(self, x: Any, batch_statistics: bool) -> Any:
        shortcut = x if self.shortcut is None else self.shortcut(x, batch_statistics)
        y = tf.nn.relu(self.conv1(x, batch_statistics))
        y = tf.nn.relu(self.conv2(y, batch_statistics))
        return tf.nn.relu(self.conv3(y, batch_statistics) + shortcut)


class Convolution:
    """A convolution and its batch norm, without activation."""

    def __init__(self, network: ResNet, name: str, size: int, channels: int, filters: int, stride: int = 1, gamma: float = 1.0) -> None:
        self.stride, self.compute, self.decay = stride, network.compute, network.settings.bn_decay
        # He et al. 2015 (arXiv:1502.01852): variance 2 / fan-in keeps the scale through ReLUs.
        deviation = (2 / (size * size * channels)) ** 0.5
        self.kernel = network.add(f"{name}/kernel", network.random.normal([size, size, channels, filters], stddev=deviation))
        self.gamma = network.add(f"{name}/gamma", tf.fill([filters], gamma))
        self.beta = network.add(f"{name}/beta", tf.zeros([filters]))
        self.mean = network.add_statistic(f"{name}/mean", tf.zeros([filters]))
        self.variance = network.add_statistic(f"{name}/variance", tf.ones([filters]))

    def __call__(self, x: Any, batch_statistics: bool) -> Any:
        kernel = tf.cast(self.kernel, self.compute)
        pad = (kernel.shape[0] - 1) // 2
        if self.stride == 1 or pad == 0:
            # At stride 1 this pads both sides by `pad`.
            y = tf.nn.conv2d(x, kernel, self.stride, "SAME")
        else:
            # Not conv2d's own explicit padding: oneDNN does not take it, and a convolution takes twice the time in
            # float32 and many times that in bfloat16.
            y = tf.nn.conv2d(tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]]), kernel, self.stride, "VALID")
        return self._normalize(y, batch_statistics)

    def _normalize(self, x: Any, batch_statistics: bool) -> Any:
        normalize = tf.compat.v1.nn.fused_batch_norm
        if not batch_statistics:
            return normalize(x, self.gamma, self.beta, self.mean, self.variance, epsilon=BATCH_NORM_EPSILON, is_training=False)[0]
        y, mean, variance = normalize(x, self.gamma, self.beta, epsilon=BATCH_NORM_EPSILON, is_training=True)
        self.mean.assign_sub((1 - self.decay) * (self.mean - mean))
        self.variance.assign_sub((1 - self.decay) * (self.variance - variance))
        return y
