"""What the cluster refuses, and an API server that is away: `run` says it in one line, and leaves nothing half done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.conftest import Call, archived
from tests.cluster.sim import words
from tests.cluster.sim.api import MPIJOB, Request
from tests.cluster.sim.faults import ANSWERS, Scheduled, Window
from tests.cluster.sim.scripts import ENDLESS, LINES, TRAINS
from tests.cluster.sim.world import MULTI, SINGLE, World

REFUSED = 125


def remove(world: World, kind: str, name: str) -> None:
    world.api.remove(world.api.get(kind, name) or world.api.objects[f"/api/v1/namespaces/{name}"])


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("Namespace", "team", "no such namespace: team"),
        ("PersistentVolumeClaim", "datasets", "no such claim in namespace team: datasets"),
        ("PersistentVolumeClaim", "outputs", "no such claim in namespace team: outputs"),
    ],
)
def test_what_must_be_there_is_asked_for_first(call: Call, world: World, folder: Path, kind: str, name: str, message: str) -> None:
    remove(world, kind, name)
    ended = call("run", MULTI)
    assert (ended.exit_code, message in ended.stderr) == (REFUSED, True)
    assert (world.names("MPIJob", "ConfigMap"), archived(folder)) == ([], [])


def test_a_cluster_without_the_operator_is_told_what_brings_it(call: Call, world: World) -> None:
    world.api.kinds.remove(MPIJOB)
    ended = call("run", MULTI)
    assert ended.exit_code == REFUSED
    assert "the cluster has no MPIJob of kubeflow.org/v2beta1" in ended.stderr and "k8s/mpi-operator" in ended.stderr


def test_a_namespace_that_may_not_be_looked_at_may_be_used(call: Call, world: World) -> None:
    world.api.denied.add(("get", "namespaces"))
    assert call("run", MULTI).exit_code == 0


def test_a_running_job_of_that_name_stays(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [ENDLESS]
    call("run", MULTI, "--detach")
    before = world.api.all("MPIJob")
    ended = call("run", MULTI)
    assert (ended.exit_code, "--replace" in ended.stderr, world.api.all("MPIJob")) == (REFUSED, True, before)


@pytest.mark.parametrize("overlay", [MULTI, SINGLE])
def test_a_running_job_makes_room_when_asked(call: Call, world: World, folder: Path, overlay: str) -> None:
    world.kubelet.scripts = [ENDLESS, TRAINS]
    call("run", overlay, "--detach")
    world.host.run(20)
    ended = call("run", overlay, "--replace")
    assert (ended.exit_code, ended.stdout.splitlines()) == (0, LINES)


def test_a_job_that_does_not_go_is_named_after_its_grace_period(call: Call, world: World) -> None:
    world.kubelet.scripts = [ENDLESS]
    call("run", SINGLE, "--detach")
    world.host.run(20)
    world.kubelet.alive = False
    ended = call("run", SINGLE, "--replace")
    assert ended.exit_code == REFUSED
    assert "resnet50v1-5-training" in ended.stderr and world.host.monotonic() < 1000 + 20 + 30 + 120 + 60


def test_an_object_of_somebody_else_stays(call: Call, world: World) -> None:
    world.api.create({"kind": "MPIJob", "metadata": {"name": "resnet50v1-5"}, "spec": {"runPolicy": {}, "mpiReplicaSpecs": {"Worker": {}}}})
    world.operator.alive = False
    ended = call("run", MULTI)
    assert (ended.exit_code, "was not created" in ended.stderr or "was not made" in ended.stderr) == (REFUSED, True)
    assert world.names("MPIJob") == ["MPIJob resnet50v1-5"]


@pytest.mark.parametrize(
    ("refusal", "words_of_ours"),
    [
        (words.pod_security("resnet50v1-5-training"), "Pod Security"),
        (words.quota("resnet50v1-5-training"), "quota is used up"),
        (words.quota_demands("resnet50v1-5-training"), "quota demands"),
        (words.forbidden("patch", "pods", "", "team"), "not allowed"),
        (words.invalid("Pod", "", "resnet50v1-5-training", "spec.containers: Required value"), "refuses the object"),
        (words.unauthorized(), "Unauthorized"),
    ],
)
def test_what_was_applied_before_a_refusal_is_taken_back(
    call: Call, world: World, folder: Path, refusal: words.Refused, words_of_ours: str
) -> None:
    def admit(request: Request) -> words.Refused | None:
        return refusal if request.verb == "patch" and "/pods/" in request.path else None

    world.api.admission.append(admit)
    ended = call("run", SINGLE)
    assert (ended.exit_code, words_of_ours in ended.stderr) == (REFUSED, True)
    assert (world.names(), archived(folder, "resnet50v1-5-training")) == ([], [])


@pytest.mark.parametrize(
    ("refusal", "words_of_ours"),
    [
        (words.pod_security("x"), "Pod Security refuses"),
        (words.quota_demands("x"), "quota demands"),
    ],
)
def test_pods_that_may_never_be_created_end_the_wait(call: Call, world: World, refusal: words.Refused, words_of_ours: str) -> None:
    world.operator.pod_refusal = lambda name: refusal
    ended = call("run", MULTI)
    assert (ended.exit_code, words_of_ours in ended.stderr) == (REFUSED, True)
    assert world.names() == []
    assert world.host.monotonic() < 1000 + 60


def test_a_job_that_the_operator_refuses_ends_the_wait(call: Call, world: World, folder: Path) -> None:
    world.operator.refuses = "spec.mpiReplicaSpecs[Launcher].replicas: Invalid value: 2: must be 1"
    ended = call("run", MULTI)
    assert (ended.exit_code, "must be 1" in ended.stderr, world.names()) == (REFUSED, True, [])
    assert [record["exit_code"] for record in archived(folder)] == [REFUSED]


@pytest.mark.parametrize(("reason", "seconds"), [("InvalidImageName", 30), ("ErrImagePull", 900)])
def test_an_image_that_cannot_be_pulled_is_the_cause(call: Call, world: World, reason: str, seconds: float) -> None:
    waiting = {"waiting": {"reason": reason, "message": "no such image"}}
    status = {"phase": "Pending", "conditions": [], "containerStatuses": [{"name": "worker", "state": waiting}]}
    world.kubelet.stays = lambda pod: status
    ended = call("run", MULTI)
    assert ended.exit_code == REFUSED
    assert "the image cannot be pulled" in ended.stderr and "no such image" in ended.stderr
    assert 1000 + seconds - 31 < world.host.monotonic() < 1000 + seconds + 120


def test_a_wait_for_a_node_takes_no_longer_than_was_asked_for(call: Call, world: World) -> None:
    message = "0/3 nodes are available: 3 Insufficient memory."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    world.kubelet.stays = lambda pod: {"phase": "Pending", "conditions": [condition]}
    ended = call("run", MULTI, "--start-timeout", "100")
    assert ended.exit_code == REFUSED
    assert "not started within 100 s: no node has room" in ended.stderr and "Insufficient memory" in ended.stderr
    assert world.host.monotonic() < 1000 + 100 + 120


def test_an_operator_that_is_away_is_the_cause(call: Call, world: World) -> None:
    world.operator.alive = False
    ended = call("run", MULTI, "--start-timeout", "60")
    assert (ended.exit_code, "mpi-operator does not react" in ended.stderr, world.names()) == (REFUSED, True, [])


def test_the_time_in_a_queue_does_not_count(call: Call, world: World) -> None:
    world.programs.changes = {"    backoffLimit: 0\n": "    backoffLimit: 0\n    suspend: true\n"}

    def admit() -> None:
        for job in world.api.all("MPIJob"):
            world.api.change(job, lambda o: o["spec"]["runPolicy"].__setitem__("suspend", False))
        world.operator.act()

    world.host.after(5000, admit)
    ended = call("run", MULTI, "--start-timeout", "60")
    assert (ended.exit_code, ended.stderr.count("waiting: suspended")) == (0, 1)


# The server away


@pytest.mark.parametrize("answer", [answer for answer in ANSWERS if answer not in ("401", "403")])
def test_a_server_that_is_away_for_minutes_costs_nothing(call: Call, world: World, answer: str) -> None:
    world.kubelet.scripts = [TRAINS]
    faults = Scheduled([Window(6.0, 200.0, "all", answer)], [])
    world.wire.faults = faults
    world.host.after(0.5, lambda: faults.begin(world))
    ended = call("run", MULTI)
    assert (ended.exit_code, ended.stdout.splitlines()) == (0, LINES)


def test_a_server_that_stays_away_ends_following_and_not_the_training(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [ENDLESS]
    faults = Scheduled([Window(20.0, 1e6, "all", "no connection")], [])
    world.wire.faults = faults
    world.host.after(0.5, lambda: faults.begin(world))
    world.host.after(21, lambda: world.wire.hit(ConnectionResetError(104, "Connection reset by peer")))
    ended = call("run", MULTI)
    assert (ended.exit_code, "cannot reach the cluster" in ended.stderr) == (REFUSED, True)
    assert "mlops-launch logs -f resnet50v1-5 -n team" in ended.stderr
    assert [record["stopped_by"] for record in archived(folder)] == ["detached"]
    assert 1000 + 600 < world.host.monotonic() < 1000 + 800
    assert len(world.names("Pod")) == 3


def test_a_server_that_cannot_be_reached_at_first_is_said_at_once(call: Call, world: World) -> None:
    faults = Scheduled([Window(0.0, 1e6, "all", "no connection")], [])
    world.wire.faults = faults
    faults.begin(world)
    ended = call("run", MULTI)
    assert (ended.exit_code, "cannot reach the cluster at https://cluster.example.com:6443" in ended.stderr) == (REFUSED, True)
    assert world.host.monotonic() < 1000 + 5


def test_a_log_that_may_not_be_read_is_said_and_the_exit_code_is_the_trainings(call: Call, world: World, folder: Path) -> None:
    world.api.denied.add(("get", "pods/log"))
    ended = call("run", MULTI)
    assert (ended.exit_code, ended.stdout) == (0, "")
    assert "cannot be read" in ended.stderr and 'cannot get resource "pods/log"' in ended.stderr


def test_pods_that_may_not_be_listed_end_the_run_with_the_servers_words(call: Call, world: World) -> None:
    world.api.denied.add(("list", "pods"))
    ended = call("run", MULTI)
    assert (ended.exit_code, 'cannot list resource "pods"' in ended.stderr) == (REFUSED, True)
