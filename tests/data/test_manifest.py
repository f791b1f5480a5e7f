"""manifest.json: what is written is read again, and anything else is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data import manifest
from common.data.manifest import Manifest, Shard
from common.errors import TrainingError
from mlops_launch.contract import ExitCode

EXAMPLE = Manifest(
    name="pets",
    classes=("cat", "dög"),
    label_offset=1,
    encoding="mixed",
    channels=3,
    smallest=(10, 20),
    largest=(300, 400),
    mean=(1.5, 2.5, 3.5),
    std=(4.0, 5.0, 6.0),
    splits={"train": (Shard("train-00000-of-00002", 100, 3, "aa"), Shard("train-00001-of-00002", 90, 2, "bb"))},
    made_by={"preparer": "folder", "shards": 2},
    skipped=("broken.jpg",),
    damaged=("record 2 of train-00000-of-00002, Corrupt JPEG data: cat.jpg",),
)

SHARDS = st.builds(
    Shard, name=st.from_regex(r"[a-z]{1,8}", fullmatch=True), bytes=st.integers(0), images=st.integers(0), sha256=st.text(max_size=4)
)
COLOR = st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3)
SIZE = st.tuples(st.integers(1), st.integers(1))
MANIFESTS = st.builds(
    Manifest,
    name=st.text(),
    classes=st.lists(st.text(), min_size=2).map(tuple),
    label_offset=st.integers(0),
    encoding=st.sampled_from(["jpeg", "png", "mixed"]),
    channels=st.just(3),
    smallest=SIZE,
    largest=SIZE,
    mean=COLOR,
    std=st.tuples(*[st.floats(0, exclude_min=True, allow_infinity=False)] * 3),
    splits=st.lists(SHARDS, max_size=5, unique_by=lambda shard: shard.name).map(
        lambda shards: {"train": tuple(shards[:3]), "validation": tuple(shards[3:])}
    ),
    made_by=st.dictionaries(st.text(), st.integers() | st.text() | st.none()),
    skipped=st.lists(st.text()).map(tuple),
    damaged=st.lists(st.text()).map(tuple),
)


@settings(deadline=None)
@given(value=MANIFESTS)
def test_what_is_written_is_read_again(value: Manifest) -> None:
    assert manifest.loads(manifest.dumps(value), Path("manifest.json")) == value


@settings(deadline=None)
@given(text=st.text() | st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner)).map(json.dumps))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(TrainingError, match="^`m.json`: ") as caught:
        manifest.loads(text, Path("m.json"))
    assert caught.value.code == ExitCode.BAD_DATA


@pytest.mark.parametrize("field", sorted(json.loads(manifest.dumps(EXAMPLE)).keys() - {"damaged"}))
def test_each_missing_field_is_named(field: str) -> None:
    fields = json.loads(manifest.dumps(EXAMPLE))
    del fields[field]
    with pytest.raises(TrainingError) as caught:
        manifest.loads(json.dumps(fields), Path("m.json"))
    assert caught.value.message == f"`m.json`: a field is missing: {field}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "`m.json`: schema 1 expected: 2"),
        ({"std": [1, 0, 1]}, "`m.json`: finite means and standard deviations above 0 expected: (1.5, 2.5, 3.5), (1.0, 0.0, 1.0)"),
        ({"classes": []}, "`m.json`: two classes or more and a label offset from 0 expected: 0, 1"),
        ({"classes": ["cat"]}, "`m.json`: two classes or more and a label offset from 0 expected: 1, 1"),
        ({"mean": [1, 2]}, "`m.json`: not a manifest: not enough values to unpack (expected 3, got 2)"),
        ({"splits": {"train": {"images": 4, "shards": []}}}, "`m.json`: the shards of train do not add up to 4 images: 0"),
        (
            {"splits": {"train": {"images": 1, "shards": [{"name": "../x", "bytes": 1, "images": 1, "sha256": ""}]}}},
            "`m.json`: a shard is not a file name: ../x",
        ),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, object], message: str) -> None:
    fields = {**json.loads(manifest.dumps(EXAMPLE)), **change}
    with pytest.raises(TrainingError) as caught:
        manifest.loads(json.dumps(fields), Path("m.json"))
    assert (caught.value.message, caught.value.code) == (message, ExitCode.BAD_DATA)


def test_a_folder_without_one_has_none(tmp_path: Path) -> None:
    assert manifest.load(tmp_path) is None


def test_a_folder_whose_preparation_was_interrupted_is_not_taken_for_a_dataset(tmp_path: Path) -> None:
    (tmp_path / "unfinished.json").write_text("{}")
    with pytest.raises(TrainingError) as caught:
        manifest.load(tmp_path)
    assert caught.value.message == f"the dataset is not complete, its preparation was interrupted: {tmp_path}"
    assert caught.value.code == ExitCode.BAD_DATA


@pytest.mark.parametrize("text", ['{"name": "app", "icons": []}', "[]", "{}", '"x"', '[{"url": "train.tar"}]'])
def test_a_manifest_of_another_program_is_not_taken_for_one_of_ours(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    assert manifest.load(tmp_path) is None


@pytest.mark.parametrize("text", ['{"schema": 1}', '{"splits": {}}', "{", "", '{"made_by": {}}'])
def test_a_damaged_manifest_is_not_taken_for_another_programs(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(TrainingError) as caught:
        manifest.load(tmp_path)
    assert caught.value.code == ExitCode.BAD_DATA
