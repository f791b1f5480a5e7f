"""A kind that only its own file knows does all that the others do: planned, run, followed, shown, diagnosed, stopped, deleted."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
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
from tests.cluster.conftest import Call, archived
from tests.cluster.sim.api import Kind
from tests.cluster.sim.scripts import ENDLESS, LINES, TRAINS, fails
from tests.cluster.sim.world import GOLDEN, MULTI, NAMESPACE, SINGLE, World
from tests.cluster.third_kind import BatchJob

Json = dict[str, Any]
NAME = "resnet50v1-5-training"
OVERLAY = "quickstart/k8s/mlops/job"
PATCH = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: resnet50v1-5-training
spec:
  template:
    spec:
      containers:
      - name: training
"""


class Controller:
    """The Job controller for Jobs with one pod."""

    def __init__(self, world: World) -> None:
        self.world, self.api = world, world.api
        self.refuses: str | None = None  # why pods may not be created
        self.alive = True
        self.api.listeners.append(self._hear)

    def _hear(self, event: str, kind: Kind, item: Json) -> None:
        if kind.kind in ("Job", "Pod"):
            self.world.host.after(self.world.times.controller, self.act)

    def act(self) -> None:
        for job in self.api.all("Job") if self.alive else ():
            if "ownerReferences" not in job["metadata"] and not job["metadata"].get("deletionTimestamp"):
                self._reconcile(job)

    def _reconcile(self, job: Json) -> None:
        status = job.get("status") or {}
        if status.get("conditions") or job["spec"].get("suspend"):
            return
        uid = job["metadata"]["uid"]
        mine = [pod for pod in self.api.all("Pod") if uid in [o["uid"] for o in pod["metadata"].get("ownerReferences") or []]]
        if not mine and not status.get("started"):
            self._start(job)
            return
        phase = (mine[0].get("status") or {}).get("phase") if mine else "Failed"
        if phase in ("Succeeded", "Failed"):
            self._end(job, "Complete" if phase == "Succeeded" else "Failed")
        elif phase == "Running":
            self.api.change(job, lambda o: o["status"].__setitem__("ready", 1))

    def _start(self, job: Json) -> None:
        if self.refuses is not None:
            if job["metadata"]["uid"] not in [event["involvedObject"]["uid"] for event in self.api.all("Event")]:
                self.api.event(job, "FailedCreate", self.refuses)
            return
        metadata, template = job["metadata"], job["spec"]["template"]
        labels = {**template["metadata"]["labels"], BatchJob.pod_label: metadata["name"]}
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
        self.api.change(job, lambda o: o.setdefault("status", {}).__setitem__("started", 1))
        pod = {"name": f"{metadata['name']}-x2vbq", "namespace": metadata["namespace"], "labels": labels, "ownerReferences": [owner]}
        self.api.create({"kind": "Pod", "metadata": pod, "spec": template["spec"]})

    def _end(self, job: Json, word: str) -> None:
        def end(o: Json) -> None:
            o["status"]["conditions"] = [{"type": word, "status": "True", "lastTransitionTime": self.api.stamp()}]
            if word == "Complete":
                o["status"]["completionTime"] = self.api.stamp()

        self.api.change(job, end)


def rendered(**spec: Any) -> list[Json]:
    """What the overlay renders: the Pod of the single-node overlay as the template of a Job."""
    objects: list[Json] = list(yaml.safe_load_all((GOLDEN / f"{SINGLE.replace('/', '.')}.yaml").read_text()))
    for number, item in enumerate(objects):
        if item["kind"] == "Pod":
            template = {"metadata": {"labels": item["metadata"]["labels"]}, "spec": item["spec"]}
            body = {"backoffLimit": 0, "template": template, **spec}
            objects[number] = {"apiVersion": "batch/v1", "kind": "Job", "metadata": copy.deepcopy(item["metadata"]), "spec": body}
    return objects


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "KINDS", (*kinds.KINDS, BatchJob()))


@pytest.fixture
def controller(world: World) -> Controller:
    return Controller(world)


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
def overlay(folder: Path, controller: Controller, objects: list[Json]) -> str:
    """An overlay with a Job in the working directory."""
    single, made = folder / SINGLE, folder / OVERLAY
    made.mkdir()
    (made / "mlops.env").write_text((single / "mlops.env").read_text())
    text = (single / "kustomization.yaml").read_text()
    text = text.replace("path: pod-patch.yaml", "path: job-patch.yaml").replace("version: v1\n    kind: Pod", "version: v1\n    kind: Job")
    (made / "kustomization.yaml").write_text(text)
    (made / "job-patch.yaml").write_text(PATCH)
    return OVERLAY


def job_of(objects: list[Json]) -> Json:
    return next(item for item in objects if item["kind"] == "Job")


def test_it_is_checked_with_its_own_fields_and_paths(call: Call, overlay: str, objects: list[Json], folder: Path) -> None:
    patch = folder / overlay / "job-patch.yaml"
    patch.write_text(PATCH.replace("spec:\n  template", "spec:\n  backofLimit: 0\n  template", 1))
    del job_of(objects)["spec"]["template"]["spec"]["securityContext"]["fsGroup"]
    ended = call("check", overlay)
    assert [line for line in ended.stdout.splitlines() if line.startswith("error")] == [
        "error field-unknown job-patch.yaml:6 no such field: backofLimit",
        "error user-missing job-patch.yaml:8 Main has no `fsGroup`",
    ]


def test_it_is_edited_at_its_own_paths(overlay: str, folder: Path) -> None:
    files = read_files(Path(overlay))
    edited = next(settle(files, goals_of(files, Changes(user=User(1, 2, 3), memory="2Gi"), Package(), None), None))
    changed = {name: text for name, text in edited.texts.items() if text != files.texts[name]}
    assert list(changed) == ["job-patch.yaml"]
    assert yaml.safe_load(changed["job-patch.yaml"])["spec"]["template"]["spec"] == {
        "securityContext": {"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3},
        "containers": [{"name": "training", "resources": {"limits": {"memory": "2Gi"}}}],
    }


def test_it_is_planned(call: Call, overlay: str, world: World) -> None:
    ended = call("run", overlay, "--dry-run")
    assert (ended.exit_code, world.api.requests) == (0, [])
    assert f"# 4. apply Job {NAME} in namespace {NAMESPACE} of context test" in ended.stdout.splitlines()


def test_it_runs_is_followed_and_recorded(call: Call, overlay: str, world: World, folder: Path) -> None:
    ended = call("run", overlay)
    assert (ended.exit_code, ended.stdout.splitlines()) == (0, LINES)
    [record] = archived(folder, NAME)
    assert (record["kind"], record["exit_code"], record["gaps"], record["result"]["top1"]) == ("Job", 0, [], 0.9)
    assert record["uid"] == world.api.all("Job")[0]["metadata"]["uid"]


@pytest.mark.parametrize("code", [66, 143])
def test_its_exit_code_is_its_pods(call: Call, overlay: str, world: World, code: int) -> None:
    world.kubelet.scripts = [fails(code)]
    assert call("run", overlay).exit_code == code


def test_another_try_replaces_it(call: Call, overlay: str, world: World, folder: Path) -> None:
    world.kubelet.scripts = [fails(255), TRAINS]
    ended = call("run", overlay, "--retries", "1")
    assert (ended.exit_code, [record["exit_code"] for record in archived(folder, NAME)]) == (0, [255, 0])
    assert len(world.api.all("Job")) == 1


def test_its_time_limit_stops_its_pod(call: Call, overlay: str, world: World, folder: Path) -> None:
    world.kubelet.scripts = [ENDLESS]
    assert call("run", overlay, "--timeout", "20").exit_code == 124
    assert [record["exit_code"] for record in archived(folder, NAME)] == [143]


def test_it_is_shown_and_its_log_followed_when_it_was_left(call: Call, overlay: str, world: World, folder: Path) -> None:
    assert call("run", overlay, "--detach").exit_code == 0
    world.host.run(3)
    ended = call("status", NAME, "-n", NAMESPACE)
    assert ended.stdout.splitlines()[:3] == [f"job:       Job {NAME}", "namespace: team of context test", "state:     running"]
    assert call("logs", "-f", NAME).stdout.splitlines() == LINES
    rows = [line.split()[:5] for line in call("ls", "--cluster").stdout.splitlines()[1:]]
    assert rows == [[NAMESPACE, NAME, "Job", "succeeded", "0"]]
    status = json.loads(call("status", NAME, "-n", NAMESPACE, "--json").stdout)
    assert (status["kind"], status["state"], status["exit_code"], status["workers"]) == ("Job", "succeeded", 0, {})


def test_pods_of_it_are_not_jobs_of_their_own(call: Call, overlay: str, world: World) -> None:
    assert call("run", overlay).exit_code == call("run", MULTI).exit_code == 0
    rows = sorted(line.split()[1:3] for line in call("ls", "--cluster").stdout.splitlines()[1:])
    assert rows == [["resnet50v1-5", "MPIJob"], [NAME, "Job"]]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("exceeded quota: gpus", "the namespace's quota is used up: exceeded quota: gpus"),
        ("no such account", f"Job {NAME}: FailedCreate: no such account"),
    ],
)
def test_what_its_controller_says_is_why_it_waits(
    call: Call, overlay: str, world: World, controller: Controller, message: str, text: str
) -> None:
    controller.refuses = message
    call("run", overlay, "--detach")
    world.host.run(5)
    assert f"waiting:   {text}" in call("status", NAME, "-n", NAMESPACE).stdout.splitlines()
    ended = call("run", overlay, "--replace", "--start-timeout", "30")
    assert (ended.exit_code, f"not started within 30 s: {text}" in ended.stderr) == (125, True), ended.stderr


def test_silence_of_its_controller_is_told_in_its_own_words(call: Call, overlay: str, controller: Controller) -> None:
    controller.alive = False
    ended = call("run", overlay, "--start-timeout", "30")
    assert ended.exit_code == 125
    assert "not started within 30 s: the Job controller has not created a pod\n\nhint: is kube-controller-manager up?" in ended.stderr


def test_a_suspended_one_waits_for_its_queue(call: Call, overlay: str, world: World, objects: list[Json]) -> None:
    job_of(objects)["spec"]["suspend"] = True
    call("run", overlay, "--detach")
    assert "state:     suspended" in call("status", NAME, "-n", NAMESPACE).stdout.splitlines()


@pytest.mark.parametrize("by", ["overlay", "name"])
def test_it_is_deleted_with_all_that_came_with_it(call: Call, overlay: str, world: World, by: str) -> None:
    world.kubelet.scripts = [ENDLESS]
    call("run", overlay, "--detach")
    world.host.run(5)
    assert len(world.names("Pod")) == 1
    ended = call("delete", *([overlay] if by == "overlay" else [NAME, "-n", NAMESPACE]))
    assert (ended.exit_code, world.names()) == (0, []), ended.stderr


def test_a_finished_one_is_collected(call: Call, overlay: str, world: World) -> None:
    call("run", overlay)
    world.host.run(3 * 86400)
    ended = call("gc", "--older-than", "2d")
    assert (ended.exit_code, ended.stdout, world.names()) == (0, f"deleted Job {NAME} in namespace {NAMESPACE}\n", [])
