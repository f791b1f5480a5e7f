"""Real images that need no download: scikit-learn's digits and Debian's Fashion-MNIST."""

from __future__ import annotations

import functools
import gzip
import hashlib
import struct
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from common.data.manifest import TRAIN, VALIDATION, Color
from common.data.records import unreadable
from common.data.source import Content, Item, Source, held_out
from common.errors import TrainingError
from mlops_launch.contract import ExitCode

Pixels = npt.NDArray[np.uint8]

DIGITS_HELD_OUT: Final = 0.2
FASHION_FOLDER: Final = Path("/usr/share/datasets/fashion-mnist")
FASHION_CLASSES: Final = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot",
)  # fmt: skip
FASHION_FILES: Final = {TRAIN: "train", VALIDATION: "t10k"}
# SHA-256 of the labels in Debian's package. MNIST, KMNIST and EMNIST come in files of the same names and sizes.
FASHION_LABELS: Final = {
    TRAIN: "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
    VALIDATION: "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
}
JPEG_QUALITY: Final = 95


def digits(size: int, shards: int | None) -> Source:
    """Return scikit-learn's 1,797 hand-written digits, 8×8, as PNG of `size`×`size` pixels; about a fifth is held out."""
    made_by = {"preparer": "digits", "size": size, "shards": shards or 4}
    return Source("digits", made_by, 0, shards or 4, partial(_read_digits, size))


def digit_pixels() -> tuple[Pixels, list[int]]:
    """Return the digits as uint8 [1797, 8, 8] and their labels.

    Raises TrainingError (NO_DATA) where scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        message = "the digits come with scikit-learn, which is not installed"
        raise TrainingError(message, "pip install scikit-learn", ExitCode.NO_DATA) from error
    data = load_digits()
    # 17 gray levels, 0 … 16.
    return np.round(data.images * (255 / 16)).astype(np.uint8), [int(label) for label in data.target]


def _read_digits(size: int) -> Content:
    pixels, labels = digit_pixels()
    held = np.array([held_out(image.tobytes(), DIGITS_HELD_OUT) for image in pixels])
    splits = {
        split: [Item(f"digit {number}", labels[number], partial(_encode, pixels[number], size, "png")) for number in np.flatnonzero(part)]
        for split, part in ((TRAIN, ~held), (VALIDATION, held))
    }
    mean, std = _statistics(pixels[~held])
    return Content(tuple(str(digit) for digit in range(10)), splits, mean, std, len(pixels) * size * size * 3)


def fashion_mnist(folder: Path, size: int, shards: int | None, log: Callable[[str], None]) -> Source:
    """Return Zalando's Fashion-MNIST from Debian's package: 60,000 and 10,000 images, 28×28, as JPEG of `size`×`size` pixels.

    `log` is told of labels that are not Fashion-MNIST's.

    Raises TrainingError: NO_DATA where the files are not there.
    """
    files = [_idx_file(folder, split, kind) for split in FASHION_FILES for kind in ("images-idx3", "labels-idx1")]
    for path in files:
        if not path.is_file():
            raise TrainingError(
                f"no Fashion-MNIST there, a file is missing: {path}",
                "`apt-get install dataset-fashion-mnist`, or name the folder with --source",
                ExitCode.NO_DATA,
            )
    checksums = {path.name: hashlib.sha256(_bytes(path)).hexdigest() for path in files}
    made_by = {"preparer": "fashion-mnist", "size": size, "shards": shards or 8, "source": checksums}
    return Source("fashion-mnist", made_by, 0, shards or 8, partial(_read_fashion_mnist, folder, size, log))


def _read_fashion_mnist(folder: Path, size: int, log: Callable[[str], None]) -> Content:
    splits: dict[str, Sequence[Item]] = {}
    pixels: dict[str, Pixels] = {}
    for split, name in FASHION_FILES.items():
        pixels[split] = _read_idx(_idx_file(folder, split, "images-idx3"), 3)
        labels = _read_idx(_idx_file(folder, split, "labels-idx1"), 1)
        if len(pixels[split]) != len(labels) or not len(labels):
            raise TrainingError(
                f"{len(pixels[split])} images but {len(labels)} labels in `{folder}`: {name}", "install it again", ExitCode.BAD_DATA
            )
        if hashlib.sha256(labels.tobytes()).hexdigest() != FASHION_LABELS[split]:
            log(f"not the labels of Fashion-MNIST, the classes may be others: {_idx_file(folder, split, 'labels-idx1')}")
        if (wrong := np.flatnonzero(labels >= len(FASHION_CLASSES))).size:
            file, first = _idx_file(folder, split, "labels-idx1"), int(wrong[0])
            raise TrainingError(
                f"`{file}` is not Fashion-MNIST's, image {first} has a label outside 0-{len(FASHION_CLASSES) - 1}: {labels[first]}",
                "name the folder of Fashion-MNIST with --source",
                ExitCode.BAD_DATA,
            )
        splits[split] = [
            Item(f"{name} image {number}", int(label), partial(_encode, image, size, "jpeg"))
            for number, (image, label) in enumerate(zip(pixels[split], labels, strict=True))
        ]
    mean, std = _statistics(pixels[TRAIN])
    images = sum(len(part) for part in pixels.values())
    # JPEG of quality 95 takes about 1.3 bytes a pixel at 32×32, less above.
    return Content(FASHION_CLASSES, splits, mean, std, images * (600 + size * size * 2))


def _idx_file(folder: Path, split: str, kind: str) -> Path:
    return folder / f"{FASHION_FILES[split]}-{kind}-ubyte.gz"


def _read_idx(path: Path, dimensions: int) -> Pixels:
    """Return the array of an idx file: two zero bytes, type (8: uint8), dimensions, each size as 4 bytes, data."""
    try:
        data = gzip.decompress(_bytes(path))
        if data[:4] != bytes((0, 0, 8, dimensions)):
            raise ValueError("not an idx file of bytes")
        shape = struct.unpack(f">{dimensions}I", data[4 : 4 + 4 * dimensions])
        if 0 in shape[1:]:
            raise ValueError(f"images without pixels, {shape}")
        return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (ValueError, struct.error, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TrainingError(f"`{path}` is damaged: {error}", "install or copy it again", ExitCode.BAD_DATA) from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def _statistics(images: Any) -> tuple[Color, Color]:
    """Return mean and standard deviation of gray images, for three equal channels.

    Raises TrainingError (BAD_DATA) where no pixel differs from another: nothing can be normalized by 0.
    """
    pixels = np.asarray(images, np.float64)
    mean, std = round(float(pixels.mean()), 4), round(float(pixels.std()), 4)
    if not std:
        raise TrainingError(f"all pixels of all training images are alike: {mean}", "are these the right files?", ExitCode.BAD_DATA)
    return (mean, mean, mean), (std, std, std)


def _encode(image: Pixels, size: int, encoding: str) -> bytes:
    """Return a gray image [height, width] as a three-channel file of `size`×`size` pixels, resized by bicubic interpolation."""
    import tensorflow as tf

    with tf.device("/cpu:0"):
        return bytes(_encoder(size, encoding)(image).numpy())


@functools.cache
def _encoder(size: int, encoding: str) -> Any:
    """Return the graph function of `_encode`."""
    import tensorflow as tf

    def encode(image: Any) -> Any:
        resized = tf.image.resize(image[:, :, None], [size, size], tf.image.ResizeMethod.BICUBIC)
        gray = tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)
        color = tf.repeat(gray, 3, axis=2)
        return tf.io.encode_png(color) if encoding == "png" else tf.io.encode_jpeg(color, quality=JPEG_QUALITY)

    return tf.function(encode, input_signature=[tf.TensorSpec([None, None], tf.uint8)])
