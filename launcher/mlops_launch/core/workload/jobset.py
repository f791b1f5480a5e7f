"""The kind JobSet of kubernetes-sigs/jobset: roles by name, each with Jobs of one pod or more, that end together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Final

from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.causes import Cause
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.path import EVERY, Named, Path
from mlops_launch.core.workload.model import OneHost, Role, Workload, is_integer, mapping, mappings

CONTROLLER_S: Final = 15.0  # of silence of the controller, until that is worth a word
MOST: Final = 10_000  # Jobs of a role whose events are looked for

_KEY: Final = "jobset.sigs.k8s.io"
_ROLE, _JOB_INDEX, _ATTEMPT = f"{_KEY}/replicatedjob-name", f"{_KEY}/job-index", f"{_KEY}/restart-attempt"
_JOB_NAME: Final = "batch.kubernetes.io/job-name"
_POD_INDEX: Final = "batch.kubernetes.io/job-completion-index"
_FIRST_FAILED: Final = re.compile(r"\(first failed job: (?P<job>[^)]+)\)")
_ROLES: Final = ("spec", "replicatedJobs")
_HINT: Final = (
    "is JobSet's controller running? `kubectl -n jobset-system get pods`, and "
    "`kubectl -n jobset-system logs deploy/jobset-controller-manager`"
)


@dataclass(frozen=True)
class Chief:
    """The pod whose log and exit code are the run's."""

    role: str
    job: int = 0
    pod: int = 0


class JobSet:
    """Implements `kinds.Kind`."""

    name = "JobSet"
    api_version = "jobset.x-k8s.io/v1alpha2"
    installed_by = "k8s/jobset"
    needs = ()
    pod_label = f"{_KEY}/jobset-name"
    main_selector = f"{_KEY}/jobset-name"  # which pod is the chief is the manifest's choice
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
        found = list(_roles(manifest))
        first = chief(manifest)
        return tuple(sorted(found, key=lambda role: first is None or role.name != first.role))

    def is_main(self, manifest: Object, pod: Object) -> bool:
        """Return whether it is the chief."""
        first = chief(manifest)
        return first is not None and Chief(self.role_of(pod), _index(pod, _JOB_INDEX), _index(pod, _POD_INDEX)) == first

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

    def owns(self, uid: str, pod: Object) -> bool:
        """Return whether the controller has given that uid to a pod."""
        return facts.labels(pod).get(f"{_KEY}/jobset-uid") == uid

    def longest_pod(self, workload: Workload) -> str:
        """Return the longest of its last pods' names."""
        last = [(role, max(0, _count(role["replicas"]) - 1), max(0, _pods_of_job(role) - 1)) for role in _items(workload.manifest)]
        return max((f"{_job(workload.manifest, role, job)}-{pod}-xxxxx" for role, job, pod in last), key=len, default=workload.name)

    def helpers(self, item: Object) -> frozenset[str]:
        """Return the Jobs, whose events say why there is no pod."""
        return frozenset(_job(item, role, index) for role in _items(item) for index in range(min(MOST, _count(role["replicas"]))))

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
        mine = [pod for pod in pods if facts.labels(pod).get(_JOB_NAME) == job["job"]]
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

    def on_one_host(self, workload: Workload, scratch: FilePath, shared_memory: FilePath, is_root: bool) -> OneHost:
        """Return nothing more."""
        return OneHost()


def chief(manifest: Object) -> Chief | None:
    """Return which pod is the chief: the coordinator, else the first of the role that success waits for, else of the first role.

    None without roles.
    """
    spec = mapping(manifest.get("spec"))
    named = mapping(spec.get("coordinator"))
    if named.get("replicatedJob"):
        return Chief(str(named["replicatedJob"]), _count(named.get("jobIndex", 0)), _count(named.get("podIndex", 0)))
    wanted = mapping(spec.get("successPolicy")).get("targetReplicatedJobs")
    names = [str(role["name"]) for role in _items(manifest)]
    first = [name for name in wanted if name in names] if isinstance(wanted, list) else []
    return Chief((first or names)[0]) if names else None


def _pods_of_job(role: Mapping[str, Any]) -> int:
    """Return how many pods a Job of a replicated Job has."""
    return _count(mapping(mapping(role.get("template")).get("spec")).get("parallelism", 1))


def _ended_at(pod: Object) -> str:
    """Return when the container of a pod ended; sorts by time."""
    ended = mapping(mapping(facts.main_status(pod).get("state")).get("terminated"))
    return str(ended.get("finishedAt") or "")


def _items(manifest: Object) -> list[Mapping[str, Any]]:
    """Return the replicated Jobs as written, `replicas` filled in; those without a name are left out."""
    found = mappings(mapping(manifest.get("spec")).get("replicatedJobs"))
    return [{"replicas": 1, **role} for role in found if role.get("name")]


def _roles(manifest: Object) -> Iterator[Role]:
    for role in _items(manifest):
        job = mapping(mapping(role.get("template")).get("spec"))
        template = mapping(job.get("template"))
        counts = [role["replicas"], job.get("parallelism", 1)]
        wrong = [count for count in counts if not is_integer(count)]
        labels = mapping(mapping(template.get("metadata")).get("labels"))
        yield Role(str(role["name"]), wrong[0] if wrong else counts[0] * counts[1], mapping(template.get("spec")), labels)


def _job(item: Object, role: Mapping[str, Any], index: int) -> str:
    return f"{facts.name_of(item)}-{role['name']}-{index}"


def _count(value: Any) -> int:
    return int(value) if is_integer(value) else 0


def _index(pod: Object, label: str) -> int:
    text = str(facts.labels(pod).get(label, ""))
    return int(text) if text.isascii() and text.isdigit() else 0
