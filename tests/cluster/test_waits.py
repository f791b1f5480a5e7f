"""Whole runs that do not start: the cause, the advice, the exit code, and whether `--retries` tries again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import Call, Ended, archived, run_folders
from tests.cluster.sim import words
from tests.cluster.sim.logs import ContainerLog
from tests.cluster.sim.scripts import LINES
from tests.cluster.sim.world import MULTI, SINGLE, World

Json = dict[str, Any]
BOTH = pytest.mark.parametrize("overlay", [MULTI, SINGLE])


def unplaced(message: str) -> Json:
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": f"0/3 nodes are available: {message}"}
    return {"phase": "Pending", "conditions": [said]}


def run(call: Call, overlay: str) -> Ended:
    return call("run", overlay, "--start-timeout", "30", "--retries", "1")


def name_of(overlay: str) -> str:
    return "resnet50v1-5" if overlay == MULTI else "resnet50v1-5-training"


def pod_of(overlay: str) -> str:
    return "resnet50v1-5-worker-0" if overlay == MULTI else "resnet50v1-5-training"


@BOTH
@pytest.mark.parametrize(
    ("message", "text", "hint"),
    [
        ("3 node(s) had untolerated taint(s).", "nodes have a taint that pod {} does not tolerate", "add a toleration in"),
        ("3 node(s) didn't match Pod's node affinity/selector.", "no node has the labels that pod {} asks for", "correct nodeSelector"),
        ("3 node(s) were unschedulable.", "nodes are closed to new pods (cordoned) that pod {} could use", "`kubectl get nodes`"),
        ("3 Insufficient cpu.", "no node has room for pod {}", "ask for less with `mlops-launch set`"),
    ],
)  # fmt: skip
def test_a_pod_that_no_node_takes(call: Call, world: World, folder: Path, overlay: str, message: str, text: str, hint: str) -> None:
    world.kubelet.stays = lambda pod: unplaced(message)
    ended = run(call, overlay)
    told = f"{text.format(pod_of(overlay))}: 0/3 nodes are available: {message}"
    assert (ended.exit_code, ended.stdout) == (125, "")
    assert f"waiting: {told}" in ended.stderr
    assert f"Error: not started within 30 s: {told}\n\nhint: {hint}" in ended.stderr
    assert [record["exit_code"] for record in archived(folder, name_of(overlay))] == [125]


@BOTH
def test_a_claim_that_nothing_provides_for(call: Call, world: World, folder: Path, overlay: str) -> None:
    claim = world.api.get("PersistentVolumeClaim", "outputs") or {}
    said = "no persistent volumes available for this claim and no storage class is set"
    world.api.event(claim, "FailedBinding", said, "Normal")
    world.kubelet.stays = lambda pod: unplaced("pod has unbound immediate PersistentVolumeClaims.")
    ended = run(call, overlay)
    text = f"the claim of pod {pod_of(overlay)} names no storage class, and none is the cluster's default: "
    assert (ended.exit_code, text in ended.stderr, said in ended.stderr) == (125, True, True), ended.stderr
    assert "hint: set storageClassName in the claim (k8s/storage)" in ended.stderr


@BOTH
@pytest.mark.parametrize("readable", [True, False])
def test_a_node_that_stops_answering_while_it_prepares_a_pod(call: Call, world: World, folder: Path, overlay: str, readable: bool) -> None:
    said = "Kubelet stopped posting node status."
    ready = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": said}
    if readable:
        world.api.create({"kind": "Node", "metadata": {"name": "node-1"}, "status": {"conditions": [ready]}}, None)

    def status(pod: Json) -> Json:
        world.api.change(pod, lambda o: o["spec"].__setitem__("nodeName", "node-1"))
        return {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]}

    world.kubelet.stays = status
    ended = run(call, overlay)
    node = f"node node-1 of pod {pod_of(overlay)} does not answer: NodeStatusUnknown: {said}"
    text = node if readable else f"pod {pod_of(overlay)} is being prepared: its node has not said more yet"
    assert (ended.exit_code, f"Error: not started within 30 s: {text}\n" in ended.stderr) == (125, True), ended.stderr


def failed(pod: Json, **fields: Any) -> Json:
    return {"phase": "Failed", "conditions": [{"type": "PodScheduled", "status": "True"}], **fields}


def wrong_command(pod: Json) -> Json:
    message = 'exec: "python33": executable file not found in $PATH'
    state = {"exitCode": 128, "reason": "StartError", "message": message, "startedAt": "1970-01-01T00:00:00Z"}
    return failed(pod, containerStatuses=[{"name": pod["spec"]["containers"][0]["name"], "state": {"terminated": state}}])


def failing_init(pod: Json) -> Json:
    state = {"exitCode": 3, "reason": "Error", "startedAt": "2026-01-01T00:00:00Z"}
    return failed(pod, initContainerStatuses=[{"name": "setup", "state": {"terminated": state}}])


def failing_worker(pod: Json) -> Json:
    state = {"exitCode": 1, "reason": "Error", "startedAt": "2026-01-01T00:00:00Z"}
    return failed(pod, containerStatuses=[{"name": pod["spec"]["containers"][0]["name"], "state": {"terminated": state}}])


def unknown(pod: Json) -> Json:
    return failed(pod, reason="Hiccups", message="three of them")


def too_much(pod: Json) -> Json:
    return failed(pod, reason="Evicted", message='Usage of EmptyDir volume "shm" exceeds the limit "1Gi". ')


FINAL = [
    (wrong_command, 'the command of pod {} is not in its image: StartError: exec: "python33": executable file', "correct command"),
    (failing_init, "init container setup of pod {} ended with exit code 3: Error", "`{}/pods/{}.setup.log` says why"),
    (failing_worker, "worker {} ended with exit code 1: Error", "`{}/pods/{}.log` says why"),
    (unknown, "pod {} has failed: Hiccups: three of them", "`{}/events.jsonl` says more"),
    (too_much, "pod {} was evicted: it wrote more than a volume's limit: Evicted: Usage of EmptyDir", "raise the emptyDir's sizeLimit"),
]


@pytest.mark.parametrize(
    ("overlay", "status", "text", "hint"),
    [(overlay, *row) for row in FINAL for overlay in (MULTI, SINGLE) if overlay == MULTI or row[0] is not failing_worker],
)
def test_what_no_waiting_and_no_other_try_heals_ends_at_once(
    call: Call, world: World, folder: Path, overlay: str, status: Any, text: str, hint: str
) -> None:
    def stays(pod: Json) -> Json:
        log = world.api.logs[pod["metadata"]["uid"]] = ContainerLog(world.host, ended=True)
        log.write("it cannot work")
        return dict(status(pod))

    world.kubelet.stays = stays
    ended = run(call, overlay)
    assert (ended.exit_code, "not started within" in ended.stderr) == (125, False), ended.stderr
    assert f"Error: {text.format(pod_of(overlay))}" in ended.stderr
    (archive,) = run_folders(folder, name_of(overlay))
    # The pods are gone then: what kubectl would have shown of them is in the archive.
    assert f"\n\nhint: {hint.format(archive.relative_to(folder), pod_of(overlay))}" in ended.stderr
    log = archive / "pods" / f"{pod_of(overlay)}{'.setup' if status is failing_init else ''}.log"
    assert [log.read_text()] == ["it cannot work\n"] if status in (failing_init, failing_worker) else not log.exists()
    assert [record["exit_code"] for record in archived(folder, name_of(overlay))] == [125]
    assert world.names("Pod", "MPIJob") == []


@BOTH
@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("Evicted", "The node was low on resource: ephemeral-storage."),
        ("OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu, requested: 8000, used: 5000, capacity: 8000"),
        ("NodeShutdown", "Pod was rejected as the node is shutting down."),
    ],
)
def test_a_pod_that_its_node_does_not_keep_is_tried_again(
    call: Call, world: World, folder: Path, overlay: str, reason: str, message: str
) -> None:
    lost: list[str] = []

    def status(pod: Json) -> Json | None:
        if not lost and pod["metadata"]["name"] == pod_of(overlay):
            lost.append(pod["metadata"]["uid"])
        return failed(pod, reason=reason, message=message) if pod["metadata"]["uid"] in lost else None

    world.kubelet.stays = status
    ended = run(call, overlay)
    assert (ended.exit_code, ended.stdout.splitlines()) == (0, LINES), ended.stderr
    first, second = archived(folder, name_of(overlay))
    assert (first["exit_code"], second["exit_code"]) == (255, 0)
    assert first["reason"].endswith(f"{reason}: {message}")
    assert "retrying: attempt 2" in ended.stderr


def test_a_quota_of_workers_is_named_and_waited_for(call: Call, world: World, folder: Path) -> None:
    world.operator.pod_refusal = words.quota
    ended = run(call, MULTI)
    assert ended.exit_code == 125
    assert "not started within 30 s: the namespace's quota is used up: " in ended.stderr
    assert "hint: ask for less, or delete what is not needed" in ended.stderr
