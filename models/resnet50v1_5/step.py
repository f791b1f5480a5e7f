"""One training step and one evaluation batch, as TensorFlow graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from common.comm import Comm
from models.resnet50v1_5.config import Config
from models.resnet50v1_5.model import ResNet

# What a step and an evaluation count, summed over images and ranks.
FIGURES = ("loss", "top1", "images", "stop")
EVALUATION_FIGURES = ("loss", "top1", "top5", "images")


def _specification(config: Config) -> tuple[Any, Any]:
    """Return the signature of (images, labels); the number of images is left open, since it varies by one."""
    images = tf.TensorSpec([None, config.image_size, config.image_size, 3], tf.float32)
    return images, tf.TensorSpec([None], tf.int32)


def make_momentum(model: ResNet) -> dict[str, Any]:
    """Return a zero variable for each weight: the running sum of its gradients."""
    return {name: tf.Variable(tf.zeros_like(weight), trainable=False, name=f"momentum/{name}") for name, weight in model.weights.items()}


def make_train_step(model: ResNet, momentum: dict[str, Any], comm: Comm, config: Config, classes: int) -> Callable[..., Any]:
    """Return the function of one step.

    It takes (images float32 [n, size, size, 3], labels int32 [n], learning_rate, images_in_step, stop), n being this
    rank's images and images_in_step those of all ranks, updates the weights, and returns `FIGURES`, float32 [4],
    summed over all ranks.
    """
    names = list(model.weights)
    decayed = {name for name in names if name.endswith("/kernel")}
    smoothing = config.label_smoothing

    @tf.function(input_signature=[*_specification(config), *[tf.TensorSpec([], tf.float32)] * 3])  # type: ignore[untyped-decorator]
    def step(images: Any, labels: Any, learning_rate: Any, images_in_step: Any, stop: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = model(images, batch_statistics=config.batch_norm == "batch")
            target = tf.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
            losses = tf.nn.softmax_cross_entropy_with_logits(target, logits)
            # Divided by the images of all ranks: the sum over ranks is then the mean over the global batch,
            # also when ranks differ by an image.
            loss = tf.reduce_sum(losses) / images_in_step
        gradients = tape.gradient(loss, [model.weights[name] for name in names])
        correct = tf.reduce_sum(tf.cast(tf.equal(tf.argmax(logits, 1, tf.int32), labels), tf.float32))
        figures = tf.stack([tf.reduce_sum(losses), correct, tf.cast(tf.shape(labels)[0], tf.float32), stop])
        # Horovod: gradients summed over ranks; the figures and the request to stop travel with them, so that
        # every rank knows the same after the same step.
        *gradients, figures = comm.sum_tensors([*gradients, figures])
        for name, gradient in zip(names, gradients, strict=True):
            weight = model.weights[name]
            if name in decayed:
                gradient = gradient + config.weight_decay * weight
            tf.raw_ops.ResourceApplyMomentum(
                var=weight.handle, accum=momentum[name].handle, lr=learning_rate, grad=gradient, momentum=config.momentum
            )
        return figures

    return step  # type: ignore[no-any-return]


def make_evaluation_step(model: ResNet, config: Config) -> Callable[..., Any]:
    """Return the function that takes (images, labels) and returns `EVALUATION_FIGURES`, float32 [4], summed over the batch.

    The loss is the plain cross entropy, without label smoothing.
    """

    @tf.function(input_signature=list(_specification(config)))  # type: ignore[untyped-decorator]
    def step(images: Any, labels: Any) -> Any:
        logits = model(images, batch_statistics=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        top1 = tf.cast(tf.equal(tf.argmax(logits, 1, tf.int32), labels), tf.float32)
        top5 = tf.cast(tf.math.in_top_k(labels, logits, 5), tf.float32)
        return tf.stack([tf.reduce_sum(losses), tf.reduce_sum(top1), tf.reduce_sum(top5), tf.cast(tf.shape(labels)[0], tf.float32)])

    return step  # type: ignore[no-any-return]
