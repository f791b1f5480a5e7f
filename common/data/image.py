"""From an encoded image to pixels, in a TensorFlow graph: decoded, cropped, resized and normalized.

Every random choice is a function of the image's seed, so a resumed training sees the same pixels.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Literal

from common.data.manifest import Color

Augment = Literal["none", "shift", "imagenet"]

CHANNELS = 3
# Random-resized crop: part of the area and ratio of width to height.
AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)
ATTEMPTS = 10
# The center of an evaluated image: 224 of 256 pixels of the short side.
CENTER = 224 / 256
# `shift` moves an image by up to this part of its size.
SHIFT = 1 / 8


def training_image(encoded: Any, seed: Any, image_size: int, augment: Augment) -> Any:
    """Return float32 [image_size, image_size, 3] on the scale 0-255; `seed` is int64 [2]."""
    import tensorflow as tf

    if augment == "imagenet":
        shape = _shape(encoded)
        begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
            shape,
            tf.zeros([1, 0, 4]),
            seed,
            min_object_covered=0.0,
            aspect_ratio_range=ASPECT,
            area_range=AREA,
            max_attempts=ATTEMPTS,
            use_image_if_no_bounding_boxes=True,
        )
        image = _resize(_decode_window(encoded, begin[0], begin[1], size[0], size[1]), image_size)
        return tf.cond(_uniform(seed, 1)[0] < 0.5, lambda: tf.reverse(image, [1]), lambda: image)
    image = _resize(_decode(encoded), image_size)
    if augment == "shift":
        margin = max(1, round(image_size * SHIFT))
        offsets = tf.cast(_uniform(seed, 2) * (2 * margin + 1), tf.int32)
        padded = tf.pad(image, [[margin, margin], [margin, margin], [0, 0]])
        return tf.slice(padded, [offsets[0], offsets[1], 0], [image_size, image_size, CHANNELS])
    return image


def evaluation_image(encoded: Any, image_size: int, augment: Augment) -> Any:
    """Return float32 [image_size, image_size, 3] on the scale 0-255, without a random choice."""
    import tensorflow as tf

    if augment != "imagenet":
        return _resize(_decode(encoded), image_size)
    shape = _shape(encoded)
    height, width = shape[0], shape[1]
    side = tf.cast(tf.round(tf.cast(tf.minimum(height, width), tf.float32) * CENTER), tf.int32)
    side = tf.maximum(side, 1)
    return _resize(_decode_window(encoded, (height - side) // 2, (width - side) // 2, side, side), image_size)


def normalize(images: Any, mean: Color, std: Color) -> Any:
    """Return `images` (scale 0-255, channels last) with mean 0 and standard deviation 1."""
    import tensorflow as tf

    return (images - tf.constant(mean, tf.float32)) / tf.constant(std, tf.float32)


def check(encoded: bytes) -> tuple[int, int]:
    """Decode a JPEG or PNG file wholly and return its height and width; ValueError says why it cannot be decoded."""
    import tensorflow as tf

    if not encoded.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
        raise ValueError("neither JPEG nor PNG")
    with tf.device("/cpu:0"):
        try:
            height, width, _ = _decoded_shape()(encoded).numpy()
        except tf.errors.InvalidArgumentError as error:
            # TensorFlow puts the operation's name before the reason and its place in the graph behind it.
            raise ValueError(re.sub(r"\{\{.*?\}\}\s*|\s*\[.*", "", error.message, flags=re.DOTALL)) from error
    return int(height), int(width)


@functools.cache
def _decoded_shape() -> Any:
    """Return a graph function from a file to the shape of its pixels: a third of the time of the same operations called one by one."""
    import tensorflow as tf

    return tf.function(lambda encoded: tf.shape(_decode(encoded)), input_signature=[tf.TensorSpec([], tf.string)])


def _decode(encoded: Any) -> Any:
    """Return uint8 [height, width, 3]."""
    import tensorflow as tf

    return tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, CHANNELS, dct_method="INTEGER_FAST"),
        lambda: tf.io.decode_png(encoded, CHANNELS),
    )


def _decode_window(encoded: Any, top: Any, left: Any, height: Any, width: Any) -> Any:
    """Return uint8 [height, width, 3]; of a JPEG only the window's blocks are decoded."""
    import tensorflow as tf

    return tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_and_crop_jpeg(encoded, tf.stack([top, left, height, width]), CHANNELS, dct_method="INTEGER_FAST"),
        lambda: tf.slice(tf.io.decode_png(encoded, CHANNELS), tf.stack([top, left, 0]), tf.stack([height, width, CHANNELS])),
    )


def _shape(encoded: Any) -> Any:
    """Return int32 [3]: height, width, channels."""
    import tensorflow as tf

    return tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.extract_jpeg_shape(encoded),
        lambda: tf.shape(tf.io.decode_png(encoded, CHANNELS)),
    )


def _resize(image: Any, image_size: int) -> Any:
    """Return float32 [image_size, image_size, 3]; an image of that size keeps its values."""
    import tensorflow as tf

    resized = tf.image.resize(image, [image_size, image_size])
    return tf.ensure_shape(tf.cast(resized, tf.float32), [image_size, image_size, CHANNELS])


def _uniform(seed: Any, count: int) -> Any:
    """Return float32 [count] in [0, 1); drawn beside the crop, whose seed is `seed` itself."""
    import tensorflow as tf

    return tf.random.stateless_uniform([count], tf.random.fold_in(seed, 1, alg="philox"), alg="philox")
