"""The loop that both engines share: tries, the time limit, how it ended, the exit code."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_launch.clients.host import Host
from mlops_launch.commands.runs.archive import ArchivedRun
from mlops_launch.commands.runs.display import Display
from mlops_launch.commands.runs.loop import Ended, Limits, Stop, run
from mlops_launch.commands.runs.streams import Streams
from mlops_launch.core.finding import Finding
from mlops_launch.core.record import BY_DETACHING, BY_SIGNAL, BY_TIMEOUT, RunRecord, exit_hint
from mlops_launch.core.workload.kinds import find_workload
from mlops_launch.core.workload.plan import Plan

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: demo}\nspec: {containers: [{name: training, image: x}]}\n"
BEGIN, END = "2026-01-02T03:04:05.000+00:00", "2026-01-02T03:05:05.000+00:00"


@dataclass
class Scripted:
    """An engine whose tries end as it is told: fields of the record, and why it was stopped."""

    tries: list[dict[str, Any]]
    stopped: str | None = None
    numbers: list[int] = field(default_factory=list)

    def plan(self) -> Plan:
        finding = Finding("image-tag", "warning", "a word of warning", "do it")
        objects = [yaml.safe_load(POD)]
        return Plan("overlay", POD, objects, find_workload(objects), (finding,), ())

    def attempt(self, plan: Plan, number: int, stop: Stop, display: Display) -> Ended:
        self.numbers.append(number)
        record = RunRecord("demo", "Pod", "overlay", BEGIN, number, None, "here", 1, 1, ended=END, **self.tries.pop(0))
        stop.reason = self.stopped
        return Ended(ArchivedRun(Path(f"archive/{number}")), record)

    def interrupt(self, stop: Stop, number: int) -> None:
        raise AssertionError("no signal was sent")


def ran(engine: Scripted, retries: int = 0) -> tuple[int, str]:
    talk = io.StringIO()
    return run(engine, Limits(retries=retries), Host(), Streams(io.BytesIO(), talk, terminal=False)), talk.getvalue()


def test_a_success_is_told_with_its_time_and_its_archive() -> None:
    code, words = ran(Scripted([{"exit_code": 0}]))
    assert code == 0
    assert words.splitlines()[-2:] == ["demo succeeded after 60 s", "archive: archive/1"]
    assert "a word of warning" in words


def test_a_failure_is_told_with_its_reason_and_a_hint() -> None:
    code, words = ran(Scripted([{"exit_code": 137, "reason": "pod x was evicted"}]))
    assert code == 137
    told = "Error: the training ended with exit code 137: killed\nreason: pod x was evicted\n\nhint: "
    assert words.endswith(f"{told}{exit_hint(137)}\narchive: archive/1\n")


@pytest.mark.parametrize(
    ("first", "retries", "numbers"),
    [
        ({"exit_code": 137}, 2, [1, 2]),
        ({"exit_code": 137}, 0, [1]),
        ({"exit_code": 1}, 2, [1]),
        ({"exit_code": 137, "out_of_memory": True}, 2, [1]),
        ({"exit_code": 143, "reason": "it was deleted"}, 2, [1]),
        ({"exit_code": None, "stopped_by": BY_DETACHING}, 2, [1]),
    ],
)
def test_another_try_is_made_only_where_it_may_help(first: dict[str, Any], retries: int, numbers: list[int]) -> None:
    engine = Scripted([first, {"exit_code": 0}])
    code, words = ran(engine, retries)
    assert engine.numbers == numbers
    assert code == (0 if len(numbers) == 2 else first["exit_code"] or 0)
    assert ("retrying: attempt 2" in words) == (len(numbers) == 2)


@pytest.mark.parametrize(
    ("stopped", "code", "found"),
    [(BY_TIMEOUT, 143, 124), (BY_TIMEOUT, 0, 0), (BY_SIGNAL, 143, 143), (BY_DETACHING, None, 130)],
)
def test_the_exit_code_of_a_run_that_was_stopped(stopped: str, code: int | None, found: int) -> None:
    engine = Scripted([{"exit_code": code}, {"exit_code": 0}], stopped)
    assert ran(engine, retries=3)[0] == found
    assert engine.numbers == [1], "nobody wants another try"


def test_the_time_limit_is_told_once_and_not_after_another_reason() -> None:
    stop = Stop(deadline=10.0)
    assert [stop.is_due(9.0), stop.is_due(11.0), stop.is_due(12.0), stop.reason] == [False, True, False, BY_TIMEOUT]
    assert not Stop(BY_SIGNAL, deadline=10.0).is_due(11.0)
