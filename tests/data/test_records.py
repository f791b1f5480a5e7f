"""TFRecord files by index: what TensorFlow writes is read, and no damage passes unseen."""

from __future__ import annotations

import gzip
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data import records
from common.errors import TrainingError
from mlops_launch.contract import ExitCode

PAYLOADS = [b"first", b"", b"x" * 1000, b"\x00\xff"]
WHOLE = b"".join(records.frame(payload) for payload in PAYLOADS)
BOUNDARIES = [0, *np.cumsum([len(payload) + records.OVERHEAD for payload in PAYLOADS]).tolist()]


def read_all(path: Path) -> list[bytes]:
    lengths = records.scan(path).lengths
    files = records.Files()
    return [
        files.read(path, number, int(offset), int(length))
        for number, (offset, length) in enumerate(zip(records.offsets(lengths), lengths, strict=True))
    ]


def test_a_file_is_what_tensorflow_writes(tmp_path: Path) -> None:
    path = tmp_path / "train-00000-of-00001"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for payload in PAYLOADS:
            writer.write(payload)
    assert path.read_bytes() == WHOLE
    assert read_all(path) == PAYLOADS


@settings(deadline=None)
@given(payloads=st.lists(st.binary(max_size=50), max_size=8))
def test_any_records_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("any") / "shard"
    path.write_bytes(b"".join(records.frame(payload) for payload in payloads))
    assert read_all(path) == payloads
    assert records.file_size(records.scan(path).lengths) == path.stat().st_size


@settings(deadline=None)
@given(size=st.integers(0, len(WHOLE)))
def test_a_file_cut_inside_a_record_is_refused_and_one_cut_between_records_has_fewer(
    tmp_path_factory: pytest.TempPathFactory, size: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "shard"
    path.write_bytes(WHOLE[:size])
    if size in BOUNDARIES:
        assert read_all(path) == PAYLOADS[: BOUNDARIES.index(size)]
        return
    record = sum(boundary <= size for boundary in BOUNDARIES) - 1
    with pytest.raises(TrainingError) as caught:
        records.scan(path)
    assert caught.value.message == f"`{path}` is damaged, truncated: record {record} at byte {BOUNDARIES[record]}"
    assert caught.value.code == ExitCode.BAD_DATA


@settings(deadline=None)
@given(bit=st.integers(0, len(WHOLE) * 8 - 1))
def test_every_flipped_bit_is_found_and_its_record_named(tmp_path_factory: pytest.TempPathFactory, bit: int) -> None:
    path = tmp_path_factory.mktemp("flip") / "shard"
    damaged = bytearray(WHOLE)
    damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    record = sum(boundary <= bit // 8 for boundary in BOUNDARIES) - 1
    with pytest.raises(TrainingError, match=rf"is damaged, .*: record {record} at byte {BOUNDARIES[record]}\n") as caught:
        read_all(path)
    assert caught.value.code == ExitCode.BAD_DATA


def test_a_file_that_is_no_tfrecord_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train-00000-of-00001"
    path.write_text("a text file, perhaps a git-lfs pointer")
    with pytest.raises(TrainingError) as caught:
        records.scan(path)
    assert caught.value.message == f"`{path}` is damaged, or no TFRecord, wrong checksum of a length: record 0 at byte 0"


def test_an_index_of_another_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    path.write_bytes(WHOLE)
    with pytest.raises(TrainingError) as caught:
        records.Files().read(path, 0, 0, 4)
    assert caught.value.message == f"`{path}` is damaged, or not the file of the index: record 0 at byte 0"
    assert caught.value.code == ExitCode.BAD_DATA


def test_a_file_that_is_gone_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        records.Files().read(tmp_path / "gone", 0, 0, 4)
    assert caught.value.message == f"cannot read `{tmp_path / 'gone'}`: No such file or directory"
    assert caught.value.code == ExitCode.NO_DATA


def test_threads_share_more_files_than_may_be_open(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(20)]
    for number, path in enumerate(paths):
        path.write_bytes(records.frame(b"%d" % number))
    files = records.Files(limit=2)
    wrong: list[object] = []

    def read() -> None:
        for _ in range(30):
            for number, path in enumerate(paths):
                data = files.read(path, 0, 0, len(str(number)))
                if data != b"%d" % number:
                    wrong.append((path, data))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (gzip.compress(records.frame(b"x")), "compressed with gzip"),
        (zlib.compress(records.frame(b"x")), "compressed with zlib"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a pointer of Git LFS and not the file itself"),
        (b"<Error><Code>AccessDenied</Code></Error>", "a web page"),
    ],
    ids=["gzip", "zlib", "Git LFS", "a web page"],
)
def test_another_file_in_the_place_of_records_is_called_what_it_is(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(TrainingError) as caught:
        records.scan(tmp_path / "file")
    assert (caught.value.code, caught.value.message) == (ExitCode.BAD_DATA, f"not records, but {what}: {tmp_path / 'file'}")


@settings(deadline=None, max_examples=200)
@given(content=st.lists(st.binary(max_size=9), min_size=1, max_size=5), data=st.data())
def test_a_file_damaged_anywhere_is_named_or_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, content: list[bytes], data: st.DataObject
) -> None:
    """A changed byte, bytes cut off or put behind: an error with 65, or the records as they were."""
    path = tmp_path_factory.mktemp("records") / "file"
    whole = b"".join(map(records.frame, content))
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    damaged = data.draw(st.sampled_from([whole[:at], whole + whole[: at + 1], changed]))
    path.write_bytes(damaged)
    files, read = records.Files(), []
    try:
        lengths = records.scan(path).lengths
        for number, (offset, length) in enumerate(zip(records.offsets(lengths), lengths, strict=True)):
            read.append(files.read(path, number, int(offset), int(length)))
    except TrainingError as error:
        assert error.code == ExitCode.BAD_DATA
        assert str(path) in error.message
        return
    # Only a cut or a repetition between two records leaves whole ones.
    assert read == (content * 2)[: len(read)]
    assert len(damaged) != len(whole) or damaged == whole
