"""Batches: every image once, the same pixels on any number of ranks, and errors that name the record."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from common.data import records
from common.data.dataset import Dataset, open_dataset
from common.data.pipeline import Augment, evaluation_batches, synthetic_batches, training_batches
from common.errors import TrainingError
from mlops_launch.contract import ExitCode

AUGMENTS: list[Augment] = ["none", "shift", "imagenet"]
IMAGES = 54
# 54 images, 8 a step at most: 7 steps an epoch.
CALL = {"seed": 5, "global_batch": 8, "image_size": 16, "threads": 2}

Seen = dict[tuple[int, int], np.ndarray]


@pytest.fixture(scope="module")
def dataset(dataset_folder: Path) -> Dataset:
    return open_dataset(dataset_folder, classes=10, label_offset=1, log=lambda line: None)


def train(dataset: Dataset, augment: Augment, worlds: list[tuple[int, int, int]]) -> Seen:
    """Return the pixels of each (step, record) of a training; `worlds` holds (ranks, first step, steps) of its parts."""
    seen: Seen = {}
    for world_size, start_step, steps in worlds:
        for rank in range(world_size):
            call = {**CALL, "start_step": start_step, "steps": steps, "rank": rank, "world_size": world_size, "augment": augment}
            with training_batches(dataset, "train", **call) as batches:
                taken = 0
                for step, (images, labels, numbers) in enumerate(batches, start_step):
                    assert images.dtype == tf.float32 and images.shape == (len(numbers), 16, 16, 3)
                    assert labels.dtype == tf.int32 and (labels.numpy() == numbers.numpy() % 10).all()
                    for image, record in zip(images.numpy(), numbers.numpy().tolist(), strict=True):
                        assert (step, record) not in seen
                        seen[step, record] = image
                    taken += 1
                assert taken == steps
    return seen


def equal(one: Seen, other: Seen) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("augment", AUGMENTS)
def test_two_epochs_show_every_image_twice_with_the_same_pixels_on_one_two_and_three_ranks_and_after_a_resume(
    dataset: Dataset, augment: Augment
) -> None:
    alone = train(dataset, augment, [(1, 0, 14)])
    for epoch in range(2):
        assert sorted(record for step, record in alone if step // 7 == epoch) == list(range(IMAGES))
    assert equal(train(dataset, augment, [(2, 0, 14)]), alone)
    assert equal(train(dataset, augment, [(3, 0, 14)]), alone)
    assert equal(train(dataset, augment, [(2, 0, 5), (1, 5, 1), (3, 6, 8)]), alone)


@pytest.mark.parametrize("augment", ["shift", "imagenet"])
def test_an_image_is_augmented_differently_in_each_epoch(dataset: Dataset, augment: Augment) -> None:
    seen = train(dataset, augment, [(1, 0, 14)])
    first, second = ({record: image for (step, record), image in seen.items() if step // 7 == epoch} for epoch in range(2))
    same = [record for record in first if np.array_equal(first[record], second[record])]
    # `shift` has 25 places for an image of 16 pixels, so a few are met twice.
    assert len(same) < IMAGES / 4


def test_without_augmentation_the_pixels_are_the_decoded_file_resized_and_normalized(dataset: Dataset, encoded_images: list[bytes]) -> None:
    (images, _, numbers), *_ = training_batches(
        dataset, "train", start_step=0, steps=1, rank=0, world_size=1, augment="none", **{**CALL, "image_size": 20}
    )
    for image, record in zip(images.numpy(), numbers.numpy(), strict=True):
        pixels = tf.image.decode_image(encoded_images[record], 3, expand_animations=False)
        expected = (tf.image.resize(pixels, [20, 20]).numpy() - dataset.mean) / dataset.std
        # The fast inverse transform of JPEG is off by a few gray levels of 256 from the exact one.
        assert np.abs(image - expected).max() < (0.05 if record % 2 == 0 else 1e-5)


def test_shift_moves_an_image_by_an_eighth_at_most_and_fills_with_black(tmp_path: Path, write_split: Callable[..., None]) -> None:
    dot = np.zeros((16, 16, 3), np.uint8)
    dot[8, 8] = 255
    write_split(tmp_path, "train", [(tf.io.encode_png(dot).numpy(), 0)] * 40, 1)
    dataset = open_dataset(tmp_path, classes=2, log=lambda line: None)
    call = {**CALL, "global_batch": 40}
    (images, _, _), *_ = training_batches(dataset, "train", start_step=0, steps=1, rank=0, world_size=1, augment="shift", **call)
    places = [np.argwhere(image[:, :, 0] > 1).tolist() for image in images.numpy()]
    assert all(len(found) == 1 for found in places)
    assert {row for (row, _), *_ in places} == {column for (_, column), *_ in places} == {6, 7, 8, 9, 10}


def test_imagenet_crops_are_8_to_100_percent_of_the_area_and_half_are_flipped(tmp_path: Path, write_split: Callable[..., None]) -> None:
    # Red grows to the right and green downwards, so the pixels tell what was cut out.
    ramp = np.zeros((256, 256, 3), np.uint8)
    ramp[:, :, 0], ramp[:, :, 1] = np.arange(256)[None, :], np.arange(256)[:, None]
    write_split(tmp_path, "train", [(tf.io.encode_png(ramp).numpy(), 0)] * 200, 1)
    dataset = open_dataset(tmp_path, classes=2, log=lambda line: None)
    call = {**CALL, "global_batch": 200, "image_size": 64}
    (images, _, _), *_ = training_batches(dataset, "train", start_step=0, steps=1, rank=0, world_size=1, augment="imagenet", **call)
    pixels = images.numpy() * dataset.std + dataset.mean
    slope_x = (pixels[:, :, -1, 0] - pixels[:, :, 0, 0]).mean(1) / 63 * 64
    slope_y = (pixels[:, -1, :, 1] - pixels[:, 0, :, 1]).mean(1) / 63 * 64
    areas, aspects = np.abs(slope_x) * slope_y / 256**2, np.abs(slope_x) / slope_y
    assert 0.07 < areas.min() < 0.15 and 0.85 < areas.max() < 1.02
    assert 0.73 < aspects.min() < 0.8 and 1.25 < aspects.max() < 1.37
    assert 70 < (slope_x < 0).sum() < 130


@pytest.mark.parametrize(("augment", "world_size"), [("none", 1), ("none", 2), ("none", 18), ("imagenet", 3)])
def test_evaluation_shows_every_image_once_over_all_ranks(dataset: Dataset, augment: Augment, world_size: int) -> None:
    seen: Counter[int] = Counter()
    for rank in range(world_size):
        call = {"local_batch": 4, "rank": rank, "world_size": world_size, "image_size": 16, "augment": augment, "threads": 2}
        for images, labels, numbers in evaluation_batches(dataset, "validation", **call):
            assert len(images) == len(labels) == len(numbers) <= 4
            assert (labels.numpy() == numbers.numpy() % 10).all()
            seen.update(numbers.numpy().tolist())
    # 17 images: of 18 ranks one has none.
    assert seen == Counter(range(17))


@pytest.mark.parametrize("encode", [tf.io.encode_png, lambda image: tf.io.encode_jpeg(image, quality=100, chroma_downsampling=False)])
def test_evaluation_after_imagenet_cuts_out_the_center(
    tmp_path: Path, write_split: Callable[..., None], encode: Callable[[np.ndarray], tf.Tensor]
) -> None:
    # Seven eighths of the short side (32): 28 rows from 2, 28 columns from 14.
    image = np.zeros((32, 56, 3), np.uint8)
    image[2:30, 14:42] = 255
    write_split(tmp_path, "validation", [(encode(image).numpy(), 0)], 1)
    dataset = open_dataset(tmp_path, classes=2, log=lambda line: None)
    call = {"local_batch": 1, "rank": 0, "world_size": 1, "image_size": 28, "augment": "imagenet", "threads": 1}
    ((images, _, _),) = evaluation_batches(dataset, "validation", **call)
    pixels = images.numpy()[0] * dataset.std + dataset.mean
    # JPEG rings a little at the edge.
    assert pixels.min() > (254.9 if encode is tf.io.encode_png else 225)


def test_synthetic_batches_are_one_batch_repeated() -> None:
    batches = list(synthetic_batches(classes=7, image_size=8, local_batch=500, steps=3))
    assert len(batches) == 3
    images, labels, numbers = batches[0]
    assert images.shape == (500, 8, 8, 3) and abs(float(tf.reduce_mean(images))) < 0.05
    assert set(labels.numpy().tolist()) == set(range(7)) and numbers.numpy().tolist() == list(range(500))
    assert all(batch[0] is images for batch in batches)


def test_fewer_images_a_step_than_ranks_are_refused(dataset: Dataset) -> None:
    with pytest.raises(TrainingError) as caught:
        training_batches(dataset, "train", start_step=0, steps=1, rank=0, world_size=8, augment="none", **CALL)
    assert caught.value.message == "54 images in 7 steps are fewer a step than the 8 ranks: 7"
    assert caught.value.code == ExitCode.CONFIGURATION


def damaged(tmp_path: Path, write_split: Callable[..., None], images: list[tuple[bytes, int]]) -> Dataset:
    write_split(tmp_path, "train", images, 2)
    return open_dataset(tmp_path, classes=10, log=lambda line: None)


def failing_evaluation(dataset: Dataset, local_batch: int = 4) -> tuple[list[int], TrainingError]:
    """Return the records that were delivered before the error, and the error."""
    call = {"local_batch": local_batch, "rank": 0, "world_size": 1, "image_size": 16, "augment": "none", "threads": 2}
    delivered: list[int] = []
    with pytest.raises(TrainingError) as caught, evaluation_batches(dataset, "train", **call) as batches:
        for _, _, numbers in batches:
            delivered.extend(numbers.numpy().tolist())
    return delivered, caught.value


def test_a_label_out_of_range_is_named_after_the_good_batches(
    tmp_path: Path, write_split: Callable[..., None], encoded_images: list[bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    images = [(encoded, 10 if at == 30 else 3) for at, encoded in enumerate(encoded_images)]
    delivered, error = failing_evaluation(damaged(tmp_path, write_split, images))
    assert error.message == f"record 3 of `{tmp_path / 'train-00001-of-00002'}`: label outside 0-9: 10"
    assert (error.hint, error.code) == ("are the number of classes and the label offset right?", ExitCode.BAD_DATA)
    assert delivered == list(range(28))
    assert "Traceback" not in capfd.readouterr().err


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path, write_split: Callable[..., None], encoded_images: list[bytes]) -> None:
    images = [(encoded[:-900] if at == 30 else encoded, 3) for at, encoded in enumerate(encoded_images)]
    delivered, error = failing_evaluation(damaged(tmp_path, write_split, images))
    assert error.message == (
        f"record 3 of `{tmp_path / 'train-00001-of-00002'}`: the image cannot be decoded: "
        "jpeg::Uncompress failed. Invalid JPEG data or crop window."
    )
    assert error.code == ExitCode.BAD_DATA
    assert set(delivered) < set(range(30))


def test_a_flipped_bit_is_named(tmp_path: Path, write_split: Callable[..., None], encoded_images: list[bytes]) -> None:
    dataset = damaged(tmp_path, write_split, [(encoded, 3) for encoded in encoded_images])
    path = tmp_path / "train-00000-of-00002"
    at = int(records.offsets(records.scan(path).lengths)[20])
    content = bytearray(path.read_bytes())
    content[at + 500] ^= 8
    path.write_bytes(content)
    _, error = failing_evaluation(dataset)
    assert error.message == f"`{path}` is damaged, wrong checksum: record 20 at byte {at}"
    assert error.code == ExitCode.BAD_DATA


def test_closing_early_ends_every_reader_thread(dataset: Dataset, capfd: pytest.CaptureFixture[str]) -> None:
    call = {**CALL, "start_step": 0, "steps": 10_000, "rank": 0, "world_size": 1, "augment": "none"}
    with training_batches(dataset, "train", **call) as batches:
        assert len(list(itertools.islice(batches, 3))) == 3
        assert any(thread.name.startswith("mlops-reader") for thread in threading.enumerate())
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("mlops-reader")] == []
    assert list(batches) == []
    assert "Error" not in capfd.readouterr().err
