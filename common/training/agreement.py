"""Ranks agree on their settings before anything else: a host with an older file or image is named, and nobody waits for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.agreement import find_odd
from common.comm import Comm
from common.data.names import some_of
from common.errors import TrainingError
from mlops_launch.contract import ExitCode


def require_same_settings(settings: Mapping[str, object], comm: Comm) -> None:
    """Raise, on every rank, unless all have the same settings. Every rank must call it.

    Raises:
        TrainingError: it names rank, host and settings (78).
    """
    error = different_settings(comm.gather_object(dict(settings)), comm.hosts)
    if error is not None:
        raise error


def different_settings(told: Sequence[Mapping[str, object]], hosts: Sequence[str]) -> TrainingError | None:
    """Return the error of ranks whose settings are not the same, None where they are."""
    odd = find_odd([tuple(sorted((name, repr(value)) for name, value in one.items())) for one in told], hosts, "settings")
    if odd is None:
        return None
    right, wrong = told[odd.like], told[odd.rank]
    names = sorted(name for name in right.keys() | wrong.keys() if repr(right.get(name)) != repr(wrong.get(name)))
    parts = [f"{name} {_shown(right, name)} expected: {_shown(wrong, name)}" for name in names]
    return TrainingError(
        f"{odd.text}: {some_of(parts)}",
        "every rank must get the same variables, flags and image: `mlops.env` goes to all of them",
        ExitCode.CONFIGURATION,
    )


def _shown(settings: Mapping[str, object], name: str) -> object:
    value = settings.get(name, "none")
    return "empty" if value == "" else value
