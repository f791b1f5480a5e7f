"""Two real ranks that see different data: both learn it before the first step, and the host that differs is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data import records
from common.data.agreement import Failure, disagreement
from common.data.dataset import open_dataset
from common.data.identity import LOOKED_AT, Identity, content_checksum, looked_at
from common.data.manifest import Manifest, Shard, dumps
from mlops_launch.contract import ExitCode

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "programs" / "agree.py"
# The bound for a whole batch of cases, on a machine that does other things too.
SECONDS = 60

Damage = Callable[[Path], object]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, example: Callable[..., bytes]) -> Path:
    """A dataset with manifest, without index: 12 + 6 records in 2 + 1 shards, four classes."""
    folder = tmp_path_factory.mktemp("prepared")
    write(folder, [(f"image {at:02d}".encode(), at % 4) for at in range(18)], tuple("abcd"), example)
    return folder


def write(folder: Path, content: list[tuple[bytes, int]], classes: tuple[str, ...], example: Callable[..., bytes]) -> None:
    parts = {"train-00000-of-00002": content[:6], "train-00001-of-00002": content[6:12], "validation-00000-of-00001": content[12:]}
    splits: dict[str, tuple[Shard, ...]] = {"train": (), "validation": ()}
    for name, part in parts.items():
        data = b"".join(records.frame(example(encoded, label)) for encoded, label in part)
        (folder / name).write_bytes(data)
        splits[name.split("-")[0]] += (Shard(name, len(data), len(part), "0" * 64),)
    colors = (1.0, 2.0, 3.0)
    (folder / "manifest.json").write_text(dumps(Manifest("x", classes, 0, "jpeg", 3, (1, 1), (1, 1), colors, colors, splits, {})))


@dataclass(frozen=True)
class Case:
    """What two ranks find: their folders, a cache folder, and the number of classes that the run was told (0: none)."""

    one: Path
    other: Path
    cache: Path | str = ""
    classes: int = 0


def two_ranks(scratch: Path, *cases: Case) -> list[tuple[list[Any], list[Any]]]:
    """Open each case's data on two ranks of a real mpirun, and return what rank 0 and rank 1 said of each."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMPI_", "PMIX_", "PRTE_"))}
    environment |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'launcher'}"}
    if os.geteuid() == 0:
        environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    file = scratch / "cases.json"
    file.write_text(json.dumps([[str(case.one), str(case.other), str(case.cache), case.classes] for case in cases]))
    call = [str(Path(sys.executable).parent / "mpirun"), "-n", "2", "--oversubscribe", "--bind-to", "none", sys.executable]
    done = subprocess.run([*call, str(PROGRAM), str(file)], env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    said = [[json.loads(line) for line in (scratch / f"cases.json.{rank}").read_text().splitlines()] for rank in (0, 1)]
    for rank in (0, 1):
        (scratch / f"cases.json.{rank}").unlink()
        assert [number for number, *_ in said[rank]] == list(range(len(cases)))
    return [(one, other) for (_, *one), (_, *other) in zip(*said, strict=True)]


def shard(folder: Path) -> Path:
    return folder / "train-00001-of-00002"


def relabel(folder: Path) -> None:
    """Change one label; sizes and the manifest stay as they are."""
    data = shard(folder).read_bytes()
    length = len(data) // 6
    payload = bytearray(data[-length + records.HEADER : -records.FOOTER])
    at = bytes(payload).rindex(b"\x03")
    payload[at] = 1
    shard(folder).write_bytes(data[:-length] + records.frame(bytes(payload)))


def reorder(folder: Path) -> None:
    data = shard(folder).read_bytes()
    length = len(data) // 6
    shard(folder).write_bytes(data[length:] + data[:length])


def swap(folder: Path) -> None:
    """Give each of two shards of one size the other's name."""
    other = folder / "train-00000-of-00002"
    assert shard(folder).stat().st_size == other.stat().st_size
    shard(folder).rename(folder / "kept")
    other.rename(shard(folder))
    (folder / "kept").rename(other)


def edit_manifest(folder: Path, **fields: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def drop_record(folder: Path) -> None:
    """One record less, as the manifest says too: a stale copy."""
    data = shard(folder).read_bytes()
    shard(folder).write_bytes(data[: len(data) // 6 * 5])
    text = (folder / "manifest.json").read_text()
    fields = json.loads(text)
    fields["splits"]["train"]["images"] -= 1
    fields["splits"]["train"]["shards"][1] |= {"images": 5, "bytes": shard(folder).stat().st_size}
    (folder / "manifest.json").write_text(json.dumps(fields))


DIFFERENT: dict[str, tuple[Damage, str]] = {
    "no folder": (shutil.rmtree, "no such dataset folder: {folder}"),
    "an empty folder": (lambda folder: [path.unlink() for path in folder.iterdir()], "no files `train-*` or `validation-*` in the dataset"),
    "a shard less": (lambda folder: shard(folder).unlink(), "a record file of the manifest is missing: {shard}"),
    "a shard cut off": (lambda folder: os.truncate(shard(folder), 50), "`{shard}` is truncated, "),
    "a record less": (drop_record, "12 images of train expected: 11"),
    "another label": (relabel, "the same number of records, but other content or another order of them: train"),
    "another order": (reorder, "the same number of records, but other content or another order of them: train"),
    "two shards swapped": (swap, "the same number of records, but other content or another order of them: train"),
    "other class names": (lambda folder: edit_manifest(folder, classes=list("abcx")), "other class names, a, b, c, d expected: a, b, c, x"),
    "more classes": (lambda folder: edit_manifest(folder, classes=list("abcde")), "other classes, 4 expected: 5"),
    "another label offset": (lambda folder: edit_manifest(folder, label_offset=1), "other label offset, 0 expected: 1"),
    "another mean": (lambda folder: edit_manifest(folder, mean=[9, 9, 9]), "other mean, 1.0, 2.0, 3.0 expected: 9.0, 9.0, 9.0"),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "the dataset has no manifest, so the number of classes is needed"),
    "a damaged manifest": (lambda folder: (folder / "manifest.json").write_text("{"), "`{folder}/manifest.json`: not a manifest: "),
    "an unfinished preparation": (
        lambda folder: (folder / "manifest.json").rename(folder / "unfinished.json"),
        "the dataset is not complete, its preparation was interrupted: {folder}",
    ),
    "a shard that is a folder": (lambda folder: (shard(folder).unlink(), shard(folder).mkdir()), "`{shard}` is t"),
}


@pytest.fixture(scope="session")
def folders(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A whole copy of the dataset, named `good`, and one for each kind of damage."""
    base = tmp_path_factory.mktemp("folders")
    found = {name: Path(shutil.copytree(prepared, base / f"{at}")) for at, name in enumerate(["good", *DIFFERENT])}
    for name, (damage, _) in DIFFERENT.items():
        damage(found[name])
    return found


@pytest.fixture(scope="session")
def matrix(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[list[Any], list[Any]]]:
    """What two ranks say of every pair of a whole and a damaged dataset, all of them in one call."""
    pairs = [("good", "good"), *((name, name) for name in DIFFERENT)]
    pairs += [pair for name in DIFFERENT for pair in (("good", name), (name, "good"))]
    said = two_ranks(tmp_path_factory.mktemp("matrix"), *(Case(folders[one], folders[other]) for one, other in pairs))
    return dict(zip(pairs, said, strict=True))


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("name", DIFFERENT)
def test_both_ranks_end_with_the_host_that_differs(
    folders: dict[str, Path], matrix: dict[tuple[str, str], tuple[list[Any], list[Any]]], name: str, at: int
) -> None:
    message = DIFFERENT[name][1].format(folder=folders[name], shard=shard(folders[name]))
    one, other = matrix[("good", name) if at else (name, "good")]
    assert one == other
    code, text = one
    assert code == ExitCode.BAD_DATA
    if at or not is_dataset(matrix[name, name]):
        assert text.startswith(f"rank {at} on host node-{at} does not have the data of rank {1 - at} on host node-{1 - at}: {message}")
    else:
        # Either may be the right one: rank 0's counts.
        assert text.startswith("rank 1 on host node-1 does not have the data of rank 0 on host node-0: ")


def is_dataset(said: tuple[list[Any], list[Any]]) -> bool:
    return isinstance(said[0][0], str)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("no folder", ExitCode.NO_DATA),
        ("an empty folder", ExitCode.NO_DATA),
        ("a shard less", ExitCode.BAD_DATA),
        ("no manifest", ExitCode.CONFIGURATION),
    ],
)
def test_what_every_rank_lacks_keeps_its_own_code(folders: dict[str, Path], tmp_path: Path, name: str, code: ExitCode) -> None:
    bad = folders[name]
    ((one, other),) = two_ranks(tmp_path, Case(bad, bad))
    assert one == other
    assert one[0] == code and one[1].startswith(DIFFERENT[name][1].format(folder=bad, shard=shard(bad)))


def test_copies_of_one_dataset_under_other_names_and_times_are_the_same(prepared: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(prepared, tmp_path / "elsewhere"))
    for path in copy.iterdir():
        os.utime(path, (1, 1))
    edit_manifest(copy, name="another", made_by={"preparer": "someone"})
    ((one, other),) = two_ranks(tmp_path, Case(prepared, copy))
    assert one == other
    assert one[0] == open_dataset(prepared, log=lambda line: None).fingerprint


def test_a_cached_copy_is_never_taken_for_other_data(prepared: Path, tmp_path: Path) -> None:
    old, new = (Path(shutil.copytree(prepared, tmp_path / name)) for name in ("old", "new"))
    relabel(new)
    # Without a manifest nothing but the records tells old labels from new ones of the same size.
    for folder in (old, new):
        (folder / "manifest.json").unlink()
    cache = tmp_path / "cache"
    cases = [
        Case(old, old, classes=4),
        Case(new, new, classes=4),
        Case(old, old, cache, 4),
        Case(new, new, cache, 4),
        Case(old, old, cache, 4),
    ]
    said = two_ranks(tmp_path, *cases)
    assert [one for one, other in said] == [other for one, other in said]
    plain_old, plain_new, *cached = [one for one, _ in said]
    assert plain_old[1] != plain_new[1]
    assert cached == [plain_old, plain_new, plain_old]
    assert len(list(cache.iterdir())) == 2


def test_a_cache_that_cannot_be_written_names_the_host(prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ((one, other),) = two_ranks(tmp_path, Case(prepared, prepared, tmp_path / "file"))
    assert one == other
    assert one[0] == ExitCode.CANNOT_CREATE
    assert one[1].startswith(f"rank 0 on host node-0: cannot write the cache folder: {tmp_path / 'file'}/")


IDENTITIES = st.builds(
    Identity,
    classes=st.integers(2, 3),
    class_names=st.sampled_from([(), ("a", "b")]),
    label_offset=st.integers(0, 1),
    mean=st.just((1.0, 1.0, 1.0)),
    std=st.just((1.0, 1.0, 1.0)),
    images=st.fixed_dictionaries({"train": st.integers(1, 2)}),
    content=st.fixed_dictionaries({"train": st.sampled_from(["x", "y"])}),
)
FAILURES = st.builds(
    Failure, st.sampled_from(["gone", "torn"]), st.none(), st.sampled_from([ExitCode.NO_DATA, ExitCode.BAD_DATA, ExitCode.IO_ERROR])
)


@settings(deadline=None)
@given(found=st.lists(IDENTITIES | FAILURES, min_size=1, max_size=5))
def test_ranks_continue_only_with_the_same_data_and_otherwise_name_one_that_differs_from_most(found: list[Identity | Failure]) -> None:
    hosts = [f"node-{rank}" for rank in range(len(found))]
    error = disagreement(found, hosts, "/data")
    if error is None:
        assert all(isinstance(one, Identity) and one == found[0] for one in found)
        return
    good = [one for one in found if isinstance(one, Identity)]
    if not good:
        assert isinstance(found[0], Failure)
        assert error.code == found[0].code and error.message.endswith(found[0].message)
        return
    assert error.code == ExitCode.BAD_DATA
    rank, host = error.message.split()[1], error.message.split()[4]
    named = found[int(rank)]
    assert hosts[int(rank)] == host
    assert isinstance(named, Failure) or good.count(named) <= len(good) / 2
    assert "None" not in error.message


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=6), st.data())
def test_the_content_is_every_records_length_and_checksum_in_order(content: list[tuple[int, int]], data: st.DataObject) -> None:
    def checksum(of: list[tuple[int, int]]) -> str:
        return content_checksum(np.array([a for a, _ in of], np.int64), np.array([b for _, b in of], np.uint32))

    other = data.draw(st.permutations(content) | st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=6))
    assert (checksum(content) == checksum(other)) == (content == other)


@given(st.integers(1, 3 * LOOKED_AT))
def test_of_a_large_split_records_at_equal_distances_are_looked_at_with_the_first_and_the_last(images: int) -> None:
    chosen = looked_at(images)
    assert len(chosen) == min(images, LOOKED_AT)
    assert chosen[0] == 0 and chosen[-1] == images - 1
    distances = np.diff(chosen)
    assert images == 1 or (distances.min() >= 1 and distances.max() - distances.min() <= 1)
