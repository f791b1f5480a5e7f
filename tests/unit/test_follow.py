"""When a log's beginning may be missing, and the words for gaps."""

from __future__ import annotations

import pytest

from mlops_launch.commands.cluster.follow.container import head_is_missing
from mlops_launch.core.log.pieces import Gap, gap_text

STARTED = "2026-01-02T03:04:05Z"


@pytest.mark.parametrize(
    ("first", "text", "missing"),
    [
        ("2026-01-02T03:04:06.123456789Z", b"hello\n", False),
        ("2026-01-02T03:04:35.123456789Z", b"step=100/200 loss=1\n", True),
        ("2026-01-02T04:04:35.123456789+01:00", b"step=100/200 loss=1\n", True),
        ("2026-01-02T03:04:35.123456789Z", b"warning\nstart comm=horovod world_size=2\n", False),
        (None, b"", False),
    ],
)
def test_the_first_line_comes_late_and_is_not_a_trainings_first(first: str | None, text: bytes, missing: bool) -> None:
    assert head_is_missing(STARTED, first, text) is missing


def test_the_words_name_the_times() -> None:
    assert gap_text(Gap("A", "B")) == "lines may be missing between A and B: the kubelet rotated the log meanwhile"
    assert gap_text(Gap(None, "B")) == "the log's beginning may be missing, before B: the kubelet has rotated it away"
    assert gap_text(Gap(None, None)) == "the log's beginning may be missing: the kubelet has rotated it away"
    assert gap_text(Gap("A", None)) == "the log's end may be missing, after A"
