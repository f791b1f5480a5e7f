"""One hidden layer between the pixels and the classes: the classic first network for MNIST and images like it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from models.mnist_mlp.settings import Settings


class Mlp(tf.Module):  # type: ignore[misc]
    """The network and its variables, float32; products are of the settings' precision. It has no statistics.

    Attributes:
        weights: of the layers `hidden` and `head`, by name.
    """

    def __init__(self, settings: Settings, classes: int) -> None:
        super().__init__(name="mnist_mlp")
        self.weights: dict[str, tf.Variable] = {}
        self.statistics: dict[str, tf.Variable] = {}
        self.least_images = 1
        self.compute = tf.bfloat16 if settings.precision == "bf16" else tf.float32
        self.random = tf.random.Generator.from_seed(settings.seed)
        pixels = settings.image_size**2
        self.hidden = self._layer("hidden", pixels, settings.hidden_units, deviation=(2 / pixels) ** 0.5)
        self.head = self._layer("head", settings.hidden_units, classes, deviation=0.01)

    def _layer(self, name: str, inputs: int, outputs: int, deviation: float) -> tuple[Any, Any]:
        """Return a new layer's kernel and bias."""
        self.weights[f"{name}/kernel"] = tf.Variable(self.random.normal([inputs, outputs], stddev=deviation), name=f"{name}/kernel")
        self.weights[f"{name}/bias"] = tf.Variable(tf.zeros([outputs]), name=f"{name}/bias")
        return self.weights[f"{name}/kernel"], self.weights[f"{name}/bias"]

    def __call__(self, images: Any, training: bool) -> Any:
        """Return logits, float32 [n, classes], of images, float32 [n, size, size, 3]; colors are averaged."""
        gray = tf.reshape(tf.reduce_mean(images, axis=3), [tf.shape(images)[0], -1])
        return self._apply(self.head, tf.nn.relu(self._apply(self.hidden, gray)))

    def _apply(self, layer: tuple[Any, Any], x: Any) -> Any:
        kernel, bias = layer
        return tf.cast(tf.cast(x, self.compute) @ tf.cast(kernel, self.compute), tf.float32) + bias
