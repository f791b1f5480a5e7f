"""A wait names its own cause: every row of the matrix, and whatever else a cluster may say."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_launch.commands.cluster.follow.advice import of_deleted
from mlops_launch.commands.runs.archive import ArchivedRun
from mlops_launch.core.kube.causes import Cause
from mlops_launch.core.kube.objects import with_log
from mlops_launch.core.kube.words import scheduler
from mlops_launch.core.printable import one_line
from mlops_launch.core.workload.state import causes
from tests.unit import waits
from tests.unit.objects import ended, job
from tests.unit.waits import MATRIX, Shown, Wait

Json = dict[str, Any]
NO_ROOM = "no node has room"


def first(shown: Shown) -> Cause:
    return causes(job("Created"), shown.pods, shown.events, 60)[0]


@pytest.mark.parametrize("row", MATRIX, ids=[row.number for row in MATRIX])
def test_each_wait_is_told_by_its_cause_its_evidence_and_an_advice_that_fits(row: Wait) -> None:
    cause = first(row.shown)
    assert (cause.kind, cause.final) == (row.kind, row.final), cause
    assert one_line(" ".join(row.shown.words.split())).rstrip(". ") in cause.text
    assert row.advice in cause.hint
    assert (NO_ROOM in cause.text) == (row.number in ("A01", "A02", "A03", "A05"))


@pytest.mark.parametrize("kept", [(), (f"{waits.WHO}.log",), (f"{waits.WHO}.setup.log",), (f"{waits.WHO}.main.log", f"{waits.WHO}.log")])
def test_no_advice_sends_anybody_to_a_pod_that_the_run_has_deleted(tmp_path: Path, kept: Sequence[str]) -> None:
    (tmp_path / "pods").mkdir()
    for name in kept:
        (tmp_path / "pods" / name).touch()
    for row in MATRIX:
        hint = first(row.shown).hint
        found = of_deleted(hint, ArchivedRun(tmp_path))
        assert "kubectl logs" not in found and f"describe pod {waits.WHO}" not in found
        for file in re.findall(re.escape(str(tmp_path)) + "/([^`]*)", found):
            assert file == "events.jsonl" or file.removeprefix("pods/") in kept, row.number
        assert (found == hint) == ("kubectl logs" not in hint and "kubectl describe pod " not in hint), row.number


@pytest.mark.parametrize(
    ("statuses", "names"),
    [
        ({}, []),
        ({"containerStatuses": [("main", {"waiting": {"reason": "ContainerCreating"}}, {})]}, []),
        ({"containerStatuses": [("main", {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, {})]}, ["main"]),
        ({"containerStatuses": [("main", {"waiting": {"reason": "CrashLoopBackOff"}}, ended(1))]}, ["main"]),
        ({"containerStatuses": [("main", ended(128, "StartError"), {})]}, []),
        ({"containerStatuses": [("sidecar", ended(1), {}), ("main", {}, {})]}, []),
        ({"initContainerStatuses": [("one", ended(0), {}), ("two", ended(3), {}), ("three", {"waiting": {}}, {})]}, ["one", "two"]),
    ],
)
def test_a_container_that_has_run_has_a_log(statuses: dict[str, list[tuple[str, Json, Json]]], names: list[str]) -> None:
    status = {
        field: [{"name": name, "state": state, "lastState": last} for name, state, last in found] for field, found in statuses.items()
    }
    one = waits.worker()
    assert with_log({**one, "status": {**one["status"], "containerStatuses": [], **status}}) == names


def test_the_matrix_is_whole() -> None:
    counts = {"A": 26, "B": 14, "C": 9, "D": 16, "E": 15}
    assert [row.number for row in MATRIX] == [f"{letter}{n:02}" for letter, count in counts.items() for n in range(1, count + 1)]


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ("1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 Insufficient memory", ["room", "taint"]),
        ("1 Insufficient nvidia.com/gpu, 2 node(s) had untolerated taint {gpu: yes}", ["taint", "device"]),
        ("2 Insufficient cpu, 3 Insufficient memory", ["room", "room"]),
        ("1 node(s) were unschedulable, 2 node(s) didn't match Pod's node affinity/selector", ["cordon", "selector"]),
        ("1 node(s) had no available volume zone, 2 node(s) didn't match pod affinity rules", ["volume place", "affinity"]),
        ("1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }", ["pressure"]),
        ('waiting for ephemeral volume controller to create the persistentvolumeclaim "x"', ["claim"]),
        ('waiting for pods\'s pod group "x" to appear in scheduling queue', ["gang"]),
        ("waiting for scheduling gates: [kueue.x-k8s.io/topology]", ["gate"]),
        ("1 node(s) had untolerated taint(s), 3 node(s) didn't satisfy plugin(s) [NodeAffinity]", ["taint"]),
        ("1 Insufficient cpu, 3 node(s) didn't satisfy plugin(s) [VolumeBinding]", ["room"]),
        ("3 node(s) didn't satisfy plugin(s) [NodeAffinity]", ["selector"]),
        ("3 node(s) didn't satisfy plugin(s) [VolumeBinding]", ["volume place"]),
    ],
)  # fmt: skip
def test_a_message_of_several_parts_has_the_decisive_one_first(words: str, kinds: list[str]) -> None:
    assert [row.kind for row in scheduler.read(f"0/3 nodes are available: {words}. preemption: not eligible.").rows] == kinds


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("3 Insufficient cpu. preemption: 0/3 nodes are available: 3 No preemption victims found.", "3 Insufficient cpu."),
        ("3 Insufficient cpu. no new claims to deallocate, preemption: 0/3 nodes are available: 3 x.", "3 Insufficient cpu."),
        ("pod has unbound immediate PersistentVolumeClaims. not found", "pod has unbound immediate PersistentVolumeClaims."),
        ('persistentvolumeclaim "d" not found. not found', 'persistentvolumeclaim "d" not found.'),
        ('persistentvolumeclaim "d" not found', 'persistentvolumeclaim "d" not found'),
    ],
)
def test_what_is_said_of_preemption_is_left_out(message: str, told: str) -> None:
    reading = scheduler.read(f"0/3 nodes are available: {message}")
    assert (reading.told, len(reading.rows), reading.unknown) == (f"0/3 nodes are available: {told}", 1, [])


def test_several_reasons_are_all_named() -> None:
    cause = first(waits.scheduler("2 node(s) had untolerated taint {gpu: yes}, 1 Insufficient cpu."))
    assert cause.text.startswith("no node takes pod demo-worker-0 (taint, room): 0/3 nodes are available: 2 node(s)")
    assert "toleration" in cause.hint and "ask for less" in cause.hint


def test_a_reason_that_nobody_knows_is_not_hidden_behind_one_that_is_known() -> None:
    cause = first(waits.scheduler("2 node(s) have the hiccups, 1 Insufficient cpu."))
    assert cause.text.startswith("no node takes pod demo-worker-0 (room, another reason): ")


WORDS = st.text(max_size=60) | st.text(string.printable, max_size=60)
SOURCES = [waits.scheduler, waits.alone, waits.created, waits.start_error]
REASONED = [waits.claim, waits.waiting, waits.warned, waits.rejected]


@given(words=WORDS, make=st.sampled_from(SOURCES))
def test_any_words_are_shown_as_they_are(words: str, make: Callable[..., Shown]) -> None:
    _is_shown(make(words))


@given(reason=st.sampled_from(["Evicted", "ErrImagePull", "FailedMount", "CrashLoopBackOff", "StartError", "Odd"]), words=WORDS,
       make=st.sampled_from(REASONED))  # fmt: skip
def test_any_words_with_any_reason_are_shown_as_they_are(reason: str, words: str, make: Callable[..., Shown]) -> None:
    _is_shown(make(reason, words), may_be_silent=make in (waits.claim, waits.waiting))


def _is_shown(shown: Shown, may_be_silent: bool = False) -> None:
    cause = first(shown)
    assert cause.text.isprintable() or one_line(cause.text) == cause.text
    assert "\n" not in cause.text and cause.hint
    words = one_line(" ".join(shown.words.split()))
    assert words in cause.text or may_be_silent and cause.kind in ("claim", "preparing")
