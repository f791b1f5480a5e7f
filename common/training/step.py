"""One training step and one evaluated batch, as TensorFlow graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from common.comm import Comm
from common.training.model import Network
from common.training.settings import Settings


class StepFigures(NamedTuple):
    """What a step counts, summed over images and ranks; `stop` is the number of ranks that were asked to stop."""

    loss: Any
    top1: Any
    images: Any
    stop: Any


class EvaluationFigures(NamedTuple):
    """What an evaluation counts, summed over images; the loss is the plain cross entropy, without label smoothing."""

    loss: Any
    top1: Any
    top5: Any
    images: Any


def _specification(settings: Settings) -> tuple[Any, Any]:
    """Return the signature of (images, labels); the number of images is left open, since it varies by one."""
    images = tf.TensorSpec([None, settings.image_size, settings.image_size, 3], tf.float32)
    return images, tf.TensorSpec([None], tf.int32)


def make_momentum(network: Network) -> dict[str, Any]:
    """Return a zero variable for each weight: the running sum of its gradients."""
    return {name: tf.Variable(tf.zeros_like(weight), trainable=False, name=f"momentum/{name}") for name, weight in network.weights.items()}


def make_train_step(
    network: Network, momentum: Mapping[str, Any], comm: Comm, settings: Settings, classes: int
) -> Callable[..., StepFigures]:
    """Return the function of one step.

    It takes (images float32 [n, size, size, 3], labels int32 [n], learning rate, images in the step, stop), n being this
    rank's images and the images in the step those of all ranks, updates the weights, and returns the figures.
    """
    names = list(network.weights)
    decayed = {name for name in names if name.endswith("/kernel")}
    smoothing = settings.label_smoothing

    @tf.function(input_signature=[*_specification(settings), *[tf.TensorSpec([], tf.float32)] * 3])  # type: ignore[untyped-decorator]
    def step(images: Any, labels: Any, learning_rate: Any, images_in_step: Any, stop: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = network(images, training=True)
            target = tf.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
            losses = tf.nn.softmax_cross_entropy_with_logits(target, logits)
            # Divided by the images of all ranks: the sum over ranks is then the mean over the global batch,
            # also when ranks differ by an image.
            loss = tf.reduce_sum(losses) / images_in_step
        gradients = tape.gradient(loss, [network.weights[name] for name in names])
        correct = tf.reduce_sum(tf.cast(tf.equal(tf.argmax(logits, 1, tf.int32), labels), tf.float32))
        count = tf.cast(tf.shape(labels)[0], tf.float32)
        figures = tf.stack(StepFigures(loss=tf.reduce_sum(losses), top1=correct, images=count, stop=stop))
        # Horovod: gradients summed over ranks; the figures and the request to stop travel with them, so that
        # every rank knows the same after the same step.
        *gradients, figures = comm.sum_tensors([*gradients, figures])
        for name, gradient in zip(names, gradients, strict=True):
            weight = network.weights[name]
            if name in decayed:
                gradient = gradient + settings.weight_decay * weight
            tf.raw_ops.ResourceApplyMomentum(
                var=weight.handle, accum=momentum[name].handle, lr=learning_rate, grad=gradient, momentum=settings.momentum
            )
        return figures

    def run(images: Any, labels: Any, learning_rate: float, images_in_step: int, stop: bool) -> StepFigures:
        scalars = (tf.constant(float(value)) for value in (learning_rate, images_in_step, stop))
        return StepFigures(*map(float, step(images, labels, *scalars).numpy()))

    return run


def make_evaluation_step(network: Network, settings: Settings) -> Callable[[Any, Any], EvaluationFigures]:
    """Return the function that takes (images, labels) and returns the figures of this batch."""

    @tf.function(input_signature=list(_specification(settings)))  # type: ignore[untyped-decorator]
    def step(images: Any, labels: Any) -> Any:
        logits = network(images, training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        top1 = tf.cast(tf.equal(tf.argmax(logits, 1, tf.int32), labels), tf.float32)
        top5 = tf.cast(tf.math.in_top_k(labels, logits, 5), tf.float32)
        count = tf.cast(tf.shape(labels)[0], tf.float32)
        return tf.stack(EvaluationFigures(loss=tf.reduce_sum(losses), top1=tf.reduce_sum(top1), top5=tf.reduce_sum(top5), images=count))

    return lambda images, labels: EvaluationFigures(*map(float, step(images, labels).numpy()))
