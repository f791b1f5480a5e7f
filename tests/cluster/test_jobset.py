"""A JobSet does what the other kinds do: planned, run, followed, shown, diagnosed, restarted, stopped, deleted."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_launch.clients.process import Completed
from mlops_launch.commands.overlay.files import read_files
from mlops_launch.core.overlay.edits import Changes, goals_of
from mlops_launch.core.overlay.settle import settle
from mlops_launch.core.overlay.values import User
from mlops_launch.core.settings.model import Package
from mlops_launch.core.workload import kinds
from mlops_launch.core.workload.contracts import Address, Member, torchrun
from mlops_launch.core.workload.jobset import JobSet
from tests.cluster.conftest import Call, archived, run_folders
from tests.cluster.sim.jobset import KEY, JobSets
from tests.cluster.sim.nodes import OOM, Script
from tests.cluster.sim.scripts import ENDLESS, LINES, TRAINS, fails
from tests.cluster.sim.world import GOLDEN, NAMESPACE, SINGLE, World

Json = dict[str, Any]
NAME = "servers"
OVERLAY = "quickstart/k8s/mlops/servers"
SHIPPED = "quickstart/k8s/mlops/all-reduce"
PATCH = f"""\
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: {NAME}
spec:
  replicatedJobs:
  - name: worker
    replicas: 2
    template:
      spec:
        template:
          spec:
            containers:
            - name: worker
"""
SERVES = Script([(0.1, "server ready")], code=None)
LOST = Script([(1.0, "lost my peers")], code=255)


def rendered() -> list[Json]:
    """What the overlay renders: the Pod of the single-node overlay as two workers and a server that never ends by itself."""
    objects: list[Json] = list(yaml.safe_load_all((GOLDEN / f"{SINGLE.replace('/', '.')}.yaml").read_text()))
    for number, item in enumerate(objects):
        if item["kind"] != "Pod":
            continue

        def role(name: str, count: int, item: Json = item) -> Json:
            spec = copy.deepcopy(item["spec"])
            spec["containers"][0]["name"] = name
            permanent = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [*range(1, 128), 137]}}
            template = {"metadata": {"labels": item["metadata"]["labels"]}, "spec": spec}
            job = {"backoffLimit": 0, "podFailurePolicy": {"rules": [permanent]}, "template": template}
            return {"name": name, "replicas": count, "template": {"spec": job}}

        spec = {
            "coordinator": {"replicatedJob": "worker", "jobIndex": 0, "podIndex": 0},
            "successPolicy": {"operator": "All", "targetReplicatedJobs": ["worker"]},
            "failurePolicy": {
                "maxRestarts": 2, "restartStrategy": "BlockingRecreate",
                "rules": [{"name": "permanent", "action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}],
            },
            "replicatedJobs": [role("server", 1), role("worker", 2)],
        }  # fmt: skip
        metadata = {"name": NAME, "labels": {**item["metadata"]["labels"], "app.kubernetes.io/instance": NAME}}
        objects[number] = {"apiVersion": JobSet.api_version, "kind": "JobSet", "metadata": metadata, "spec": spec}
    return objects


@pytest.fixture
def controller(world: World) -> JobSets:
    world.kubelet.is_main = lambda pod: "-worker-0-" in pod["metadata"]["name"]  # type: ignore[method-assign]
    world.kubelet.worker = TRAINS
    for attempt in "bcd":
        world.kubelet.workers[f"{NAME}-server-0-0-{attempt}x2pq"] = SERVES
    return JobSets(world.host, world.api, world.times)


@pytest.fixture
def objects(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Json]:
    """What kubectl renders from the overlay; a test may change it."""
    found, others = rendered(), world.programs.run_together

    def run_together(*argvs: Sequence[str]) -> list[Completed]:
        version, built = argvs
        if str(built[-1]) != OVERLAY:
            return others(*argvs)
        asked = Completed(tuple(version), 0, json.dumps({"kustomizeVersion": "v5.8.0"}), "")
        return [asked, Completed(tuple(built), 0, yaml.safe_dump_all(found), "")]

    monkeypatch.setattr(world.programs, "run_together", run_together)
    return found


@pytest.fixture
def overlay(folder: Path, controller: JobSets, objects: list[Json]) -> str:
    """An overlay with a JobSet in the working directory."""
    single, made = folder / SINGLE, folder / OVERLAY
    made.mkdir()
    (made / "mlops.env").write_text((single / "mlops.env").read_text())
    text = (single / "kustomization.yaml").read_text()
    text = text.replace("path: pod-patch.yaml", "path: job-patch.yaml").replace(
        "version: v1\n    kind: Pod\n    name: resnet50v1-5-training",
        f"group: jobset.x-k8s.io\n    version: v1alpha2\n    kind: JobSet\n    name: {NAME}",
    )
    (made / "kustomization.yaml").write_text(text)
    (made / "job-patch.yaml").write_text(PATCH)
    return OVERLAY


def jobset_of(objects: list[Json]) -> Json:
    return next(item for item in objects if item["kind"] == "JobSet")


def pods_of(world: World) -> list[str]:
    return [name.removeprefix("Pod ") for name in world.names("Pod")]


def log_of(folder: Path, pod: str) -> list[str]:
    return (run_folders(folder, NAME)[-1] / "pods" / f"{pod}.log").read_text().splitlines()


def test_it_is_checked_with_its_own_fields(call: Call, overlay: str, objects: list[Json], folder: Path) -> None:
    (folder / overlay / "job-patch.yaml").write_text(PATCH.replace("    replicas: 2\n", "    replica: 2\n"))
    ended = call("check", overlay)
    assert [line for line in ended.stdout.splitlines() if line.startswith("error")] == [
        "error field-unknown job-patch.yaml:8 no such field: replica"
    ]


def test_it_is_edited_at_its_own_paths(overlay: str, folder: Path) -> None:
    files = read_files(Path(overlay))
    edited = next(settle(files, goals_of(files, Changes(user=User(1, 2, 3), workers=3, memory="2Gi"), Package(), None), None))
    changed = {name: text for name, text in edited.texts.items() if text != files.texts[name]}
    assert list(changed) == ["job-patch.yaml"]
    [worker] = yaml.safe_load(changed["job-patch.yaml"])["spec"]["replicatedJobs"]
    assert worker["replicas"] == 3
    assert worker["template"]["spec"]["template"]["spec"] == {
        "securityContext": {"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3},
        "containers": [{"name": "worker", "resources": {"limits": {"memory": "2Gi"}}}],
    }


def test_it_is_planned(call: Call, overlay: str, world: World) -> None:
    ended = call("run", overlay, "--dry-run")
    assert (ended.exit_code, world.api.requests) == (0, []), ended.stderr
    assert f"# 4. apply JobSet {NAME} in namespace {NAMESPACE} of context test" in ended.stdout.splitlines()


def test_it_runs_is_followed_and_recorded_with_the_logs_of_all_roles(call: Call, overlay: str, world: World, folder: Path) -> None:
    ended = call("run", overlay)
    assert (ended.exit_code, ended.stdout.splitlines()) == (0, LINES), ended.stderr
    [record] = archived(folder, NAME)
    assert (record["kind"], record["exit_code"], record["gaps"], record["result"]["top1"]) == ("JobSet", 0, [], 0.9)
    assert log_of(folder, f"{NAME}-worker-1-0-bx2pq") == LINES
    assert log_of(folder, f"{NAME}-server-0-0-bx2pq") == ["server ready"]
    world.host.run(60)
    assert [name for name in pods_of(world) if "-server-" in name] == []  # it has ended with the set


def test_its_end_is_not_its_chiefs_while_others_count(call: Call, overlay: str, world: World, folder: Path) -> None:
    world.kubelet.workers[f"{NAME}-worker-1-0-bx2pq"] = Script([(1.0, "slow"), (120.0, "late")], code=3)
    ended = call("run", overlay)
    assert ended.exit_code == 3
    assert archived(folder, NAME)[-1]["reason"] == f"pod {NAME}-worker-1-0-bx2pq ended with exit code 3"


def test_a_permanent_failure_of_another_pod_is_the_runs(call: Call, overlay: str, world: World, folder: Path) -> None:
    world.kubelet.scripts = [ENDLESS]
    world.kubelet.workers[f"{NAME}-worker-1-0-bx2pq"] = Script([(1.0, "no data")], code=66)
    ended = call("run", overlay, "--retries", "3")
    assert (ended.exit_code, len(archived(folder, NAME))) == (66, 1)
    assert archived(folder, NAME)[0]["reason"] == f"pod {NAME}-worker-1-0-bx2pq ended with exit code 66"
    assert world.api.all("JobSet")[0]["status"].get("restarts", 0) == 0


@pytest.mark.parametrize("code", [66, 143])
def test_its_exit_code_is_its_chiefs(call: Call, overlay: str, world: World, objects: list[Json], code: int) -> None:
    jobset_of(objects)["spec"]["failurePolicy"]["maxRestarts"] = 0
    world.kubelet.scripts = [fails(code)]
    assert call("run", overlay).exit_code == code


def test_a_lost_pod_starts_the_set_again_and_the_log_has_both_attempts(call: Call, overlay: str, world: World, folder: Path) -> None:
    world.kubelet.scripts = [LOST, TRAINS]
    world.kubelet.workers[f"{NAME}-worker-1-0-bx2pq"] = Script([(0.5, "first")], code=None)
    world.host.after(4.0, lambda: world.api.delete(world.api.get("Pod", f"{NAME}-worker-1-0-bx2pq") or {}))
    ended = call("run", overlay)
    assert (ended.exit_code, ended.stdout.splitlines()) == (0, ["lost my peers", *LINES])
    assert world.api.all("JobSet")[0]["status"]["restarts"] == 1
    assert log_of(folder, f"{NAME}-worker-1-0-bx2pq") == ["first"]
    assert log_of(folder, f"{NAME}-worker-1-0-cx2pq") == LINES
    assert [record["exit_code"] for record in archived(folder, NAME)] == [0]


def test_restarts_are_bounded_and_another_try_replaces_it(call: Call, overlay: str, world: World, folder: Path) -> None:
    world.kubelet.scripts = [LOST, LOST, LOST, TRAINS]
    ended = call("run", overlay, "--retries", "1")
    assert (ended.exit_code, [record["exit_code"] for record in archived(folder, NAME)]) == (0, [255, 0])


def test_a_pod_killed_for_memory_is_permanent(call: Call, overlay: str, world: World, folder: Path) -> None:
    world.kubelet.scripts = [ENDLESS]
    world.kubelet.workers[f"{NAME}-worker-1-0-bx2pq"] = Script([(1.0, "grows")], code=137, reason=OOM)
    ended = call("run", overlay, "--retries", "3")
    [record] = archived(folder, NAME)
    assert (ended.exit_code, record["out_of_memory"]) == (137, True)
    assert record["reason"].startswith(f"pod {NAME}-worker-1-0-bx2pq was killed for memory at its limit of ")


def test_its_time_limit_stops_all_its_pods(call: Call, overlay: str, world: World, folder: Path) -> None:
    world.kubelet.scripts = [ENDLESS]
    assert call("run", overlay, "--timeout", "20").exit_code == 124
    assert [record["exit_code"] for record in archived(folder, NAME)] == [143]
    world.host.run(60)
    assert pods_of(world) == []


def test_it_is_shown_and_its_log_followed_when_it_was_left(call: Call, overlay: str, world: World, folder: Path) -> None:
    assert call("run", overlay, "--detach").exit_code == 0
    world.host.run(3)
    lines = call("status", NAME, "-n", NAMESPACE).stdout.splitlines()
    assert lines[:3] == [f"job:       JobSet {NAME}", "namespace: team of context test", "state:     running"]
    assert "workers:   2 of 2 ready" in lines
    assert call("logs", "-f", NAME).stdout.splitlines() == LINES
    rows = [line.split()[:5] for line in call("ls", "--cluster").stdout.splitlines()[1:]]
    assert rows == [[NAMESPACE, NAME, "JobSet", "succeeded", "0"]]


def test_the_shipped_overlay_runs(call: Call, world: World, controller: JobSets, folder: Path) -> None:
    ended = call("run", SHIPPED)
    assert (ended.exit_code, ended.stdout.splitlines()) == (0, LINES), ended.stderr
    pods = [pod for pod in world.api.all("Pod") if pod["metadata"]["name"].startswith("all-reduce-worker-")]
    keys = {"RANK": "labels", "WORLD_SIZE": "labels", "MASTER_ADDR": "annotations"}
    told = []
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"])):
        entries = {entry["name"]: entry for entry in pod["spec"]["containers"][0]["env"]}
        paths = {name: entries[name]["valueFrom"]["fieldRef"]["fieldPath"] for name in keys}
        told.append({name: pod["metadata"][part][paths[name].partition("['")[2].rstrip("']")] for name, part in keys.items()})
        told[-1]["MASTER_PORT"] = entries["MASTER_PORT"]["value"]
    # What the controller tells the pods is what the contract says, and what a local run is given.
    group = {"worker": [Address(f"all-reduce-worker-{index}-0.all-reduce", 29500) for index in range(2)]}
    wanted = [torchrun(group, Member("worker", index)) for index in range(2)]
    assert told == [{name: value for name, value in each.items() if not name.startswith("LOCAL_")} for each in wanted]


@pytest.mark.parametrize("where", ["archive", "cluster"])
def test_the_log_of_one_pod_by_role_and_index(call: Call, overlay: str, world: World, where: str) -> None:
    call("run", overlay)
    place = ["-n", NAMESPACE] if where == "cluster" else []
    assert call("logs", NAME, *place, "--role", "worker", "--index", "1").stdout.splitlines() == LINES
    missing = call("logs", NAME, *place, "--role", "chief")
    assert (missing.exit_code, missing.stderr.splitlines()[0]) == (
        (1, "Error: no log of that role beside the run's own: chief")
        if where == "archive"
        else (2, f"Error: no role of that name in JobSet {NAME}: chief")
    )


def test_an_index_is_of_a_role(call: Call, overlay: str) -> None:
    ended = call("logs", NAME, "--index", "1")
    assert (ended.exit_code, ended.stderr) == (2, "Error: only with --role: --index\n\nhint: for instance `--role worker --index 1`\n")


def test_the_logs_of_a_role_are_followed_each_line_with_its_pods_name(call: Call, overlay: str, world: World) -> None:
    call("run", overlay, "--detach")
    world.host.run(4)
    lines = call("logs", NAME, "-n", NAMESPACE, "--role", "worker", "-f").stdout.splitlines()
    assert sorted(lines) == sorted(f"{NAME}-worker-{index}-0-bx2pq: {line}" for index in range(2) for line in LINES)


def test_the_logs_of_all_its_pods(call: Call, overlay: str, world: World) -> None:
    call("run", overlay, "--detach")
    world.host.run(6)
    lines = call("logs", NAME, "-n", NAMESPACE, "--all").stdout.splitlines()
    assert {line.split(":")[0] for line in lines} == {f"{NAME}-{pod}-bx2pq" for pod in ("server-0-0", "worker-0-0", "worker-1-0")}


@pytest.mark.parametrize(
    ("coordinator", "targets", "chief"),
    [
        ({"replicatedJob": "server"}, ["worker"], "server-0-0"),
        ({"replicatedJob": "worker", "jobIndex": 1}, ["worker"], "worker-1-0"),
        (None, ["worker"], "worker-0-0"),
        (None, None, "server-0-0"),
    ],
)
def test_the_chief_is_the_coordinator_or_the_first_of_the_role_that_success_waits_for(
    objects: list[Json], coordinator: Json | None, targets: list[str] | None, chief: str
) -> None:
    item = jobset_of(objects)
    item["spec"] |= {"coordinator": coordinator, "successPolicy": {"operator": "All", "targetReplicatedJobs": targets}}
    pods = [
        {"metadata": {"name": f"{role}-{job}-0", "labels": {f"{KEY}/replicatedjob-name": role, f"{KEY}/job-index": str(job)}}}
        for role, job in (("server", 0), ("worker", 0), ("worker", 1))
    ]
    assert [pod["metadata"]["name"] for pod in kinds.main_pods(item, pods)] == [chief]
    assert JobSet().roles(item)[0].name == chief.split("-")[0]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("exceeded quota: jobs", "the namespace's quota is used up: exceeded quota: jobs"),
        ("no such account", f"JobSet {NAME}: JobCreationFailed: no such account"),
    ],
)
def test_what_its_controller_says_is_why_it_waits(
    call: Call, overlay: str, world: World, controller: JobSets, message: str, text: str
) -> None:
    controller.refuses = message
    ended = call("run", overlay, "--start-timeout", "30")
    assert (ended.exit_code, f"not started within 30 s: {text}" in ended.stderr) == (125, True), ended.stderr


def test_silence_of_its_controller_is_told(call: Call, overlay: str, controller: JobSets) -> None:
    controller.alive = False
    ended = call("run", overlay, "--start-timeout", "30")
    assert ended.exit_code == 125
    assert "not started within 30 s: JobSet's controller does not react to the JobSet\n\nhint: is JobSet's controller" in ended.stderr


def test_a_suspended_one_waits_for_its_queue(call: Call, overlay: str, world: World, objects: list[Json]) -> None:
    jobset_of(objects)["spec"]["suspend"] = True
    call("run", overlay, "--detach")
    assert "state:     suspended" in call("status", NAME, "-n", NAMESPACE).stdout.splitlines()


@pytest.mark.parametrize("by", ["overlay", "name"])
def test_it_is_deleted_with_all_that_came_with_it(call: Call, overlay: str, world: World, by: str) -> None:
    world.kubelet.scripts = [ENDLESS]
    call("run", overlay, "--detach")
    world.host.run(5)
    assert len(pods_of(world)) == 3
    ended = call("delete", *([overlay] if by == "overlay" else [NAME, "-n", NAMESPACE]))
    assert (ended.exit_code, world.names()) == (0, []), ended.stderr


def test_a_finished_one_is_collected(call: Call, overlay: str, world: World) -> None:
    call("run", overlay)
    world.host.run(3 * 86400)
    ended = call("gc", "--older-than", "2d")
    assert (ended.exit_code, ended.stdout, world.names()) == (0, f"deleted JobSet {NAME} in namespace {NAMESPACE}\n", [])


Change = Callable[[Json], Any]


@pytest.mark.parametrize(
    ("change", "longest"),
    [
        (lambda worker: worker.update(replicas=11), f"{NAME}-worker-10-0-xxxxx"),
        (lambda worker: worker["template"]["spec"].update(parallelism=100), f"{NAME}-worker-1-99-xxxxx"),
        (lambda worker: worker.update(replicas="two"), f"{NAME}-server-0-0-xxxxx"),
    ],
)
def test_its_longest_pod_is_the_last_one(objects: list[Json], change: Change, longest: str) -> None:
    change(jobset_of(objects)["spec"]["replicatedJobs"][1])
    assert JobSet().longest_pod(kinds.find_workload(objects)) == longest
