"""JobSet's controller, as of v0.12, and the Job controller for its Jobs: roles, indices, failure and success policies, restarts."""

from __future__ import annotations

from typing import Any

from tests.cluster.sim.api import ApiServer, Kind
from tests.cluster.sim.clock import Simulation
from tests.cluster.sim.nodes import Times, is_ready

Json = dict[str, Any]
JOBSET = Kind("jobset.x-k8s.io/v1alpha2", "JobSet", "jobsets")
KEY = "jobset.sigs.k8s.io"
JOB_NAME, POD_INDEX = "batch.kubernetes.io/job-name", "batch.kubernetes.io/job-completion-index"


class JobSets:
    """Acts on every JobSet and every Job of one."""

    def __init__(self, host: Simulation, api: ApiServer, times: Times) -> None:
        self.host, self.api, self.times = host, api, times
        self.alive = True
        self.refuses: str | None = None  # why Jobs may not be created
        self.ends: dict[str, int] = {}  # exit codes by pod uid: the Job controller's finalizer keeps a pod until it has seen them
        api.kinds.append(JOBSET)
        api.listeners.append(self._hear)

    def _hear(self, event: str, kind: Kind, item: Json) -> None:
        if kind.kind == "Pod":
            statuses = (item.get("status") or {}).get("containerStatuses") or [{}]
            ended = (statuses[0].get("state") or {}).get("terminated")
            if ended is not None:
                self.ends[item["metadata"]["uid"]] = ended["exitCode"]
            elif event == "DELETED":
                self.ends.setdefault(item["metadata"]["uid"], 137)
        if kind.kind in ("JobSet", "Job", "Pod"):
            self.host.after(self.times.controller, self.act)

    def act(self) -> None:
        if not self.alive:
            return
        for job in self.api.all("Job"):
            if KEY + "/jobset-name" in (job["metadata"].get("labels") or {}) and not job["metadata"].get("deletionTimestamp"):
                self._reconcile_job(job)
        for item in self.api.all("JobSet"):
            if not item["metadata"].get("deletionTimestamp"):
                self._reconcile(item)

    # The Job controller

    def _reconcile_job(self, job: Json) -> None:
        status, spec = job.get("status") or {}, job["spec"]
        if status.get("conditions") or spec.get("suspend"):
            return
        count, pods = int(spec.get("parallelism", 1)), status.get("pods") or []
        if len(pods) < count:
            pods = [self._pod(job, index)["metadata"]["uid"] for index in range(count)]
            self.api.change(job, lambda o: o.setdefault("status", {}).__setitem__("pods", pods))
            return
        codes = [self.ends.get(uid) for uid in pods]
        failed = [code for code in codes if code]
        if failed:
            self._end_job(job, "Failed", "PodFailurePolicy" if _is_permanent(spec, failed[0]) else "BackoffLimitExceeded")
        elif all(code == 0 for code in codes):
            self._end_job(job, "Complete", "CompletionsReached")
        else:
            alive = [pod for pod in self.api.all("Pod") if pod["metadata"]["uid"] in pods]
            ready = sum(map(is_ready, alive))
            self.api.change(job, lambda o: o["status"].__setitem__("ready", ready))

    def _pod(self, job: Json, index: int) -> Json:
        template, metadata = job["spec"]["template"], job["metadata"]
        name = f"{metadata['name']}-{index}"
        labels = {**template["metadata"]["labels"], JOB_NAME: metadata["name"], POD_INDEX: str(index)}
        attempt = int(labels[f"{KEY}/restart-attempt"])
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
        found = {"name": f"{name}-{'bcdfg'[attempt]}x2pq", "namespace": metadata["namespace"], "labels": labels, "ownerReferences": [owner]}
        found["annotations"] = template["metadata"].get("annotations") or {}
        return self.api.create({"kind": "Pod", "metadata": found, "spec": {**template["spec"], "hostname": name}})

    def _end_job(self, job: Json, word: str, reason: str) -> None:
        condition = {"type": word, "status": "True", "reason": reason, "lastTransitionTime": self.api.stamp()}
        self.api.change(job, lambda o: o["status"].__setitem__("conditions", [condition]))

    # JobSet's controller

    def _reconcile(self, item: Json) -> None:
        spec, status = item["spec"], item.get("status") or {}
        mine = [job for job in self.api.all("Job") if item["metadata"]["uid"] in _owners(job)]
        now = int(status.get("restarts", 0))
        current = [job for job in mine if int(job["metadata"]["labels"][f"{KEY}/restart-attempt"]) == now]
        if _word(item):
            for job in current:
                if not _word(job):
                    self.api.delete(job, "Foreground")
            return
        for job in mine:
            if job not in current and not job["metadata"].get("deletionTimestamp"):
                self.api.delete(job, "Foreground")
        self._count(item, current)
        failed = [job for job in current if _word(job) == "Failed"]
        complete = [job for job in current if _word(job) == "Complete"]
        targets = (spec.get("successPolicy") or {}).get("targetReplicatedJobs") or [role["name"] for role in spec["replicatedJobs"]]
        wanted = sum(int(role.get("replicas", 1)) for role in spec["replicatedJobs"] if role["name"] in targets)
        if (spec.get("successPolicy") or {}).get("operator") == "Any":
            wanted = 1
        if failed:
            self._fail(item, failed, now)
        elif complete and len([job for job in complete if job["metadata"]["labels"][f"{KEY}/replicatedjob-name"] in targets]) >= wanted:
            self._condition(item, "Completed", "AllJobsCompleted", "jobset completed successfully")
        else:
            self._create(item, mine, now)

    def _count(self, item: Json, jobs: list[Json]) -> None:
        found = []
        for role in item["spec"]["replicatedJobs"]:
            own = [job for job in jobs if job["metadata"]["labels"][f"{KEY}/replicatedjob-name"] == role["name"]]
            ready = sum((job.get("status") or {}).get("ready", 0) >= job["spec"].get("parallelism", 1) for job in own if not _word(job))
            words = [_word(job) for job in own]
            found.append({"name": role["name"], "ready": ready, "succeeded": words.count("Complete"), "failed": words.count("Failed")})
        if any(role["ready"] for role in found):
            self._unset(item, "RestartingJobSet")
        self.api.change(item, lambda o: o.setdefault("status", {}).__setitem__("replicatedJobsStatus", found))

    def _fail(self, item: Json, failed: list[Json], restarts: int) -> None:
        policy = item["spec"].get("failurePolicy")
        first = min(failed, key=lambda job: str(job["status"]["conditions"][0]["lastTransitionTime"]))
        for rule in (policy or {}).get("rules", ()):
            fits = [job for job in failed if job["status"]["conditions"][0]["reason"] in rule.get("onJobFailureReasons", ())]
            if fits and rule["action"] == "FailJobSet":
                why = f"applying FailJobSet failure policy action (first failed job: {fits[0]['metadata']['name']})"
                self._condition(item, "Failed", "FailJobSetFailurePolicyAction", why)
                return
        name = f"(first failed job: {first['metadata']['name']})"
        if policy is None:
            self._condition(item, "Failed", "FailedJobs", f"jobset failed due to one or more job failures {name}")
        elif restarts >= int(policy.get("maxRestarts", 0)):
            self._condition(item, "Failed", "ReachedMaxRestarts", f"jobset failed due to reaching max number of restarts {name}")
        else:
            self.api.change(item, lambda o: o["status"].__setitem__("restarts", restarts + 1))
            self._condition(item, "RestartingJobSet", "DefaultFailurePolicy", f"applying RestartJobSet failure policy action {name}")

    def _create(self, item: Json, jobs: list[Json], restarts: int) -> None:
        metadata, spec = item["metadata"], item["spec"]
        if self.refuses is not None:
            if metadata["uid"] not in [event["involvedObject"]["uid"] for event in self.api.all("Event")]:
                self.api.event(item, "JobCreationFailed", self.refuses)
            return
        names = {job["metadata"]["name"] for job in jobs}
        if (spec.get("failurePolicy") or {}).get("restartStrategy") == "BlockingRecreate" and any(
            int(job["metadata"]["labels"][f"{KEY}/restart-attempt"]) < restarts for job in jobs
        ):
            return
        owner = {"apiVersion": JOBSET.version, "kind": "JobSet", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
        if self.api.get("Service", metadata["name"], metadata["namespace"]) is None:
            found = {"name": metadata["name"], "namespace": metadata["namespace"], "ownerReferences": [owner]}
            self.api.create({"kind": "Service", "metadata": found})
        number, total = -1, sum(int(role.get("replicas", 1)) for role in spec["replicatedJobs"])
        for role in spec["replicatedJobs"]:
            for index in range(int(role.get("replicas", 1))):
                number += 1
                name = f"{metadata['name']}-{role['name']}-{index}"
                if name in names:
                    continue
                values = {
                    "jobset-name": metadata["name"], "jobset-uid": metadata["uid"], "replicatedjob-name": role["name"],
                    "job-index": index, "job-global-index": number, "global-replicas": total, "restart-attempt": restarts,
                }  # fmt: skip
                if spec.get("coordinator"):
                    chief = spec["coordinator"]
                    host = f"{chief['replicatedJob']}-{chief.get('jobIndex', 0)}-{chief.get('podIndex', 0)}"
                    values["coordinator"] = f"{metadata['name']}-{host}.{metadata['name']}"
                labels = {f"{KEY}/{key}": str(value) for key, value in values.items()}
                job = {**role["template"]["spec"], "suspend": spec.get("suspend", False)}
                pod = job["template"].get("metadata") or {}
                job["template"] = {
                    **job["template"], "metadata": {"labels": {**(pod.get("labels") or {}), **labels}, "annotations": labels},
                }  # fmt: skip
                found = {"name": name, "namespace": metadata["namespace"], "labels": labels, "ownerReferences": [owner]}
                self.api.create({"kind": "Job", "metadata": found, "spec": job})

    def _condition(self, item: Json, word: str, reason: str, message: str) -> None:
        found = {"type": word, "status": "True", "reason": reason, "message": message, "lastTransitionTime": self.api.stamp()}

        def change(o: Json) -> None:
            others = [c for c in o.setdefault("status", {}).get("conditions", []) if c["type"] not in (word, "RestartingJobSet")]
            o["status"]["conditions"] = [*others, found]

        self.api.change(item, change)

    def _unset(self, item: Json, word: str) -> None:
        def change(o: Json) -> None:
            for condition in o.setdefault("status", {}).get("conditions", []):
                if condition["type"] == word:
                    condition["status"] = "False"

        self.api.change(item, change)


def _owners(item: Json) -> list[str]:
    return [owner["uid"] for owner in item["metadata"].get("ownerReferences") or []]


def _word(item: Json) -> str | None:
    words = [c["type"] for c in (item.get("status") or {}).get("conditions", []) if c["status"] == "True"]
    return next((word for word in words if word in ("Completed", "Complete", "Failed")), None)


def _is_permanent(spec: Json, code: int) -> bool:
    for rule in (spec.get("podFailurePolicy") or {}).get("rules", ()):
        if code in (rule.get("onExitCodes") or {}).get("values", ()):
            return bool(rule["action"] == "FailJob")
    return False
