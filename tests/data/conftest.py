"""Images and record files for the tests of the data package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from common.data import records
from common.data.shards import shard_name

WriteSplit = Callable[..., None]


@pytest.fixture(scope="session")
def encoded_images() -> list[bytes]:
    """54 different files, JPEG and PNG in turn, 40×50 pixels."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    pixels = [random.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in range(54)]
    return [(tf.io.encode_png if at % 2 else tf.io.encode_jpeg)(image).numpy() for at, image in enumerate(pixels)]


@pytest.fixture(scope="session")
def example() -> Callable[..., bytes]:
    """Return a serialized tf.train.Example; a feature that is None is left out."""
    import tensorflow as tf

    def serialize(encoded: bytes | None, label: int | None) -> bytes:
        features = {}
        if encoded is not None:
            features["image/encoded"] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded]))
        if label is not None:
            features["image/class/label"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
        return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()

    return serialize


@pytest.fixture(scope="session")
def write_split(example: Callable[..., bytes]) -> WriteSplit:
    """Write images as a split's record files: `write_split(folder, "train", [(encoded, label), …], shards=3)`."""

    def write(folder: Path, split: str, images: Sequence[tuple[bytes | None, int | None]], shards: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(shards):
            part = images[number * len(images) // shards : (number + 1) * len(images) // shards]
            data = b"".join(records.frame(example(encoded, label)) for encoded, label in part)
            (folder / shard_name(split, number, shards)).write_bytes(data)

    return write


@pytest.fixture(scope="session")
def dataset_folder(tmp_path_factory: pytest.TempPathFactory, encoded_images: list[bytes], write_split: WriteSplit) -> Path:
    """A folder as it comes from elsewhere: no manifest, 3 + 2 record files, labels 1 … 10: the record number mod 10, plus 1."""
    folder = tmp_path_factory.mktemp("foreign")
    write_split(folder, "train", [(encoded, at % 10 + 1) for at, encoded in enumerate(encoded_images)], 3)
    write_split(folder, "validation", [(encoded, at % 10 + 1) for at, encoded in enumerate(encoded_images[:17])], 2)
    return folder
