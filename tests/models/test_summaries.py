"""TensorBoard shows what metrics.jsonl holds: each step once, also after kills and resumes."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from common.data.records import frame
from common.summaries import Summaries


def records(*steps: int) -> list[dict[str, Any]]:
    return [{"kind": "train", "step": step, "time": 1.5, "epoch": 1, "loss": float(step), "lr": 0.5} for step in steps]


def write(folder: Path, resumed: list[dict[str, Any]], *new: int) -> None:
    summaries = Summaries(folder, resumed)
    for record in records(*new):
        summaries.write("train", record["step"], record)
    summaries.close()


def points(folder: Path) -> dict[str, Counter[int]]:
    """Return the steps that a reader finds, without the reader's own ways of dropping doubles."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorflow.core.util.event_pb2 import Event

    found: dict[str, Counter[int]] = {}
    for path in folder.glob("*tfevents*"):
        for event in map(Event.FromString, RawEventFileLoader(str(path)).Load()):
            for value in event.summary.value:
                found.setdefault(value.tag, Counter())[event.step] += 1
    return found


def once(*steps: int) -> dict[str, Counter[int]]:
    return {"train/loss": Counter(steps), "train/lr": Counter(steps)}


def test_after_a_resume_each_step_is_there_once(tmp_path: Path) -> None:
    write(tmp_path, [], 1, 2, 3, 4)
    write(tmp_path, records(1, 2), 3, 4, 5)
    write(tmp_path, records(1, 2, 3, 4), 5, 6)
    assert points(tmp_path) == once(1, 2, 3, 4, 5, 6)


def test_resumed_from_nothing_they_begin_anew(tmp_path: Path) -> None:
    write(tmp_path, [], 1, 2, 3, 4)
    write(tmp_path, [], 1)
    assert points(tmp_path) == once(1)


def test_cut_at_any_byte_no_step_is_missing_or_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, [], 1, 2)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        for left in tmp_path.iterdir():
            left.unlink()
        path.write_bytes(whole[:length])
        write(tmp_path, records(1, 2), 3)
        assert points(tmp_path) == once(1, 2, 3), length
    assert "ends with a record that a killed run has left illegible; it is dropped" in capsys.readouterr().err


def test_what_another_tool_writes_there_stays(tmp_path: Path) -> None:
    import tensorflow as tf

    write(tmp_path, [], 1, 2)
    writer = tf.summary.create_file_writer(str(tmp_path), filename_suffix=".other")
    with writer.as_default():
        tf.summary.scalar("mine/figure", 1.0, step=9)
    writer.close()
    write(tmp_path, records(1), 2)
    assert points(tmp_path) == once(1, 2) | {"mine/figure": Counter([9])}


@pytest.mark.parametrize("name", ["events.out.tfevents.1.host", "events.out.tfevents.9999999999.host"])
def test_files_that_are_not_ours_are_not_touched(tmp_path: Path, name: str) -> None:
    """Whatever has the name of an event file: text, other records, a graph and no figures."""
    from tensorflow.core.util.event_pb2 import Event

    version = frame(Event(file_version="brain.Event:2").SerializeToString())
    for content in (
        b"notes of mine, no records\n",
        version + frame(b"\xff\xff not an event"),
        version + frame(Event(step=3, graph_def=b"graph").SerializeToString()),
    ):
        write(tmp_path, [], 1, 2)
        (tmp_path / name).write_bytes(content)
        write(tmp_path, records(1), 2)
        assert (tmp_path / name).read_bytes() == content
        (tmp_path / name).unlink()
        assert points(tmp_path) == once(1, 2)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(), lambda inner: st.lists(inner, max_size=2), max_leaves=3
)
LINE = st.dictionaries(st.text(st.characters(), max_size=3), JSON | st.text(st.characters(), max_size=3), max_size=4)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=LINE, kind=st.text(st.characters(), max_size=3) | st.just("train"), step=st.integers(0, 2**63 - 1))
@example(line={"figure": 3.5e38}, kind="train", step=3)  # of no float32
@example(line={"figure": -math.inf}, kind="train", step=3)
@example(line={"figure": math.nan}, kind="train", step=3)
def test_whatever_a_record_holds_the_others_are_there(tmp_path: Path, line: dict[str, Any], kind: str, step: int) -> None:
    for left in tmp_path.iterdir():
        left.unlink()
    write(tmp_path, [*records(1), {**line, "kind": kind, "step": step}], 2)
    found = points(tmp_path)
    assert found["train/loss"] >= Counter([1, 2]) and found["train/lr"] >= Counter([1, 2])
