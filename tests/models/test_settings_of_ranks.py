"""Ranks that were given different settings: all of them end before the first step, and the host and the setting are named."""

from dataclasses import Field, fields, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from common.training.agreement import different_settings
from mlops_launch.contract import ExitCode
from models.resnet50v1_5.settings import Settings

PER_RANK = {"dataset_dir", "output_dir", "trace_samples", "threads", "comm", "force_precision"}
WHERE = Settings(dataset_dir="/data", output_dir="/out")


def other(f: Field[Any], value: Any) -> Any:
    """Return another value of a setting."""
    if f.metadata["choices"]:
        return next(choice for choice in f.metadata["choices"] if choice != value)
    return not value if isinstance(value, bool) else value + "x" if isinstance(value, str) else value + 1


def told(*ranks: Settings) -> list[dict[str, Any]]:
    return [settings.for_all_ranks() for settings in ranks]


@given(st.data(), st.integers(2, 9))
def test_whatever_setting_a_rank_has_of_its_own_it_is_named_with_the_host(data: st.DataObject, ranks: int) -> None:
    f = data.draw(st.sampled_from([f for f in fields(Settings) if f.name not in PER_RANK]))
    rank = data.draw(st.integers(0, ranks - 1))
    right = getattr(WHERE, f.name)
    wrong = other(f, right)
    error = different_settings(
        told(*(replace(WHERE, **{f.name: wrong}) if at == rank else WHERE for at in range(ranks))), [f"node-{at}" for at in range(ranks)]
    )
    assert error is not None and error.code == ExitCode.CONFIGURATION
    if ranks == 2:
        # Either may be the right one: rank 0's counts.
        rank, (right, wrong) = 1, (right, wrong) if rank else (wrong, right)
    like = 0 if rank else 1
    shown, found = ("empty" if value == "" else value for value in (right, wrong))
    assert error.message == (
        f"rank {rank} on host node-{rank} does not have the settings of rank {like} on host node-{like}: {f.name} {shown} expected: {found}"
    )


@given(st.lists(st.sets(st.sampled_from(sorted(PER_RANK))), min_size=1, max_size=5))
def test_places_threads_and_what_suits_a_host_may_differ(ranks: list[set[str]]) -> None:
    of = {f.name: f for f in fields(Settings)}
    differing = [replace(WHERE, **{name: other(of[name], getattr(WHERE, name)) for name in names}) for names in ranks]
    assert different_settings(told(*differing), ["node"] * len(ranks)) is None


def test_settings_that_only_one_side_has_and_many_at_once_are_named_too() -> None:
    error = different_settings([{"a": 1, "b": 2, "c": 3, "d": 4}, {"a": 2, "b": "", "e": 5}], ["one", "two"])
    assert error is not None and error.message == (
        "rank 1 on host two does not have the settings of rank 0 on host one: "
        "a 1 expected: 2, b 2 expected: empty, c 3 expected: none and 2 more"
    )
