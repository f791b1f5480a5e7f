"""A log's lines and figures, however its bytes are cut and whatever they are."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_launch.core.log import lines as loglines
from mlops_launch.core.log.lines import Cut, LineReader, Metrics, is_result, results, typed_fields

PIECES = st.lists(st.binary(max_size=9) | st.sampled_from([b"step=1", b"result ", b"\n", b"\r", b"x" * 70_000]), max_size=8)


@given(PIECES, st.booleans())
def test_every_byte_comes_once_and_in_order_however_the_stream_is_cut(chunks: list[bytes], wait: bool) -> None:
    reader = LineReader(wait)
    cuts = [*map(reader.feed, chunks), reader.end()]
    shown = b"".join(cut.rest + cut.lines + cut.opened for cut in cuts)
    stream = b"".join(chunks)
    assert shown in (stream, stream + b"\n" * bool(cuts[-1].lines))
    assert reader.end() == Cut()


@given(PIECES, st.integers(1, 9))
def test_the_figures_do_not_depend_on_how_the_stream_is_cut(chunks: list[bytes], size: int) -> None:
    whole, cut = Metrics(), Metrics()
    stream = b"".join(chunk[:200] for chunk in chunks)
    for line in stream.split(b"\n"):
        whole.read(line)
    reader = LineReader()
    for begin in range(0, len(stream), size):
        cut.take(reader.feed(stream[begin : begin + size]).lines)
    cut.take(reader.end().lines)
    assert cut == whole


TELLING = st.sampled_from([b"step=1/2 loss=1", b"step=x", b" step=1/2", b"result a=1", b"evaluation a=1", b"start comm=x", b"", b"\r"])


@given(st.lists(TELLING | st.binary(max_size=9).map(lambda line: line.replace(b"\n", b"")), max_size=9))
def test_lines_that_are_taken_together_tell_what_they_tell_one_by_one(lines: list[bytes]) -> None:
    together, alone = Metrics(), Metrics()
    text = b"".join(line + b"\n" for line in lines)
    steps = [text[begin:end] for begin, end in together.take(text)]
    assert steps == [line + b"\n" for line in lines if alone.read(line)]
    assert together == alone
    assert results(text) == b"".join(line + b"\n" for line in lines if is_result(line))


def test_what_cannot_become_a_line_of_ours_is_passed_on_at_once() -> None:
    reader = LineReader()
    assert reader.feed(b"ste") == Cut(), "it may become a step line"
    assert reader.feed(b"el 10%\r") == Cut(opened=b"steel 10%\r")
    assert reader.feed(b"20%\r") == Cut(rest=b"20%\r")
    assert reader.feed(b"done\nstep=1/2\nres") == Cut(rest=b"done\n", lines=b"step=1/2\n")
    assert reader.end() == Cut(lines=b"res\n")


def test_a_line_of_ours_that_does_not_end_is_held_up_to_64_kib() -> None:
    reader = LineReader()
    assert reader.feed(b"result " + b"x" * 60_000) == Cut()
    found = reader.feed(b"x" * 10_000)
    assert (len(found.opened), found.lines) == (70_007, b"")


def test_a_line_of_64_mib_takes_linear_time() -> None:
    chunk = b"x" * (1 << 16)
    reader = LineReader()
    begun = time.process_time()
    for _ in range(1024):
        reader.feed(chunk)
    assert time.process_time() - begun < 1.0


def test_the_newest_step_and_the_result() -> None:
    metrics = Metrics()
    lines = [
        b"start comm=single world_size=1 ranks=0:here",
        b"step=1/20 epoch=1 loss=2.3026 top1=0.1000 lr=1e-05 images_per_s=12.5 eta_s=71",
        b"step=2/20 epoch=1 loss=nan top1=0.2000",
        b"steps=3/20 a line of somebody else",
        b"step=x/20",
        b'result top1=0.9806 output="/a b"',
    ]
    assert [metrics.read(line) for line in lines] == [False, True, True, False, False, False]
    assert metrics == Metrics(
        {"step": 2, "steps": 20, "epoch": 1, "loss": "nan", "top1": 0.2}, result={"top1": 0.9806, "output": "/a b"}, started=True
    )


@pytest.mark.parametrize(
    "line",
    ["step= 5 of 10", "step=", 'step="', "step=²/3", "step=1²2/3", "step=٣/٤", "step=" + "9" * 5000 + "/9", "step=-1/2", "step=1/2/3"],
)
def test_a_line_that_only_looks_like_a_step_is_a_line_like_any_other(line: str) -> None:
    metrics = Metrics()
    assert metrics.read(line.encode()) is False
    assert metrics == Metrics()


def test_the_total_is_the_steps_own_whatever_else_the_line_says() -> None:
    metrics = Metrics()
    assert metrics.read(b"step=1/2 steps=abc")
    assert metrics.step == {"step": 1, "steps": 2}


def test_only_numbers_become_numbers() -> None:
    digits = "9" * 5000
    assert typed_fields(f"x a=1 b=-2.5 c=1e-05 d=inf e=nan f=1_000 g=v1.5 h=² i=٣ j={digits}") == {
        "a": 1, "b": -2.5, "c": 1e-05, "d": "inf", "e": "nan", "f": "1_000", "g": "v1.5", "h": "²", "i": "٣", "j": digits,
    }  # fmt: skip


@given(st.binary(), st.sampled_from([b"", b"step=", b"step=1/2 ", b"result "]))
def test_any_bytes_are_read(line: bytes, beginning: bytes) -> None:
    assert Metrics().read(beginning + line) in (True, False)


def test_a_line_of_64_kib_is_read_in_linear_time() -> None:
    begun = time.process_time()
    for letter in (b"a", b"=", b'"', b'a="', b'a="\\"', b"a="):
        Metrics().read((b"result " + letter * loglines.HELD)[: loglines.HELD])
    assert time.process_time() - begun < 2.0
