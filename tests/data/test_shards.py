"""Record files by name: a whole set is found whatever its digits and suffix, and nothing missing or surplus goes unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data.shards import find_shards
from common.errors import TrainingError
from mlops_launch.contract import ExitCode

SUFFIXES = st.sampled_from(["", ".tfrecord", ".tfrecords", "-v2", ".gz", "_a.b"])


def found(folder: Path, names: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    lines: list[str] = []
    return find_shards(folder, lines.append), lines


def refused(folder: Path, names: list[str]) -> str:
    with pytest.raises(TrainingError) as caught:
        found(folder, names)
    assert caught.value.code == ExitCode.BAD_DATA
    return caught.value.message


@st.composite
def sets(draw: st.DrawFn) -> tuple[str, list[str]]:
    """The split's prefix, and the names of a whole set in the order of their numbers."""
    prefix = draw(st.sampled_from(["train", "validation", "val", "valid"]))
    shards, digits, first, suffix = draw(st.integers(1, 12)), draw(st.integers(1, 6)), draw(st.integers(0, 1)), draw(SUFFIXES)
    count = f"{shards:0{digits}d}"
    return prefix, [f"{prefix}-{number:0{digits}d}-of-{count}{suffix}" for number in range(first, first + shards)]


@settings(deadline=None)
@given(one=sets())
def test_a_whole_set_is_found_in_the_order_of_its_numbers(tmp_path_factory: pytest.TempPathFactory, one: tuple[str, list[str]]) -> None:
    prefix, names = one
    split = "train" if prefix == "train" else "validation"
    assert found(tmp_path_factory.mktemp("set"), names) == ({split: names}, [])


@settings(deadline=None)
@given(one=sets(), data=st.data())
def test_a_set_that_lacks_a_file_is_refused_by_the_name_of_one_that_it_lacks(
    tmp_path_factory: pytest.TempPathFactory, one: tuple[str, list[str]], data: st.DataObject
) -> None:
    _, names = one
    kept = data.draw(st.lists(st.sampled_from(names), unique=True, min_size=1, max_size=len(names) - 1) if len(names) > 1 else st.nothing())
    folder = tmp_path_factory.mktemp("set")
    message = refused(folder, kept)
    count, named = (
        f"{len(names) - len(kept)} of {len(names)} record files are missing from `{folder}`, the first: ",
        message.split(": ")[-1],
    )
    assert message.startswith(count)
    assert named not in kept
    # A set without its last file that counts from 1 looks as if it lacked number 0.
    assert named in names or "-0" in named


@settings(deadline=None)
@given(one=sets(), suffix=SUFFIXES, data=st.data())
def test_two_sets_in_one_folder_are_refused_by_the_name_of_a_file(
    tmp_path_factory: pytest.TempPathFactory, one: tuple[str, list[str]], suffix: str, data: st.DataObject
) -> None:
    prefix, names = one
    strangers = [f"{prefix}-00000-of-00099{suffix}", f"{prefix}-more", f"{prefix}-7777-of-{len(names)}{suffix}", f"{names[0]}.idx"]
    other = data.draw(st.sampled_from(strangers))
    folder = tmp_path_factory.mktemp("set")
    assert refused(folder, [*names, other]).startswith(f"`{folder}` holds record files of more than one dataset, for example: ")


def test_the_same_number_twice_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, ["train-0-of-2", "train-00-of-2", "train-1-of-2"])
    assert message == f"`{tmp_path}` holds record files of more than one dataset, for example: train-0-of-2"


def test_two_names_for_the_validation_files_are_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, ["train-0-of-1", "val-0-of-1", "validation-0-of-1"])
    assert message == f"two sets of files for validation in `{tmp_path}`: validation-*, val-*"


def test_files_of_neither_split_are_named(tmp_path: Path) -> None:
    splits, lines = found(tmp_path, ["train-0-of-1", "test-0-of-1", "README.md", "labels\n.txt", "x", ".hidden"])
    assert splits == {"train": ["train-0-of-1"]}
    names = "README.md, labels\\n.txt, test-0-of-1 and 1 more"
    assert lines == [f"not used, neither `train-*` nor `validation-*`, 4 of the files in `{tmp_path}`: {names}"]


def test_a_file_that_leads_nowhere_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "train-0-of-1").symlink_to("/nowhere")
    with pytest.raises(TrainingError) as caught:
        find_shards(tmp_path, lambda line: None)
    assert (caught.value.code, caught.value.message) == (
        ExitCode.NO_DATA,
        f"cannot read `{tmp_path / 'train-0-of-1'}`: No such file or directory",
    )
