"""The line of progress fits every terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_launch.core.log.progress import clock, progress_line

STEP = {"step": 120, "steps": 1000, "epoch": 2, "loss": 1.8342, "top1": 0.4375, "lr": 0.1, "images_per_s": 12.4, "eta_s": 71}


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (200, "demo epoch 2 120/1000 ██░░░░░░░░░░░░░░░░░░ 12% 12.4 images/s loss 1.834 top-1 43.8% 1:11 left"),
        (79, "demo epoch 2 120/1000 ░░░░░░ 12% 12.4 images/s loss 1.834 top-1 43.8% 1:11 left"),
        (75, "epoch 2 120/1000 ░░░░░░░ 12% 12.4 images/s loss 1.834 top-1 43.8% 1:11 left"),
        (60, "120/1000 12% 12.4 images/s loss 1.834 top-1 43.8% 1:11 left"),
        (40, "120/1000 12% loss 1.834 1:11 left"),
        (20, "12% loss 1.834"),
        (2, "12"),
    ],
)
def test_what_matters_least_is_left_out_first(width, line):
    assert progress_line(STEP, width, "demo") == line
    assert len(line) <= width


NUMBERS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9) | st.just("nan")


@given(
    st.fixed_dictionaries(
        {"step": st.integers(0, 10**7), "steps": st.integers(0, 10**7)},
        optional={name: NUMBERS for name in ("epoch", "loss", "top1", "images_per_s", "eta_s")},
    ),
    st.integers(1, 200),
    st.none() | st.text(alphabet="demo_", max_size=20),
)
def test_it_never_is_wider_than_asked(step, width, preset):
    assert len(progress_line(step, width, preset)) <= width


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00"), (90061, "25:01:01"), ("nan", None)]
)
def test_clock(seconds, text):
    assert clock(seconds) == text
