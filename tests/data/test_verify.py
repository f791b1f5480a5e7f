"""Records that decode badly or not at all are named, whoever wrote them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data import prepare, records
from mlops_launch import contract

WriteSplit = Callable[..., None]

KINDS = st.sampled_from(["whole", "damaged", "cut", "text", "empty"])


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    return bytes(tf.io.encode_jpeg(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).numpy())


def of_kind(kind: str, jpeg: bytes) -> bytes:
    half = len(jpeg) // 2
    return {"whole": jpeg, "damaged": jpeg[:half] + bytes(40) + jpeg[half + 40 :], "cut": jpeg[:half], "text": b"<html>", "empty": b""}[
        kind
    ]


@settings(max_examples=20, deadline=None)
@given(train=st.lists(KINDS, min_size=1, max_size=70), held=st.lists(KINDS, max_size=3))
def test_each_record_that_is_not_whole_is_named(
    tmp_path_factory: pytest.TempPathFactory, write_split: WriteSplit, jpeg: bytes, train: list[str], held: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("foreign")
    for split, kinds in (("train", train), ("validation", held)):
        if kinds:
            write_split(folder, split, [(of_kind(kind, jpeg), at) for at, kind in enumerate(kinds)], 1)
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        results: list[str] = []
        patch.setattr(prepare, "_log", said.append)
        patch.setattr(prepare, "_say", results.append)
        code = prepare.main(["verify", str(folder), "--classes", "100"])
    every = {f"{split}-00000-of-00001": kinds for split, kinds in (("train", train), ("validation", held))}
    found = {(match[1], match[3], int(match[2])) for line in said if (match := re.match(r"(\w+), .*: record (\d+) of `.*/(.*)`$", line))}
    assert found == {
        ("damaged" if kind == "damaged" else "broken", name, at)
        for name, kinds in every.items()
        for at, kind in enumerate(kinds)
        if kind != "whole"
    }
    counts = contract.parse_fields(results[0])
    broken = sum(kind not in ("whole", "damaged") for kind in [*train, *held])
    assert (counts["images"], counts["broken"], code) == (str(len(train) + len(held)), str(broken), 65 if broken else 0)


def test_labels_features_and_checksums_are_named_too(
    tmp_path: Path, write_split: WriteSplit, jpeg: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    write_split(tmp_path, "train", [(jpeg, 0), (jpeg, 7), (jpeg, None), (jpeg, 1)], 1)
    path = tmp_path / "train-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    begin = records.offsets(records.scan(path).lengths)[3]
    assert prepare.main(["verify", str(tmp_path), "--classes", "2"]) == 65
    assert capfd.readouterr().err.splitlines() == [
        f"scanning the headers of 1 record files: {tmp_path}",
        f"broken, record 1 of `{path}`: label outside 0-1: 7",
        f"broken, record 2 of `{path}`: it has image/encoded, and needs one value of: image/class/label",
        f"broken, `{path}` is damaged, wrong checksum: record 3 at byte {begin}",
    ]
