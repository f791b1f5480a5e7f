"""A simulated kubelet, mpi-operator, Job controller and garbage collector: they listen to the server and act by the clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.sim.api import ApiServer, Kind
from tests.cluster.sim.clock import Simulation
from tests.cluster.sim.logs import ContainerLog

Json = dict[str, Any]
JOB_NAME, JOB_ROLE = "training.kubeflow.org/job-name", "training.kubeflow.org/job-role"
OOM = "OOMKilled"


@dataclass(frozen=True)
class Script:
    """What a container does.

    Args:
        lines: (seconds since the line before, text); it writes them.
        code: its exit code after the last line; None runs until it is asked to stop.
        reason: the kubelet's word for a code other than 0.
        saves: seconds from SIGTERM to its end with 143.
        whole: its last line has an end.
    """

    lines: Sequence[tuple[float, str]] = ()
    code: int | None = 0
    reason: str = "Error"
    saves: float = 1.0
    whole: bool = True


WORKER = Script([(0.1, "sshd listens on port 2222")], code=None, saves=0.1)


@dataclass
class Times:
    """How long things take, in seconds."""

    schedule: float = 0.2
    pull: float = 1.0
    ready: float = 0.5
    operator: float = 0.3
    controller: float = 0.2
    remove: float = 0.2
    collect: float = 0.2
    status: float = 0.05  # from a container's second start to the pod's status
    restart: float = 1.0  # from its end to its second start
    back_off: float = 10.0  # to the ones after that


@dataclass
class Running:
    """A container that runs."""

    pod: Json
    script: Script
    log: ContainerLog
    alive: bool = True
    asked: bool = False


class Kubelet:
    """Runs pods by their scripts.

    Args:
        scripts: of the pods that train, in the order of their containers' starts; the last one for all that follow.
    """

    def __init__(self, host: Simulation, api: ApiServer, times: Times) -> None:
        self.host, self.api, self.times = host, api, times
        self.scripts: list[Script] = [Script()]
        self.worker = WORKER
        self.workers: dict[str, Script] = {}  # by the pod's name
        self.stays: Callable[[Json], Json | None] = lambda pod: None  # the status of a pod that does not start
        self.running: dict[str, Running] = {}  # by pod uid
        self.started = 0
        self.alive = True
        self.logs: list[ContainerLog] = []  # of the containers that train, in the order of their starts
        self.codes: list[int] = []  # their exit codes
        api.listeners.append(self._hear)

    def is_main(self, pod: Json) -> bool:
        return (pod["metadata"].get("labels") or {}).get(JOB_ROLE) != "worker" and pod["spec"]["containers"][0]["name"] != "reader"

    def _hear(self, event: str, kind: Kind, item: Json) -> None:
        if kind.kind != "Pod":
            return
        if event == "ADDED":
            self.host.after(self.times.schedule, lambda: self._schedule(item))
        elif event == "MODIFIED" and item["metadata"].get("deletionTimestamp"):
            self.host.after(0, lambda: self._terminate(item))
        elif event == "DELETED" and item["metadata"]["uid"] in self.running:
            self.kill(item, 137, remove=False)

    def _schedule(self, pod: Json) -> None:
        found = self.api.objects.get(self.api.path_of(pod))
        if found is None or found["metadata"].get("deletionTimestamp") or not self.alive:
            return
        status = self.stays(found)
        if status is not None:
            self.api.change(pod, lambda o: o.__setitem__("status", status))
            self.host.after(1.0, lambda: self._schedule(pod))
            return

        def place(o: Json) -> None:
            o["spec"]["nodeName"] = "node-1"
            waiting = {"waiting": {"reason": "ContainerCreating"}}
            name = o["spec"]["containers"][0]["name"]
            conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}]
            o["status"] = {"phase": "Pending", "conditions": conditions, "containerStatuses": [{"name": name, "state": waiting}]}

        self.api.change(pod, place)
        self.host.after(self.times.pull, lambda: self.start(pod))

    def start(self, pod: Json, restarts: int = 0) -> None:
        """Start the container of a pod."""
        found = self.api.objects.get(self.api.path_of(pod))
        uid = pod["metadata"]["uid"]
        if found is None or found["metadata"]["uid"] != uid or found["metadata"].get("deletionTimestamp"):
            return
        if found["status"]["phase"] in ("Succeeded", "Failed"):
            return
        if uid in self.api.logs:
            self.api.previous_logs[uid] = self.api.logs[uid]
        script = self.workers.get(pod["metadata"]["name"], self.worker)
        log = self.api.logs[uid] = ContainerLog(self.host)
        if self.is_main(pod):
            script = self.scripts[min(self.started, len(self.scripts) - 1)]
            self.started += 1
            self.logs.append(log)
        running = self.running[uid] = Running(pod, script, log)

        def run(o: Json) -> None:
            status = o["status"]["containerStatuses"][0]
            if "terminated" in status["state"]:
                status["lastState"] = status["state"]
            status["state"], status["restartCount"] = {"running": {"startedAt": self.api.stamp()}}, restarts
            o["status"]["phase"] = "Running"

        if restarts:
            self.host.after(self.times.status, lambda: running.alive and self.api.change(pod, run))
        else:
            self.api.change(pod, run)
        self.host.after(self.times.ready, lambda: self._ready(running))
        self._write(running, 0)

    def _ready(self, running: Running) -> None:
        if running.alive:
            self.api.change(running.pod, lambda o: o["status"]["conditions"].__setitem__(1, {"type": "Ready", "status": "True"}))

    def _write(self, running: Running, number: int) -> None:
        script = running.script

        def line() -> None:
            if running.alive:
                running.log.write(script.lines[number][1])
                self._write(running, number + 1)

        def end() -> None:
            if running.alive and not running.asked:
                self.exit(running, int(script.code or 0), script.reason)

        if number < len(script.lines):
            self.host.after(script.lines[number][0], line)
        elif script.code is not None:
            self.host.after(0.05, end)

    def exit(self, running: Running, code: int, reason: str = "Error") -> None:
        """End a container."""
        running.alive = False
        if self.is_main(running.pod):
            self.codes.append(code)
        running.log.ended, running.log.whole = True, running.script.whole
        pod = running.pod

        def end(o: Json) -> None:
            status = o["status"]["containerStatuses"][0]
            began = (status["state"].get("running") or {}).get("startedAt")
            word = "Completed" if code == 0 else reason
            status["state"] = {"terminated": {"exitCode": code, "reason": word, "startedAt": began, "finishedAt": self.api.stamp()}}
            o["status"]["conditions"][1] = {"type": "Ready", "status": "False"}
            if not restarts:
                o["status"]["phase"] = "Failed" if code else "Succeeded"

        policy = pod["spec"].get("restartPolicy", "Always")
        restarts = policy == "OnFailure" and code != 0 and not running.asked
        self.api.change(pod, end)
        if restarts:
            count = int(self.api.objects[self.api.path_of(pod)]["status"]["containerStatuses"][0].get("restartCount", 0)) + 1
            if count > 1:
                self.host.after(0.5, lambda: self._back_off(running))
            self.host.after(self.times.restart if count == 1 else self.times.back_off, lambda: self.start(pod, count))
        role = (pod["metadata"].get("labels") or {}).get(JOB_ROLE)
        if role == "worker" and code and not running.asked:  # one that is asked to stop keeps its ranks until they have saved
            self._lose_worker(pod)

    def _back_off(self, running: Running) -> None:
        def wait(o: Json) -> None:
            status = o["status"]["containerStatuses"][0]
            if "terminated" in status["state"] and o["status"]["phase"] == "Running":
                status["lastState"], status["state"] = status["state"], {"waiting": {"reason": "CrashLoopBackOff"}}

        self.api.change(running.pod, wait)

    def _lose_worker(self, worker: Json) -> None:
        """What mpirun does: it ends with 255."""
        name = worker["metadata"]["labels"][JOB_NAME]
        for running in list(self.running.values()):
            labels = running.pod["metadata"].get("labels") or {}
            if running.alive and labels.get(JOB_NAME) == name and labels.get(JOB_ROLE) == "launcher":
                self.host.after(0.5, lambda running=running: running.alive and self.exit(running, 255))  # type: ignore[misc]

    def kill(self, pod: Json, code: int = 137, reason: str = "Error", remove: bool = True) -> None:
        """Kill a pod's container."""
        running = self.running.get(pod["metadata"]["uid"])
        if running is not None and running.alive:
            self.exit(running, code, reason)

    def evict(self, pod: Json) -> None:
        """Evict a pod: killed, and marked as failed."""
        self.kill(pod)
        message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 12Mi."
        self.api.change(pod, lambda o: o["status"].update({"phase": "Failed", "reason": "Evicted", "message": message}))

    def _terminate(self, pod: Json) -> None:
        running = self.running.get(pod["metadata"]["uid"])
        if running is None or not running.alive:
            self.host.after(self.times.remove, lambda: self.api.remove(pod))
            return
        if running.asked or not self.alive:
            return
        running.asked = True
        grace = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
        saves = running.script.saves
        code, seconds = (143, saves) if saves <= grace else (137, grace)

        def end() -> None:
            if running.alive:
                self.exit(running, code)
            self.host.after(self.times.remove, lambda: self.api.remove(pod))

        self.host.after(seconds, end)


class Collector:
    """Removes what owners leave, and owners whose finalizer waits for that."""

    def __init__(self, host: Simulation, api: ApiServer, times: Times) -> None:
        self.host, self.api, self.times = host, api, times
        self._planned = False
        api.listeners.append(self._hear)

    def _hear(self, event: str, kind: Kind, item: Json) -> None:
        if event == "DELETED" or item["metadata"].get("deletionTimestamp"):
            if not self._planned:
                self._planned = True
                self.host.after(self.times.collect, self._collect)

    def _collect(self) -> None:
        self._planned = False
        uids = {o["metadata"]["uid"]: o for o in self.api.objects.values()}
        for item in list(self.api.objects.values()):
            owners = [owner["uid"] for owner in item["metadata"].get("ownerReferences") or []]
            leaving = [uids.get(uid) for uid in owners]
            if owners and all(o is None or o["metadata"].get("deletionTimestamp") for o in leaving):
                if not item["metadata"].get("deletionTimestamp"):
                    self.api.delete(item, "Foreground" if item["kind"] == "Job" and any(leaving) else "Background")
        for item in list(self.api.objects.values()):
            if "foregroundDeletion" in item["metadata"].get("finalizers", ()):
                mine = [o for o in self.api.objects.values() if item["metadata"]["uid"] in _owners(o)]
                if not mine:
                    self.api.remove(item)


def _owners(item: Json) -> list[str]:
    return [owner["uid"] for owner in item["metadata"].get("ownerReferences") or []]


@dataclass
class Operator:
    """mpi-operator and the Job controller.

    Args:
        alive: whether it acts.
        refuses: a validation error that it finds in every MPIJob.
    """

    host: Simulation
    api: ApiServer
    times: Times
    alive: bool = True
    refuses: str | None = None
    pod_refusal: Callable[[str], Any] | None = None  # admission of pods that the operator creates
    retries: int = 0
    _said: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.api.listeners.append(self._hear)

    def _hear(self, event: str, kind: Kind, item: Json) -> None:
        if kind.kind in ("MPIJob", "Pod", "Job") and event != "DELETED" or kind.kind == "Pod":
            self.host.after(self.times.operator, self.act)

    def act(self) -> None:
        """Look at every MPIJob, as a controller does."""
        if self.alive:
            for job in self.api.all("MPIJob"):
                if not job["metadata"].get("deletionTimestamp"):
                    self._reconcile(job)

    def _reconcile(self, job: Json) -> None:
        if any(c["type"] in ("Succeeded", "Failed") and c["status"] == "True" for c in (job.get("status") or {}).get("conditions", [])):
            return
        name, namespace, uid = job["metadata"]["name"], job["metadata"]["namespace"], job["metadata"]["uid"]
        if self.refuses is not None:
            if (uid, "refused") not in self._said:
                self._said.add((uid, "refused"))
                self.api.event(job, "ValidationError", self.refuses)
            return
        if job["spec"]["runPolicy"].get("suspend"):
            self._condition(job, "Suspended", "MPIJob is suspended.")
            return
        self._condition(job, "Created", f"MPIJob {namespace}/{name} is created.")
        workers = self._workers(job)
        launcher = self.api.get("Job", f"{name}-launcher", namespace)
        if launcher is None:
            if len(workers) == int(job["spec"]["mpiReplicaSpecs"]["Worker"].get("replicas", 1)) and all(map(is_ready, workers)):
                launcher = self._child(job, "Job", f"{name}-launcher", {})
                self.host.after(self.times.controller, lambda: self._launcher_pod(job, launcher, 0))
            return
        pods = [pod for pod in self.api.all("Pod", namespace) if launcher["metadata"]["uid"] in _owners(pod)]
        if any(pod["status"].get("phase") == "Running" for pod in pods if "status" in pod):
            self._condition(job, "Running", f"MPIJob {namespace}/{name} is running.")
        self._judge(job, launcher, pods)

    def _judge(self, job: Json, launcher: Json, pods: list[Json]) -> None:
        phases = [str((pod.get("status") or {}).get("phase")) for pod in pods]
        if "Succeeded" in phases:
            self._finish(job, "Succeeded", f"MPIJob {job['metadata']['namespace']}/{job['metadata']['name']} successfully completed.")
            return
        started = int((launcher.get("status") or {}).get("started", 0))
        if not started or any(phase not in ("Failed",) for phase in phases):
            return
        if phases and not any(pod["metadata"].get("deletionTimestamp") is None for pod in pods) and False:
            return
        if started > self.retries:
            self._finish(job, "Failed", "Job has reached the specified backoff limit")
        elif (launcher["metadata"]["uid"], str(started)) not in self._said:
            self._said.add((launcher["metadata"]["uid"], str(started)))
            self.host.after(10.0, lambda: self._launcher_pod(job, launcher, started))

    def _finish(self, job: Json, word: str, message: str) -> None:
        self._condition(job, word, message, completionTime=self.api.stamp())
        for pod in self._workers(job):  # cleanPodPolicy: Running
            if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
                self.api.delete(pod)

    def _workers(self, job: Json) -> list[Json]:
        name, namespace, uid = job["metadata"]["name"], job["metadata"]["namespace"], job["metadata"]["uid"]
        count = int(job["spec"]["mpiReplicaSpecs"]["Worker"].get("replicas", 1))
        found = []
        if self.api.get("ConfigMap", f"{name}-config", namespace) is None:
            for kind, called in (("ConfigMap", f"{name}-config"), ("Secret", f"{name}-ssh"), ("Service", name)):
                if self.api.get(kind, called, namespace) is None:
                    self._child(job, kind, called, {})
        for number in range(count):
            pod = self.api.get("Pod", f"{name}-worker-{number}", namespace)
            if pod is None and self.api.get("Job", f"{name}-launcher", namespace) is None:
                pod = self._pod(job, uid, "MPIJob", f"{name}-worker-{number}", "Worker", "worker")
            found += [pod] if pod else []
        return found

    def _launcher_pod(self, job: Json, launcher: Json, number: int) -> None:
        owner = self.api.objects.get(self.api.path_of(launcher))
        if owner is None or owner["metadata"].get("deletionTimestamp"):
            return
        pod = self._pod(
            job, owner["metadata"]["uid"], "Job", f"{launcher['metadata']['name']}-{'bcdfg'[number % 5]}x2pq", "Launcher", "launcher"
        )
        if pod is not None:
            self.api.change(launcher, lambda o: o.setdefault("status", {}).__setitem__("started", number + 1))

    def _pod(self, job: Json, owner: str, kind: str, name: str, replica: str, role: str) -> Json | None:
        if self.pod_refusal is not None:
            refusal = self.pod_refusal(name)
            if refusal is not None:
                if (name, "refused") not in self._said:
                    self._said.add((name, "refused"))
                    import json

                    self.api.event(job, "FailedCreate", f"Error creating: {json.loads(refusal.body)['message']}")
                return None
        template = job["spec"]["mpiReplicaSpecs"][replica]["template"]
        labels = {**template["metadata"]["labels"], JOB_NAME: job["metadata"]["name"], JOB_ROLE: role}
        spec = {**template["spec"], "restartPolicy": job["spec"]["mpiReplicaSpecs"][replica].get("restartPolicy", "Never")}
        references = [{"apiVersion": "v1", "kind": kind, "name": job["metadata"]["name"], "uid": owner, "controller": True}]
        metadata = {"name": name, "namespace": job["metadata"]["namespace"], "labels": labels, "ownerReferences": references}
        return self.api.create({"kind": "Pod", "metadata": metadata, "spec": spec})

    def _child(self, job: Json, kind: str, name: str, more: Json) -> Json:
        references = [
            {"apiVersion": "v1", "kind": "MPIJob", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"], "controller": True}
        ]
        metadata = {"name": name, "namespace": job["metadata"]["namespace"], "ownerReferences": references}
        return self.api.create({"kind": kind, "metadata": metadata, **more})

    def _condition(self, job: Json, word: str, message: str, **status: str) -> None:
        def set_it(o: Json) -> None:
            conditions = o.setdefault("status", {}).setdefault("conditions", [])
            if not any(c["type"] == word and c["status"] == "True" for c in conditions):
                if word in ("Succeeded", "Failed"):
                    for condition in conditions:
                        condition.update({"status": "False"} if condition["type"] == "Running" else {})
                conditions.append({"type": word, "status": "True", "message": message, "lastTransitionTime": self.api.stamp()})
                o["status"].update(status)

        self.api.change(job, set_it)


def is_ready(pod: Json) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in (pod.get("status") or {}).get("conditions", []))
