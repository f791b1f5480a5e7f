"""A folder of one's own images: kept as they are, split by checksum, and nothing broken gets in unseen."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sklearn
import tensorflow as tf

from common.data import prepare
from common.data.dataset import open_dataset
from mlops_launch import contract

PHOTOS = Path(sklearn.__file__).parent / "datasets" / "images"

Run = Callable[..., tuple[int, dict[str, str], str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Prepare `tmp_path/source`; return exit code, the result's fields, and stderr."""

    def call(*arguments: object) -> tuple[int, dict[str, str], str]:
        code = prepare.main(["folder", str(tmp_path / "source"), "--output", str(tmp_path / "data"), *map(str, arguments)])
        captured = capsys.readouterr()
        return code, contract.parse_fields(captured.out), captured.err

    return call


@pytest.fixture
def source(tmp_path: Path, encoded_images: list[bytes]) -> Path:
    """Two real photos and 54 small images in three classes."""
    folder = tmp_path / "source"
    for name in ("noise", "flower", "china"):
        (folder / name).mkdir(parents=True)
    shutil.copy(PHOTOS / "china.jpg", folder / "china" / "a.JPEG")
    shutil.copy(PHOTOS / "flower.jpg", folder / "flower")
    for at, encoded in enumerate(encoded_images):
        (folder / "noise" / f"{at}.{'png' if at % 2 else 'jpg'}").write_bytes(encoded)
    return folder


def images(folder: Path, split: str) -> list[tuple[str, bytes]]:
    """Return class name and file of every image of a split."""
    dataset = open_dataset(folder, log=pytest.fail)
    examples = [dataset.read(split, at) for at in range(dataset.images(split))]
    return [(dataset.class_names[example.label], example.encoded) for example in examples]


def test_every_file_is_kept_byte_by_byte_with_its_class(source: Path, run: Run, tmp_path: Path) -> None:
    code, fields, err = run("--validation-fraction", 0.2, "--shards", 3, "--label-offset", 1)
    assert (code, err) == (0, "")
    assert (fields["dataset"], fields["classes"], fields["label_offset"], fields["skipped"]) == ("source", "3", "1", "0")
    train, validation = images(tmp_path / "data", "train"), images(tmp_path / "data", "validation")
    expected = sorted((path.parent.name, path.read_bytes()) for path in source.rglob("*.*"))
    assert sorted(train + validation) == expected
    assert 2 <= len(validation) <= 22
    manifest = open_dataset(tmp_path / "data")
    assert manifest.class_names == ("china", "flower", "noise")


def test_the_same_image_under_many_names_is_in_one_split(tmp_path: Path, run: Run, encoded_images: list[bytes]) -> None:
    for at in range(60):
        folder = tmp_path / "source" / f"class {at % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{at}.png").write_bytes(encoded_images[at % 6])
    assert run("--validation-fraction", 0.5)[0] == 0
    train, validation = images(tmp_path / "data", "train"), images(tmp_path / "data", "validation")
    assert len(train) + len(validation) == 60
    assert set(train) & set(validation) == set()


def test_train_and_val_folders_are_the_splits(tmp_path: Path, run: Run, encoded_images: list[bytes]) -> None:
    for split, count in (("train", 5), ("val", 2)):
        for name in ("cat", "dog"):
            (tmp_path / "source" / split / name).mkdir(parents=True)
            for at in range(count):
                (tmp_path / "source" / split / name / f"{at}.jpg").write_bytes(encoded_images[2 * at])
    code, fields, _ = run()
    assert (code, fields["train"], fields["validation"], fields["classes"]) == (0, "10", "4", "2")
    shutil.rmtree(tmp_path / "source" / "train" / "dog")
    code, _, err = run("--force")
    assert (code, err) == (65, f"Error: a class of `{tmp_path / 'source' / 'val'}` has no training images: dog\n")
    code, _, err = run("--validation-fraction", 0.1)
    assert (code, err) == (64, f"Error: --validation-fraction is not for a folder that has its own: {tmp_path / 'source' / 'val'}\n")


BROKEN = {
    "truncated.jpg": (lambda: (PHOTOS / "china.jpg").read_bytes()[:-20_000], "jpeg::Uncompress failed. Invalid JPEG data or crop window."),
    "text.png": (lambda: b"hello", "neither JPEG nor PNG"),
    "empty.jpg": (lambda: b"", "the file is empty"),
    "image.bmp": (lambda: b"BM" + bytes(100), "neither JPEG nor PNG"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_refused_by_name_and_left_out_on_request(source: Path, run: Run, tmp_path: Path, name: str) -> None:
    content, reason = BROKEN[name]
    path = source / "noise" / name
    path.write_bytes(content())
    code, fields, err = run("--validation-fraction", 0)
    assert (code, fields) == (65, {})
    assert err == (f"Error: broken image, {reason}: {path}\n\nhint: repair or remove it, or leave such files out with --skip-broken\n")
    assert not (tmp_path / "data" / "manifest.json").exists()
    code, fields, err = run("--validation-fraction", 0, "--skip-broken")
    assert (code, fields["train"], fields["validation"], fields["skipped"]) == (0, "56", "0", "1")
    assert err.splitlines() == [f"continuing an interrupted preparation: {tmp_path / 'data'}", f"left out, {reason}: {path}"]


def test_a_sixteen_bit_png_and_a_gray_jpeg_are_images(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "source"
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
    deep = tf.io.encode_png(np.full((20, 30, 1), 65535, np.uint16)).numpy()
    (folder / "one" / "deep.png").write_bytes(deep)
    (folder / "two" / "gray.jpg").write_bytes(tf.io.encode_jpeg(np.full((25, 10, 1), 7, np.uint8)).numpy())
    assert run("--validation-fraction", 0)[0] == 0
    assert sorted(name for name, _ in images(tmp_path / "data", "train")) == ["one", "two"]


def test_hidden_files_are_left_out_and_nested_folders_belong_to_their_class(source: Path, run: Run, encoded_images: list[bytes]) -> None:
    (source / "noise" / ".DS_Store").write_bytes(b"x")
    (source / ".git").mkdir()
    (source / "china" / "north").mkdir()
    (source / "china" / "north" / "b.png").write_bytes(encoded_images[1])
    code, fields, err = run("--validation-fraction", 0)
    assert (code, fields["train"], fields["classes"]) == (0, "57", "3")
    assert err == "left out, hidden, 2: .git (0 in it), noise/.DS_Store\n"


def test_a_changed_source_is_not_taken_for_complete(source: Path, run: Run) -> None:
    assert run()[0] == 0
    assert run()[2].startswith("already complete: ")
    (source / "noise" / "0.jpg").unlink()
    assert run()[0] == 73
    code, fields, _ = run("--force")
    assert (code, int(fields["train"]) + int(fields["validation"])) == (0, 55)


def test_a_missing_or_empty_folder_is_no_data(tmp_path: Path, run: Run) -> None:
    code, _, err = run()
    assert (code, err.splitlines()[0]) == (66, f"Error: no such folder: {tmp_path / 'source'}")
    (tmp_path / "source").mkdir()
    code, _, err = run()
    assert (code, err.splitlines()[0]) == (66, f"Error: no class folders in: {tmp_path / 'source'}")
    for name in ("cat", "dog"):
        (tmp_path / "source" / name).mkdir()
    code, _, err = run()
    assert (code, err.splitlines()[0]) == (65, f"Error: a class folder holds no images: {tmp_path / 'source' / 'cat'}")
    assert not (tmp_path / "data").exists()


def test_a_fraction_that_leaves_a_split_empty_is_refused(tmp_path: Path, run: Run, encoded_images: list[bytes]) -> None:
    for at, name in enumerate(("cat", "dog")):
        (tmp_path / "source" / name).mkdir(parents=True)
        (tmp_path / "source" / name / "1.png").write_bytes(encoded_images[at])
    code, _, err = run("--validation-fraction", 1e-9)
    assert (code, err.splitlines()[0]) == (65, "Error: a validation fraction of 1e-09 leaves no image for validation, of 2")


def test_a_jpeg_that_is_damaged_in_the_middle_and_decodes_is_kept_and_named(source: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """libjpeg says what is wrong, and not of which file; it says so at once, also where one chunk has several."""
    random = np.random.default_rng(0)
    for at in range(4):
        data = bytearray(tf.io.encode_jpeg(random.integers(0, 256, (200, 200, 3), np.uint8)).numpy())
        if at % 2:
            data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
        (source / "china" / f"{at}.jpg").write_bytes(data)
    code = prepare.main(["folder", str(source), "--output", str(source.parent / "data"), "--validation-fraction", "0"])
    captured = capfd.readouterr()
    assert (code, contract.parse_fields(captured.out)["train"]) == (0, "60")
    assert sorted(re.sub("Corrupt JPEG data: [^:]*: ", "", line) for line in captured.err.splitlines()) == [
        f"kept although damaged, {source / 'china' / '1.jpg'}",
        f"kept although damaged, {source / 'china' / '3.jpg'}",
    ]
    said: list[str] = []
    dataset = open_dataset(source.parent / "data", log=said.append)
    (line,) = said
    assert line.startswith("images that libjpeg complains of without their name, 2: record ")
    named = re.findall(r"record ([0-9]+) of train-00000-of-00001, Corrupt JPEG data: [^:,]*: ([^,]*)", line)
    assert {path: dataset.read("train", int(record)).encoded for record, path in named} == {
        str(source / "china" / name): (source / "china" / name).read_bytes() for name in ("1.jpg", "3.jpg")
    }
