"""A copy on node-local disk: made once a host, verified, continued after an interruption."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from common.data import prepare
from common.data.dataset import open_dataset
from common.data.stage import stage
from common.errors import TrainingError
from mlops_launch.contract import ExitCode


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "digits"
    assert prepare.main(["digits", "--output", str(folder)]) == 0
    return folder


def copy(source: Path, cache: Path, local_rank: int = 0) -> tuple[Path, list[str]]:
    """Return the folder to open, and what happened: the lines of the log and `barrier`."""
    events: list[str] = []
    return stage(source, cache, local_rank=local_rank, barrier=lambda: events.append("barrier"), log=events.append), events


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_copy_is_the_dataset_and_is_made_once(prepared: Path, tmp_path: Path) -> None:
    target, events = copy(prepared, tmp_path)
    assert files(target) == files(prepared)
    assert events == [f"copying 8 of 8 files, {sum(map(len, files(prepared).values())) >> 20} MiB, to the node: {target}", "barrier"]
    assert open_dataset(target).images("train") == 1412
    assert copy(prepared, tmp_path) == (target, ["barrier"])


def test_other_ranks_of_the_host_only_wait(prepared: Path, tmp_path: Path) -> None:
    target, events = copy(prepared, tmp_path, local_rank=1)
    assert events == ["barrier"]
    assert not target.exists()
    assert copy(prepared, tmp_path)[0] == target


def test_a_folder_without_manifest_is_copied_too(dataset_folder: Path, tmp_path: Path) -> None:
    target, _ = copy(dataset_folder, tmp_path)
    assert files(target) == files(dataset_folder)


def test_an_interrupted_copy_goes_on(prepared: Path, tmp_path: Path) -> None:
    target, _ = copy(prepared, tmp_path)
    (target / "manifest.json").unlink()
    (target / "train-00002-of-00004").rename(target / ".train-00002-of-00004.partial")
    _, events = copy(prepared, tmp_path)
    assert events[0].startswith("copying 2 of 8 files")
    assert files(target) == files(prepared)


def test_a_shard_that_is_not_the_manifests_is_refused_before_the_barrier(prepared: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(prepared, tmp_path / "source"))
    shard = source / "train-00002-of-00004"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    events: list[str] = []
    with pytest.raises(TrainingError) as caught:
        stage(source, tmp_path / "cache", local_rank=0, barrier=lambda: events.append("barrier"), log=lambda line: None)
    assert caught.value.message == f"the copy has another size or checksum than the manifest says: {shard}"
    assert (caught.value.code, events) == (ExitCode.BAD_DATA, [])
    (target,) = (tmp_path / "cache").iterdir()
    assert not (target / "train-00002-of-00004").exists() and not (target / "manifest.json").exists()


def test_a_cache_folder_that_cannot_be_made_is_named(prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="^cannot write the cache folder: .*: Not a directory") as caught:
        copy(prepared, tmp_path / "file")
    assert caught.value.code == ExitCode.CANNOT_CREATE


def test_a_missing_dataset_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        copy(tmp_path / "none", tmp_path)
    assert (caught.value.message, caught.value.code) == (f"no such dataset folder: {tmp_path / 'none'}", ExitCode.NO_DATA)
