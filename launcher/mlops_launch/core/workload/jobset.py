"""The kind JobSet of kubernetes-sigs/jobset: roles by name, each with Jobs of one pod or more, that end together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.causes import Cause
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.path import EVERY, Named, Path
from mlops_launch.core.workload.jobset_pods import (
    JOB_NAME,
    KEY,
    POD_INDEX,
    Chief,
    chief,
    count,
    job_name,
    local_pods,
    pods_per_job,
    replicated_jobs,
    roles,
)
from mlops_launch.core.workload.model import Here, OneHost, Role, Workload, is_integer, mapping, mappings

CONTROLLER_S: Final = 15.0  # of silence of the controller, until that is worth a word
MOST: Final = 10_000  # Jobs of a role whose events are looked for

_ROLE, _JOB_INDEX, _ATTEMPT = f"{KEY}/replicatedjob-name", f"{KEY}/job-index", f"{KEY}/restart-attempt"
_FIRST_FAILED: Final = re.compile(r"\(first failed job: (?P<job>[^)]+)\)")
_ROLES: Final = ("spec", "replicatedJobs")
_HINT: Final = (
    "is JobSet's controller running? `kubectl -n jobset-system get pods`, and "
    "`kubectl -n jobset-system logs deploy/jobset-controller-manager`"
)


class JobSet:
    """Implements `kinds.Kind`."""

    name = "JobSet"
    api_version = "jobset.x-k8s.io/v1alpha2"
    installed_by = "k8s/jobset"
    needs = ()
    pod_label = f"{KEY}/jobset-name"
    main_selector = f"{KEY}/jobset-name"  # which pod is the chief is the manifest's choice
    edits: Mapping[str, Path] = {"workers": (*_ROLES, Named("worker"), "replicas")}
    fields: Mapping[Path, str] = {
        ("spec",): (
            "replicatedJobs network successPolicy failurePolicy startupPolicy suspend coordinator managedBy ttlSecondsAfterFinished "
            "volumeClaimPolicies"
        ),
        ("spec", "coordinator"): "replicatedJob jobIndex podIndex",
        ("spec", "successPolicy"): "operator targetReplicatedJobs",
        ("spec", "failurePolicy"): "maxRestarts restartStrategy rules",
        ("spec", "network"): "enableDNSHostnames subdomain publishNotReadyAddresses",
        (*_ROLES, EVERY): "name groupName template replicas dependsOn",
        (*_ROLES, EVERY, "template"): "metadata spec",
        (*_ROLES, EVERY, "template", "spec"): (
            "parallelism completions activeDeadlineSeconds podFailurePolicy successPolicy backoffLimit backoffLimitPerIndex "
            "maxFailedIndexes selector manualSelector template ttlSecondsAfterFinished completionMode suspend podReplacementPolicy "
            "managedBy"
        ),
        (*_ROLES, EVERY, "template", "spec", "template"): "metadata spec",
    }
    goes_before: Mapping[str, Sequence[str]] = {"replicas": ("dependsOn", "template"), "coordinator": ("replicatedJobs",)}

    def roles(self, manifest: Object) -> tuple[Role, ...]:
        """Return the replicated Jobs, the chief's first."""
        found = list(roles(manifest))
        first = chief(manifest)
        return tuple(sorted(found, key=lambda role: first is None or role.name != first.role))

    def is_main(self, manifest: Object, pod: Object) -> bool:
        """Return whether it is the chief."""
        first = chief(manifest)
        return first is not None and Chief(self.role_of(pod), _index(pod, _JOB_INDEX), _index(pod, POD_INDEX)) == first

    def is_sized(self, role: str) -> bool:
        """Return whether it is the role `worker`, where the work is done."""
        return role == "worker"

    def pod_path(self, role: str) -> Path:
        """Return the path of a role's pod spec."""
        return (*_ROLES, Named(role), "template", "spec", "template", "spec")

    def base_container(self, role: str) -> str:
        """Return the name that the base gives a role's container."""
        return role

    def role_of(self, pod: Object) -> str:
        """Return what the controller's label says."""
        return str(facts.labels(pod).get(_ROLE, ""))

    def index_of(self, pod: Object) -> int:
        """Return the index of its Job; the pods of a Job of several share it."""
        return _index(pod, _JOB_INDEX)

    def owns(self, uid: str, pod: Object) -> bool:
        """Return whether the controller has given that uid to a pod."""
        return facts.labels(pod).get(f"{KEY}/jobset-uid") == uid

    def longest_pod(self, workload: Workload) -> str:
        """Return the longest of its last pods' names."""
        last = [(role, max(0, count(role["replicas"]) - 1), max(0, pods_per_job(role) - 1)) for role in replicated_jobs(workload.manifest)]
        return max((f"{job_name(workload.manifest, role, job)}-{pod}-xxxxx" for role, job, pod in last), key=len, default=workload.name)

    def helpers(self, item: Object) -> frozenset[str]:
        """Return the Jobs, whose events say why there is no pod."""
        return frozenset(
            job_name(item, role, index) for role in replicated_jobs(item) for index in range(min(MOST, count(role["replicas"])))
        )

    def finished(self, item: Object) -> str | None:
        """Return the controller's word, or None before it has one."""
        words = (("Completed", facts.SUCCEEDED), ("Failed", facts.FAILED))
        return next((word for condition, word in words if facts.condition(item, condition)), None)

    def ended_at(self, item: Object) -> str | None:
        """Return when the controller marked it as finished, or None where that is not known."""
        found = facts.condition(item, "Completed") or facts.condition(item, "Failed") or {}
        return found.get("lastTransitionTime")

    def is_suspended(self, item: Object) -> bool:
        """Return whether it is suspended, as Kueue does it."""
        return mapping(item.get("spec")).get("suspend") is True

    def is_running(self, item: Object) -> bool:
        """Return whether a pod has started, or the set is started again."""
        status = mapping(item.get("status"))
        counts = [role.get(word) for role in mappings(status.get("replicatedJobsStatus")) for word in ("ready", "succeeded", "failed")]
        return any(counts) or bool(status.get("restarts"))

    def is_under_way(self, item: Object, pods: Sequence[Object]) -> bool:
        """Return whether more is to come when its chief has ended: the set is started again, or others that count still work."""
        if facts.condition(item, "RestartingJobSet") is not None:
            return True
        policy = mapping(mapping(item.get("spec")).get("successPolicy"))
        names = policy.get("targetReplicatedJobs") or [role.name for role in self.roles(item)]
        return any(self.role_of(pod) in names and not facts.has_ended(pod) and not pod["metadata"].get("deletionTimestamp") for pod in pods)

    def ends_with_its_pod(self, manifest: Object) -> bool:
        """Return False: all pods of the set are asked to stop, not its chief alone."""
        return False

    def failed_first(self, item: Object, pods: Sequence[Object]) -> Object | None:
        """Return the pod that the set has failed of, or None where that is not known."""
        failed = facts.condition(item, "Failed") or {}
        job = _FIRST_FAILED.search(str(failed.get("message") or ""))
        if job is None:
            return None
        mine = [pod for pod in pods if facts.labels(pod).get(JOB_NAME) == job["job"]]
        last = max((_index(pod, _ATTEMPT) for pod in mine), default=0)
        ended = [pod for pod in mine if _index(pod, _ATTEMPT) == last and (end := facts.container_end(pod)) is not None and end.code]
        return min(ended, key=_ended_at, default=None)

    def cause_of_event(self, event: Object) -> Cause | None:
        """Return None: the controller hands on what the API server says."""
        return None

    def cause_of_pod(self, pod: Object) -> Cause | None:
        """Return None: what a pod's end means is the failure policy's choice."""
        return None

    def causes_of_silence(self, item: Object, pods: Sequence[Object], waited: float) -> list[Cause]:
        """Return what the controller has not done yet."""
        if not pods and waited > CONTROLLER_S:
            return [Cause("JobSet's controller does not react to the JobSet", _HINT)]
        wanted = sum(role.replicas for role in self.roles(item) if is_integer(role.replicas))
        alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
        return [Cause(f"{len(alive)} of {wanted} pods created", _HINT)] if len(alive) < wanted else []

    def world(self, workload: Workload) -> int | None:
        """Return None: which roles train is the program's choice."""
        return None

    def on_one_host(self, workload: Workload, here: Here) -> OneHost:
        """Return a process per pod, each with a port of its own; the controller's host names are addresses of loopback."""
        return local_pods(workload, here)


def _ended_at(pod: Object) -> str:
    """Return when the container of a pod ended; sorts by time."""
    ended = mapping(mapping(facts.main_status(pod).get("state")).get("terminated"))
    return str(ended.get("finishedAt") or "")


def _index(pod: Object, label: str) -> int:
    text = str(facts.labels(pod).get(label, ""))
    return int(text) if text.isascii() and text.isdigit() else 0
