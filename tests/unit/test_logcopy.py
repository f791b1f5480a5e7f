"""The copy of a launcher's log on the output volume: whose part is whose, and whether it can stand for the archived log."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_launch.core.kube.objects import hostname_of
from mlops_launch.core.log.copy import Part, lines_more, part

STARTS = """\
offset=0 time=1000.5 host=training
offset=10 time=2000.5 host=training
offset=25 time=3000.5 host=job-launcher
half a li"""


@pytest.mark.parametrize(
    ("host", "started", "found"),
    [
        ("training", 1000, Part(0, 10)),
        ("training", 2000, Part(10, 25)),
        ("training", 2001, None),
        ("job-launcher", 3000, Part(25, 40)),
        ("other-launcher", 0, None),
    ],
)
def test_a_container_is_known_by_its_host_and_its_start(host: str, started: int, found: Part | None) -> None:
    assert part(STARTS, 40, host, datetime.fromtimestamp(started, timezone.utc)) == found


@pytest.mark.parametrize(
    ("host", "runs", "found"),
    [("training", 1, Part(0, 10)), ("training", 2, Part(0, 25)), ("training", 3, None), ("job-launcher", 2, None)],
)
def test_the_runs_of_a_container_that_was_started_again_are_one_part(host: str, runs: int, found: Part | None) -> None:
    assert part(STARTS, 40, host, datetime.fromtimestamp(0, timezone.utc), runs) == found


@given(st.text() | st.lists(st.sampled_from(["offset=", "time=", "host=training", "0", "1", "9" * 30, "x", " ", "\n"])).map("".join))
def test_a_damaged_list_of_starts_is_no_part_or_one_inside_the_copy(starts: str) -> None:
    found = part(starts, 40, "training", datetime.fromtimestamp(0, timezone.utc))
    assert found is None or 0 <= found.begin <= found.end <= 40


def test_a_hostname_is_the_pods_own_or_its_name_cut_to_63_letters() -> None:
    assert hostname_of({"metadata": {"name": "n" * 62 + "-abcde"}, "spec": {}}) == "n" * 62
    assert hostname_of({"metadata": {"name": "job-launcher-abcde"}, "spec": {"hostname": "job-launcher"}}) == "job-launcher"


LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n"]), max_size=8)


@given(LINES, st.data())
def test_an_archive_with_losses_is_covered_and_what_it_lacks_is_counted(copy: list[bytes], data: st.DataObject) -> None:
    kept = [line for line in copy if data.draw(st.booleans())]
    assert lines_more(kept, copy) == len(copy) - len(kept)


@given(LINES, LINES)
def test_an_archive_is_covered_only_by_what_holds_all_its_lines_in_order(archived: list[bytes], copy: list[bytes]) -> None:
    found = lines_more(archived, copy)
    rest = iter(copy)
    assert (found is not None) == all(line in rest for line in archived)


def test_a_cut_off_last_line_is_another_line() -> None:
    assert lines_more([b"a\n", b"end"], [b"a\n", b"end\n"]) is None
    assert lines_more([b"end"], [b"a\n", b"end"]) == 1
