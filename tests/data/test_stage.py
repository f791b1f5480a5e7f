"""A copy on node-local disk: made once a host, verified, continued after an interruption."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from common.data import prepare
from common.data.dataset import open_dataset
from common.data.sizes import size_text
from common.data.stage import copy_to
from common.errors import TrainingError
from mlops_launch.contract import ExitCode


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "digits"
    assert prepare.main(["digits", "--output", str(folder)]) == 0
    return folder


def copy(source: Path, cache: Path) -> tuple[Path, list[str]]:
    """Return the folder of the copy, and the lines of the log."""
    lines: list[str] = []
    dataset = open_dataset(source, classes=10, log=lambda line: None)
    return copy_to(dataset, cache, only_name=False, log=lines.append), lines


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*-of-*")}


def test_the_copy_has_every_record_file_and_is_written_once(prepared: Path, tmp_path: Path) -> None:
    target, lines = copy(prepared, tmp_path)
    assert shards(target) == shards(prepared)
    assert lines == [f"copying 6 of 6 files, {size_text(sum(map(len, shards(prepared).values())))}, to the node: {target}"]
    assert copy(prepared, tmp_path) == (target, [])
    dataset = open_dataset(prepared)
    copied = dataset.moved(target)
    assert copied.read("train", 700) == dataset.read("train", 700)
    assert copied.where("train", 0) == f"record 0 of `{target / 'train-00000-of-00004'}`"


def test_other_ranks_of_the_host_learn_the_name_and_do_not_copy(prepared: Path, tmp_path: Path) -> None:
    target = copy_to(open_dataset(prepared), tmp_path, only_name=True)
    assert not target.exists()
    assert copy(prepared, tmp_path)[0] == target


def test_the_name_of_a_copy_follows_the_content_and_not_the_place(prepared: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(prepared, tmp_path / "moved"))
    target, _ = copy(prepared, tmp_path / "cache")
    assert copy(moved, tmp_path / "cache") == (target, [])


def test_a_folder_without_manifest_is_copied_too(dataset_folder: Path, tmp_path: Path) -> None:
    target, _ = copy(dataset_folder, tmp_path)
    assert shards(target) == shards(dataset_folder)


def test_an_interrupted_copy_is_continued(prepared: Path, tmp_path: Path) -> None:
    target, _ = copy(prepared, tmp_path)
    (target / "train-00002-of-00004").rename(target / ".train-00002-of-00004.partial")
    _, lines = copy(prepared, tmp_path)
    assert lines[0].startswith("copying 1 of 6 files")
    assert shards(target) == shards(prepared)


def test_a_shard_that_is_not_the_manifests_is_refused(prepared: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(prepared, tmp_path / "source"))
    shard = source / "train-00002-of-00004"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    with pytest.raises(TrainingError) as caught:
        copy(source, tmp_path / "cache")
    assert caught.value.message == f"the copy has another size or checksum than the manifest says: {shard}"
    assert caught.value.code == ExitCode.BAD_DATA
    (target,) = (tmp_path / "cache").iterdir()
    assert not (target / "train-00002-of-00004").exists()


def test_a_cache_folder_that_cannot_be_written_is_named(prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="^cannot write the cache folder: .*: Not a directory") as caught:
        copy(prepared, tmp_path / "file")
    assert caught.value.code == ExitCode.CANNOT_CREATE
