"""Times of the API server, and ages as people write and read them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_launch.core.kube.times import iso, moment, seconds_of, short


@given(time=st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)), nanoseconds=st.integers(0, 10**9 - 1))
def test_a_timestamp_with_nanoseconds_is_read_to_its_microsecond(time: datetime, nanoseconds: int) -> None:
    whole = time.replace(microsecond=0, tzinfo=timezone.utc)
    expected = whole + timedelta(microseconds=nanoseconds // 1000)
    assert moment(f"{whole:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z") == expected
    assert moment(iso(expected)) == expected.replace(microsecond=expected.microsecond // 1000 * 1000)


@pytest.mark.parametrize(
    ("age", "seconds"), [("0s", 0), ("90s", 90), ("90", 90), ("1.5h", 5400), ("30m", 1800), ("12h", 43200), ("2d", 172800)]
)
def test_an_age(age: str, seconds: int) -> None:
    assert seconds_of(age) == seconds


@given(age=st.from_regex(r"[0-9]{1,30}[smhd]", fullmatch=True))
def test_no_age_is_longer_than_a_calendar(age: str) -> None:
    seconds = seconds_of(age)
    assert seconds is None or datetime(2026, 1, 2) - timedelta(seconds=seconds) < datetime(2026, 1, 3)


@pytest.mark.parametrize("age", ["", "m", "-1s", ".5h", "1e3", "nan", "inf", "2 d", "1d12h", "٣m"])
def test_what_is_not_an_age(age: str) -> None:
    assert seconds_of(age) is None


@pytest.mark.parametrize(("seconds", "text"), [(-5, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172800, "2d")])
def test_an_age_is_shown_in_the_largest_unit_of_which_there_are_two(seconds: float, text: str) -> None:
    assert short(seconds) == text
