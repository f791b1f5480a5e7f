"""Opening a dataset folder: what is wrong with it is said before the training begins."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.data import records
from common.data.dataset import open_dataset
from common.data.journal import sha256
from common.data.manifest import Manifest, Shard, dumps
from common.data.split import Example
from common.errors import TrainingError
from mlops_launch.contract import ExitCode


def failure(folder: Path, **options: int) -> tuple[str, ExitCode]:
    with pytest.raises(TrainingError) as caught:
        open_dataset(folder, log=lambda line: None, **options)
    return caught.value.message, caught.value.code


@pytest.fixture
def foreign(dataset_folder: Path, tmp_path: Path) -> Path:
    """A copy of the foreign dataset that a test may damage."""
    return Path(shutil.copytree(dataset_folder, tmp_path / "copy"))


@pytest.fixture
def ours(foreign: Path) -> Path:
    """The same with manifest and index, as a preparer leaves it."""
    paths = sorted(path for path in foreign.iterdir())
    lengths = {path.name: records.scan(path).lengths for path in paths}
    splits = {
        split: tuple(
            Shard(path.name, path.stat().st_size, len(lengths[path.name]), sha256(path)) for path in paths if path.name.startswith(split)
        )
        for split in ("train", "validation")
    }
    classes = tuple("abcdefghij")
    gray = (1.0, 1.0, 1.0)
    (foreign / "manifest.json").write_text(dumps(Manifest("x", classes, 1, "mixed", 3, (40, 50), (40, 50), gray, gray, splits, {})))
    np.save(foreign / "index.npy", np.concatenate([lengths[path.name] for path in paths]))
    return foreign


def test_a_folder_from_elsewhere_is_scanned(dataset_folder: Path, encoded_images: list[bytes]) -> None:
    lines: list[str] = []
    dataset = open_dataset(dataset_folder, classes=10, label_offset=1, log=lines.append)
    assert (dataset.images("train"), dataset.images("validation"), dataset.classes, dataset.class_names) == (54, 17, 10, ())
    assert [dataset.read("train", record) for record in range(54)] == [
        Example(encoded, record % 10) for record, encoded in enumerate(encoded_images)
    ]
    assert lines == [f"scanning the headers of 5 record files: {dataset_folder}"]


def test_a_folder_with_manifest_and_index_is_opened_without_reading_the_record_files(ours: Path, encoded_images: list[bytes]) -> None:
    lines: list[str] = []
    dataset = open_dataset(ours, log=lines.append)
    assert (dataset.images("train"), dataset.images("validation"), dataset.classes, dataset.label_offset) == (54, 17, 10, 1)
    assert dataset.class_names == tuple("abcdefghij")
    assert dataset.read("train", 53) == Example(encoded_images[53], 3)
    assert lines == []


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"x"), lambda path: np.save(path, np.full(71, 9))])
def test_without_a_fitting_index_the_record_files_are_scanned_and_the_log_says_so(
    ours: Path, encoded_images: list[bytes], damage: Callable[[Path], None]
) -> None:
    damage(ours / "index.npy")
    lines: list[str] = []
    dataset = open_dataset(ours, log=lines.append)
    assert dataset.read("validation", 16) == Example(encoded_images[16], 6)
    assert lines == [
        f"`{ours / 'index.npy'}` is missing or does not fit the manifest: reading the record files instead",
        f"scanning the headers of 5 record files: {ours}",
    ]


def test_a_missing_or_empty_folder_is_no_data(tmp_path: Path) -> None:
    assert failure(tmp_path / "none", classes=10) == (f"no such dataset folder: {tmp_path / 'none'}", ExitCode.NO_DATA)
    message = f"no files `train-*` or `validation-*` in the dataset folder: {tmp_path}"
    assert failure(tmp_path, classes=10) == (message, ExitCode.NO_DATA)


def test_a_folder_from_elsewhere_needs_the_number_of_classes(foreign: Path) -> None:
    message = f"the dataset has no manifest, so the number of classes is needed: {foreign}"
    assert failure(foreign) == (message, ExitCode.CONFIGURATION)


def test_flags_that_contradict_the_manifest_are_refused(ours: Path) -> None:
    assert failure(ours, classes=11) == ("classes 11 contradicts the dataset's manifest: 10", ExitCode.CONFIGURATION)
    assert failure(ours, label_offset=0) == ("label_offset 0 contradicts the dataset's manifest: 1", ExitCode.CONFIGURATION)
    assert open_dataset(ours, classes=10, label_offset=1).classes == 10


def test_a_missing_record_file_is_named(foreign: Path) -> None:
    (foreign / "train-00001-of-00003").unlink()
    message = f"1 of 3 record files are missing from `{foreign}`, the first: train-00001-of-00003"
    assert failure(foreign, classes=10) == (message, ExitCode.BAD_DATA)


def test_two_datasets_in_one_folder_are_refused(foreign: Path) -> None:
    shutil.copy(foreign / "train-00001-of-00003", foreign / "train-00001-of-00009")
    message = f"`{foreign}` holds record files of more than one dataset, for example: train-00001-of-00009"
    assert failure(foreign, classes=10) == (message, ExitCode.BAD_DATA)


def test_an_empty_record_file_is_refused(foreign: Path) -> None:
    (foreign / "train-00001-of-00003").write_bytes(b"")
    assert failure(foreign, classes=10) == (f"a record file is empty: {foreign / 'train-00001-of-00003'}", ExitCode.BAD_DATA)


def test_a_truncated_record_file_from_elsewhere_is_named_with_record_and_byte(foreign: Path) -> None:
    path = foreign / "train-00001-of-00003"
    last = int(records.offsets(records.scan(path).lengths)[-1])
    path.write_bytes(path.read_bytes()[:-1])
    assert failure(foreign, classes=10) == (f"`{path}` is damaged, truncated: record 17 at byte {last}", ExitCode.BAD_DATA)


def test_a_record_file_of_another_size_than_in_the_manifest_is_named(ours: Path) -> None:
    path = ours / "train-00001-of-00003"
    whole = path.read_bytes()
    # Cut between two records, which only the manifest can tell.
    path.write_bytes(whole[: int(records.offsets(records.scan(path).lengths)[-1])])
    message = f"`{path}` is truncated, {len(whole)} bytes by the manifest: {path.stat().st_size}"
    assert failure(ours) == (message, ExitCode.BAD_DATA)
    path.unlink()
    assert failure(ours) == (f"a record file of the manifest is missing: {path}", ExitCode.BAD_DATA)


def test_a_split_that_is_not_there_is_no_data(foreign: Path) -> None:
    for path in foreign.glob("validation-*"):
        path.unlink()
    dataset = open_dataset(foreign, classes=10, label_offset=1)
    with pytest.raises(TrainingError) as caught:
        dataset.images("validation")
    assert caught.value.message == f"the dataset has no split `validation`: {foreign}"
    assert caught.value.code == ExitCode.NO_DATA


@pytest.mark.parametrize(
    ("encoded", "label", "what"),
    [
        (b"x", 11, "label outside 1-10: 11"),
        (b"x", 0, "label outside 1-10: 0"),
        (b"x", -(2**60), f"label outside 1-10: {-(2**60)}"),
        (b"x", None, "it has image/encoded, and needs one value of: image/class/label"),
        (None, 3, "it has image/class/label, and needs one value of: image/encoded"),
    ],
)
def test_a_record_with_a_wrong_label_or_without_a_feature_is_named(
    tmp_path: Path, write_split: Callable[..., None], encoded: bytes | None, label: int | None, what: str
) -> None:
    write_split(tmp_path, "train", [(b"x", 1), (b"x", 2), (b"x", 3), (encoded, label)], 2)
    dataset = open_dataset(tmp_path, classes=10, label_offset=1)
    with pytest.raises(TrainingError) as caught:
        dataset.read("train", 3)
    assert caught.value.message == f"record 1 of `{tmp_path / 'train-00001-of-00002'}`: {what}"
    assert caught.value.code == ExitCode.BAD_DATA


def test_a_record_that_is_no_example_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train-00000-of-00001"
    path.write_bytes(records.frame(b"\xff\xff\xff"))
    with pytest.raises(TrainingError) as caught:
        open_dataset(tmp_path, classes=2).read("train", 0)
    assert caught.value.message == f"record 0 of `{path}`: no tf.train.Example, bytes: 3"


def test_the_fingerprint_changes_with_the_data(dataset_folder: Path, ours: Path) -> None:
    prints = [
        open_dataset(dataset_folder, classes=10, label_offset=1).fingerprint,
        open_dataset(dataset_folder, classes=10, label_offset=0).fingerprint,
        open_dataset(ours).fingerprint,
    ]
    assert len(set(prints)) == 3
    assert prints[0] == open_dataset(dataset_folder, classes=10, label_offset=1).fingerprint


def test_the_fingerprint_is_the_contents_and_not_the_files(dataset_folder: Path, foreign: Path) -> None:
    """The same records in the same order, in files of other names, numbers and times."""
    data = b"".join(path.read_bytes() for path in sorted(foreign.glob("train-*")))
    for path in foreign.glob("train-*"):
        path.unlink()
    (foreign / "train-all").write_bytes(data)
    one, other = (open_dataset(folder, classes=10, label_offset=1) for folder in (dataset_folder, foreign))
    assert one.fingerprint == other.fingerprint
    assert one.identity.difference(other.identity) is None


@settings(deadline=None, max_examples=50)
@given(content=st.lists(st.tuples(st.sampled_from([b"x", b"y", b"zz"]), st.integers(0, 2)), min_size=1, max_size=5), data=st.data())
def test_relabelled_reordered_or_other_records_have_another_fingerprint(
    tmp_path_factory: pytest.TempPathFactory, write_split: Callable[..., None], content: list[tuple[bytes, int]], data: st.DataObject
) -> None:
    other = data.draw(st.permutations(content) | st.lists(st.tuples(st.sampled_from([b"x", b"y", b"zz"]), st.integers(0, 2)), min_size=1))
    prints = []
    for records_ in (content, other):
        folder = tmp_path_factory.mktemp("data")
        write_split(folder, "train", records_, 1)
        prints.append(open_dataset(folder, classes=3, log=lambda line: None).fingerprint)
    assert (prints[0] == prints[1]) == (content == other)


def test_a_manifest_of_another_program_beside_foreign_records_is_named(foreign: Path) -> None:
    (foreign / "manifest.json").write_text('{"name": "a web application"}')
    lines: list[str] = []
    assert open_dataset(foreign, classes=10, log=lines.append).images("train") == 54
    assert lines[0] == f"not used, a manifest of another program: {foreign / 'manifest.json'}"


@pytest.mark.parametrize("name", ["train-00003-of-00004", "train-extra", "validation-00009-of-00010", "val-0"])
def test_record_files_that_are_not_the_manifests_are_named(ours: Path, name: str) -> None:
    (ours / "notes.txt").write_text("mine")
    (ours / name).write_bytes((ours / "train-00000-of-00003").read_bytes())
    lines: list[str] = []
    dataset = open_dataset(ours, log=lines.append)
    assert lines == [f"not used, record files that are not in the manifest, 1: {name}"]
    assert dataset.images("train") == 54


@pytest.mark.parametrize("classes", [0, 1])
def test_one_class_cannot_be_told_apart(foreign: Path, classes: int) -> None:
    assert failure(foreign, classes=classes) == (f"a classifier needs two classes: {classes}", ExitCode.CONFIGURATION)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_index_holds_the_records_are_the_same(ours: Path, encoded_images: list[bytes], data: st.DataObject) -> None:
    """A damaged index is found out and not followed, or names the record that it leads astray."""
    kept = ours / "kept"
    if not kept.exists():
        kept.write_bytes((ours / "index.npy").read_bytes())
    whole = kept.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    (ours / "index.npy").write_bytes(
        data.draw(st.sampled_from([whole[:at], whole[:at] + data.draw(st.binary(min_size=1)) + whole[at + 1 :]]))
    )
    record = data.draw(st.integers(0, 53))
    try:
        assert open_dataset(ours, log=lambda line: None).read("train", record).encoded == encoded_images[record]
    except TrainingError as error:
        assert error.code == ExitCode.BAD_DATA
