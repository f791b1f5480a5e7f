"""The figures of a log, however its bytes are cut."""

from hypothesis import given
from hypothesis import strategies as st

from mlops_launch.core.log.lines import LineReader, Metrics, typed_fields


@given(st.lists(st.binary(max_size=9)), st.binary(max_size=30))
def test_lines_are_the_same_however_the_stream_is_cut(chunks, tail):
    stream = b"".join(chunks) + b"\n" + tail
    reader = LineReader()
    lines = [line for chunk in [*chunks, b"\n", tail] for line in reader.feed(chunk)] + reader.end()
    expected = stream.split(b"\n")
    assert lines == (expected if expected[-1] else expected[:-1])
    assert reader.end() == []


def test_the_newest_step_and_the_result():
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
    assert metrics == Metrics({"step": 2, "steps": 20, "epoch": 1, "loss": "nan", "top1": 0.2}, {"top1": 0.9806, "output": "/a b"})


def test_only_numbers_become_numbers():
    assert typed_fields("x a=1 b=-2.5 c=1e-05 d=inf e=nan f=1_000 g=v1.5") == {
        "a": 1, "b": -2.5, "c": 1e-05, "d": "inf", "e": "nan", "f": "1_000", "g": "v1.5",
    }  # fmt: skip


@given(st.binary())
def test_any_bytes_are_read(line):
    assert Metrics().read(line) in (True, False)
