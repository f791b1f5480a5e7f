"""How a training on a cluster ended: the exit code that `run` ends with, and who was killed for memory."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_launch.core.kube.outcome import (
    DELETED,
    MemoryKill,
    Outcome,
    advice,
    explained,
    may_heal,
    may_hide_a_kill,
    memory_kill,
    memory_line,
)
from mlops_launch.core.workload.state import outcome
from tests.unit.objects import RUNNING, ended, event, job, pod


@pytest.mark.parametrize("code", [1, 66, 78, 137, 143, 255])
def test_a_failed_job_has_its_launchers_code(code: int) -> None:
    assert outcome(job(), job("Failed"), [pod("launcher", "launcher", ended(code))]) == Outcome(code)


def test_a_job_that_succeeded() -> None:
    assert outcome(job(), job("Running", "Succeeded"), []) == Outcome(0)


def test_a_job_that_runs_has_no_outcome_and_neither_has_one_that_the_operator_has_not_marked() -> None:
    assert outcome(job(), job("Running"), [pod("launcher", "launcher", RUNNING)]) is None
    assert outcome(job(), job("Running"), [pod("launcher", "launcher", ended(66))]) is None


def test_the_newest_launcher_counts() -> None:
    first, second = pod("first", "launcher", ended(255)), pod("second", "launcher", ended(66))
    second["metadata"]["creationTimestamp"] = "2026-01-02T03:05:00Z"
    assert outcome(job(), job("Failed"), [second, first]) == Outcome(66)


def test_a_job_marked_as_failed_waits_for_a_launcher_that_is_still_saving() -> None:
    assert outcome(job(), job("Failed"), [pod("launcher", "launcher", RUNNING)]) is None


def test_a_launcher_that_is_gone_without_a_code_counts_as_a_lost_worker_with_the_reason() -> None:
    evicted = pod("launcher", "launcher", phase="Failed", reason="Evicted", message="The node was low on memory.")
    assert outcome(job(), job("Failed"), [evicted]) == Outcome(255, "pod launcher: Evicted: The node was low on memory.")
    assert outcome(job(), job("Failed"), []) == Outcome(255, "is Failed")


OVERFULL = 'Usage of EmptyDir volume "tmp" exceeds the limit "1Mi". '


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Outcome(138), Outcome(138, f"pod worker-1: Evicted: {OVERFULL.strip()}")),
        (Outcome(1), Outcome(255, f"pod worker-1: Evicted: {OVERFULL.strip()}")),
        (Outcome(255, "is Failed"), Outcome(255, f"pod worker-1: Evicted: {OVERFULL.strip()}")),
        (Outcome(143, "pod worker-1: EvictionByEvictionAPI"), Outcome(143, "pod worker-1: EvictionByEvictionAPI")),
        (Outcome(143, DELETED), Outcome(143, DELETED)),
        (Outcome(0), Outcome(0)),
        (Outcome(66), Outcome(66)),
    ],
)
def test_an_eviction_that_only_an_event_tells_explains_an_end_that_nothing_else_does(found: Outcome, expected: Outcome) -> None:
    other = event(job(), "Evicted", "not of a pod")
    events = [other, event(pod("worker-0", "worker"), "Killing", "Stopping"), event(pod("worker-1", "worker"), "Evicted", OVERFULL)]
    assert explained(found, events) == expected
    assert explained(found, events[:2]) == found


def test_a_deleted_workload_ends_with_the_code_its_pod_had_or_as_interrupted() -> None:
    assert outcome(job(), None, [pod("launcher", "launcher", ended(143))]) == Outcome(143, DELETED)
    assert outcome(pod("demo", "pod"), None, []) == Outcome(143, DELETED)


@pytest.mark.parametrize(("code", "expected"), [(0, Outcome(0)), (66, Outcome(66))])
def test_a_pod(code: int, expected: Outcome) -> None:
    one = pod("demo", "pod", ended(code))
    assert outcome(one, one, [one]) == expected
    assert outcome(one, pod("demo", "pod", RUNNING), [pod("demo", "pod", RUNNING)]) is None


def test_memory_by_the_pods_status_or_by_the_entry_points_line() -> None:
    pods = [pod("demo-worker-0", "worker", RUNNING), pod("demo-worker-1", "worker", RUNNING)]
    assert memory_kill(pods, [], []) is None
    fields = memory_line(b"out-of-memory host=demo-worker-1 kills=1 limit_bytes=8589934592")
    assert fields == {"host": "demo-worker-1", "kills": "1", "limit_bytes": "8589934592"}
    assert memory_kill(pods, [], [fields]) == MemoryKill("demo-worker-1", "8Gi")
    assert memory_kill([], [], [fields]) == MemoryKill("demo-worker-1", "8589934592 bytes")
    launcher = pod("launcher", "launcher", ended(137, "OOMKilled"))
    assert memory_kill([launcher], [launcher], []) == MemoryKill("launcher", "8Gi")
    assert memory_line(b"step=1/2 loss=3.0") is None


def killed_at(second: int) -> dict[str, Any]:
    end = {**ended(137, "OOMKilled")["terminated"], "startedAt": "2026-01-02T03:04:00Z", "finishedAt": f"2026-01-02T03:04:{second:02d}Z"}
    return {"terminated": end}


@pytest.mark.parametrize(("second", "counts"), [(20, False), (30, True), (40, True)])
def test_a_memory_kill_counts_in_its_own_try_only(second: int, counts: bool) -> None:
    """The newest launcher's container began at second 30; whatever was killed before that belongs to an earlier try."""
    began = {"startedAt": "2026-01-02T03:04:30Z"}
    launcher = pod("second", "launcher", {"terminated": {**ended(1)["terminated"], **began}})
    worker, again = pod("demo-worker-0", "worker", killed_at(second)), pod("demo-worker-1", "worker", RUNNING)
    again["status"]["containerStatuses"][0]["lastState"] = killed_at(second)
    for one in (worker, again):
        expected = MemoryKill(one["metadata"]["name"], "8Gi") if counts else None
        assert memory_kill([one, launcher], [launcher], []) == expected
    first = pod("first", "launcher", killed_at(second))
    assert memory_kill([first, launcher], [first, launcher], []) is None, "another launcher has followed"
    launcher["status"]["containerStatuses"][0]["lastState"] = killed_at(second)
    assert memory_kill([launcher], [launcher], []) is None, "the container has started again"


def test_a_container_that_waits_to_start_again_was_killed_for_memory_last() -> None:
    launcher = pod("first", "launcher", {"waiting": {"reason": "CrashLoopBackOff"}})
    launcher["status"]["containerStatuses"][0]["lastState"] = killed_at(20)
    assert memory_kill([launcher], [launcher], []) == MemoryKill("first", "8Gi")


def test_a_peers_code_may_hide_a_kill_and_a_trainings_own_does_not() -> None:
    assert [code for code in (0, 1, 16, 64, 66, 78, 127, 137, 143, 255) if may_hide_a_kill(code)] == [1, 16, 127, 137, 143, 255]


def test_an_evicted_worker_is_the_reason_when_mpirun_ends_with_a_peers_code() -> None:
    launcher = pod("launcher", "launcher", ended(1))
    evicted = pod("demo-worker-1", "worker", phase="Failed", reason="Evicted", message="The node was low on memory.")
    tainted = pod("demo-worker-1", "worker", RUNNING, conditions=[LOST])
    marked = job("Failed")
    marked["status"]["conditions"][0] |= {"reason": "MPIJobEvicted", "message": "1/2 workers are evicted"}
    assert outcome(job(), job("Failed"), [launcher, evicted]) == Outcome(255, "pod demo-worker-1: Evicted: The node was low on memory.")
    assert outcome(job(), job("Failed"), [launcher, tainted]) == Outcome(255, "pod demo-worker-1: DeletionByTaintManager: by taint")
    assert outcome(job(), marked, [launcher]) == Outcome(255, "1/2 workers are evicted")
    assert outcome(job(), job("Failed"), [launcher]) == Outcome(1)
    assert outcome(job(), job("Failed"), [pod("launcher", "launcher", ended(66)), evicted]) == Outcome(66)


def test_a_command_that_never_ran_is_not_a_try_and_a_container_lost_with_its_node_is_named() -> None:
    never = {"terminated": {**ended(128, "StartError")["terminated"], "message": 'exec: "python33": not found'}}
    assert outcome(job(), job("Failed"), [pod("launcher", "launcher", never)]) == Outcome(
        125, 'pod launcher: StartError: exec: "python33": not found'
    )
    lost = {"terminated": {**ended(137, "ContainerStatusUnknown")["terminated"], "message": "could not be located"}}
    assert outcome(job(), job("Failed"), [pod("launcher", "launcher", lost)]) == Outcome(
        137, "pod launcher: ContainerStatusUnknown: could not be located"
    )


@pytest.mark.parametrize(
    ("reason", "heals"),
    [
        (None, True),
        (DELETED, False),
        ("pod x: Evicted: The node was low on resource: memory.", True),
        ('pod x: Evicted: Container main exceeded its local ephemeral storage limit "1Gi".', False),
        ('pod x: Evicted: Usage of EmptyDir volume "v" exceeds the limit "1Gi".', False),
        ("pod x: Evicted: Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.", False),
    ],
)
def test_a_limit_of_its_own_is_met_again_by_another_try(reason: str | None, heals: bool) -> None:
    assert may_heal(reason) is heals
    assert (advice(reason) is None) is (heals or reason == DELETED)


LOST = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": "by taint"}
