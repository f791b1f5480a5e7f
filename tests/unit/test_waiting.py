"""Why a training has not started: one line with the evidence, and whether waiting can help."""

from __future__ import annotations

import pytest

from mlops_launch.core.workload.state import causes, has_started
from tests.unit.objects import RUNNING, ended, event, job, pod


def test_an_image_that_cannot_be_pulled() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    (cause,) = causes(job("Created"), [pod("demo-worker-0", "worker", waiting)], [], 9)
    assert cause.text == "the image cannot be pulled for pod demo-worker-0: registry.example.com/x:1: Back-off pulling image"
    assert cause.hint.startswith("correct REGISTRY and IMAGE_TAG")
    assert not cause.final


@pytest.mark.parametrize("reason", ["InvalidImageName", "ErrImageNeverPull"])
def test_an_image_that_never_comes(reason: str) -> None:
    (cause,) = causes(job("Created"), [pod("demo-worker-0", "worker", {"waiting": {"reason": reason}})], [], 9)
    assert cause.final


def test_no_room_and_a_claim() -> None:
    def unplaced(message: str) -> dict[str, object]:
        return pod("demo-worker-0", "worker", conditions=[{"type": "PodScheduled", "status": "False", "message": message}])

    (room,) = causes(job("Created"), [unplaced("0/3 nodes are available: 3 Insufficient cpu.")], [], 9)
    assert room.text == "no node has room for pod demo-worker-0: 0/3 nodes are available: 3 Insufficient cpu."
    (claim,) = causes(job("Created"), [unplaced('persistentvolumeclaim "outputs" not found')], [], 9)
    assert claim.text == 'pod demo-worker-0 waits for its claim: persistentvolumeclaim "outputs" not found'


@pytest.mark.parametrize(
    ("reason", "message", "text", "final"),
    [
        ("ValidationError", "workerReplicas: bad", "mpi-operator refuses the MPIJob: workerReplicas: bad", True),
        ("MPIJobFailed", 'pods "x" is forbidden: violates PodSecurity "restricted"', "the namespace's Pod Security refuses the pods", True),
        ("MPIJobFailed", "exceeded quota: gpus", "the namespace's quota is used up: exceeded quota: gpus", False),
        ("Odd", "something else", "MPIJob demo: Odd: something else", False),
    ],
)
def test_what_the_operator_says(reason: str, message: str, text: str, final: bool) -> None:
    (cause,) = causes(job("Created"), [], [event(job(), reason, message)], 9)
    assert cause.text.startswith(text)
    assert cause.final is final


def test_a_worker_whose_sshd_does_not_answer_and_one_that_ended() -> None:
    (deaf,) = causes(job("Created"), [pod("demo-worker-0", "worker", RUNNING)], [], 9)
    assert deaf.text == "worker demo-worker-0 runs, but its ssh server does not answer on port 2222"
    first = causes(job("Created"), [pod("demo-worker-0", "worker", RUNNING), pod("demo-worker-1", "worker", ended(127))], [], 9)[0]
    assert (first.text, first.final) == ("worker demo-worker-1 ended with exit code 127: Error", True)


@pytest.mark.parametrize(
    ("code", "reason", "again"),
    [(1, "Error", False), (255, "Error", False), (137, "OOMKilled", False), (137, "ContainerStatusUnknown", True), (143, "Error", True)],
)
def test_a_worker_that_was_stopped_from_outside_may_be_tried_again(code: int, reason: str, again: bool) -> None:
    (cause,) = causes(job("Created"), [pod("demo-worker-0", "worker", ended(code, reason))], [], 9)
    assert (cause.text, cause.final, cause.again) == (f"worker demo-worker-0 ended with exit code {code}: {reason}", True, again)


def test_a_mount_that_fails() -> None:
    one = pod("demo-worker-0", "worker", {"waiting": {"reason": "ContainerCreating"}})
    (cause,) = causes(job("Created"), [one], [event(one, "FailedMount", "mount failed: permission denied")], 9)
    assert cause.text == "a volume of pod demo-worker-0 cannot be mounted: FailedMount: mount failed: permission denied"


def test_an_operator_that_does_not_react_is_named_after_a_while_only() -> None:
    assert [cause.text for cause in causes(job(), [], [], 20)] == ["mpi-operator does not react to the MPIJob"]
    assert [cause.text for cause in causes(job(), [], [], 1)] == ["0 of 2 workers created"]
    ready = [pod(f"demo-worker-{n}", "worker", RUNNING, ready=True) for n in range(2)]
    assert [cause.text for cause in causes(job("Created"), ready, [], 20)] == ["all workers are ready; the launcher is not created yet"]


def test_a_queue() -> None:
    (cause,) = causes(job(runPolicy={"suspend": True}), [], [], 1000)
    assert cause.text == "suspended: waiting for its queue to admit it"


def test_a_queue_says_what_it_waits_for() -> None:
    about = {"kind": "Workload", "metadata": {"name": "mpijob-demo-1a2b3", "uid": "uid-workload"}}
    said = "couldn't assign flavors to pod set main: insufficient unused quota for cpu in flavor default, 4 more needed"
    now = {**event(about, "Pending", said), "type": "Normal", "lastTimestamp": "2026-01-02T03:05:00Z"}
    old = {**event(about, "Admitted", "an older run"), "type": "Normal", "lastTimestamp": "2026-01-01T00:00:00Z"}
    item = job(runPolicy={"suspend": True})
    (cause,) = causes(item, [], [old, now], 1000)
    assert cause.text == f"suspended: waiting for its queue to admit it: Pending: {said}"
    (cause,) = causes(item, [], [old], 1000)
    assert cause.text == "suspended: waiting for its queue to admit it"


def test_a_refusal_that_was_overcome_is_not_why_a_pod_waits() -> None:
    one = pod("demo-worker-0", "worker", conditions=[{"type": "PodScheduled", "status": "False", "message": "3 Insufficient cpu."}])
    past = {**event(job(), "MPIJobFailed", "exceeded quota: gpus"), "lastTimestamp": "2026-01-02T03:04:00Z"}
    later = {**past, "lastTimestamp": "2026-01-02T03:05:00Z"}
    assert [cause.kind for cause in causes(job("Created"), [one], [past], 60)] == ["room"]
    assert [cause.kind for cause in causes(job("Created"), [one], [later], 60)] == ["quota", "room"]


def test_it_has_started_when_the_launchers_container_has() -> None:
    assert not has_started(job(), [pod("demo-worker-0", "worker", RUNNING)])
    assert not has_started(job(), [pod("launcher", "launcher", {"waiting": {}})])
    assert has_started(job(), [pod("launcher", "launcher", RUNNING)])
    assert has_started(pod("demo", "pod"), [pod("demo", "pod", ended(1))])
