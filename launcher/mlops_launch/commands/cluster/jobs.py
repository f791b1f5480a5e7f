"""Questions to a cluster about jobs: which there are, which has a name, when they ended, what events tell of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from mlops_launch.clients.cluster import Cluster, Json
from mlops_launch.clients.refusals import ApiError
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube import outcome
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.kube.ownership import OURS, PART_OF
from mlops_launch.core.kube.times import moment
from mlops_launch.core.workload.model import Workload, find_workload
from mlops_launch.errors import LauncherError

API_VERSIONS: Final = {"Pod": "v1", "MPIJob": "kubeflow.org/v2beta1"}
OURS_ONLY: Final = f"{PART_OF}={OURS}"
# Pods that an operator made are its workload's; only pods without that label are workloads.
NO_WORKERS: Final = f"{OURS_ONLY},!{facts.JOB_NAME}"


def listing(cluster: Cluster, api_version: str, kind: str, namespace: str | None) -> str:
    """Return the API's path of a kind in a namespace or, for None, in all."""
    path = cluster.path(api_version, kind, None, namespace or "-")
    return path if namespace else path.replace("/namespaces/-", "")


def workloads(cluster: Cluster, namespace: str | None) -> list[Json]:
    """Return the Pods and MPIJobs of ours, in a namespace or, for None, in all.

    Raises:
        LauncherError: they cannot be listed.
    """
    found = [{**pod, "kind": "Pod"} for pod in cluster.list(listing(cluster, "v1", "Pod", namespace), labelSelector=NO_WORKERS)]
    try:
        jobs = cluster.list(listing(cluster, API_VERSIONS["MPIJob"], "MPIJob", namespace), labelSelector=OURS_ONLY)
    except ApiError as error:
        if error.status != 404:  # no mpi-operator: no MPIJobs
            raise
        jobs = []
    return [*found, *({**job, "kind": "MPIJob"} for job in jobs)]


def workload_of(cluster: Cluster, name: str | None) -> tuple[Workload, Json]:
    """Return the Pod or MPIJob of that name, or the newest of ours; as a shape and as it is in the cluster.

    Raises:
        LauncherError: there is none.
    """
    found = sorted(workloads(cluster, cluster.namespace), key=facts.made)
    named = [item for item in found if name in (None, facts.name_of(item))]
    if not named:
        known = ", ".join(facts.name_of(item) for item in found) or "none"
        what = "no training" if name is None else "no training of that name"
        raise LauncherError(f"{what} in namespace {cluster.namespace}: {name or 'none'}", f"in that namespace: {known}; `-n` names another")
    item = named[-1]
    version = "v1" if item["kind"] == "Pod" else "kubeflow.org/v2beta1"
    return find_workload([{**item, "apiVersion": version}]), {**item, "apiVersion": version}


def old_jobs(cluster: Cluster, namespace: str | None, age: timedelta, now: datetime) -> list[Json]:
    """Return the finished MPIJobs and Pods of ours that ended longer than `age` ago.

    Raises:
        LauncherError: they cannot be listed.
    """
    return [item for item in workloads(cluster, namespace) if (ended := ended_at(item)) is not None and now - moment(ended) > age]


def ended_at(item: Object) -> str | None:
    """Return when a workload ended, or None while it runs."""
    word = outcome.finished(item)
    if word is None:
        return None
    status = item["status"]
    condition = facts.condition(item, word) or {}
    terminated = (facts.main_status(item).get("state") or {}).get("terminated") or {} if item["kind"] == "Pod" else {}
    found = status.get("completionTime") or condition.get("lastTransitionTime") or terminated.get("finishedAt")
    return str(found or facts.made(item))


def related_events(cluster: Cluster, namespace: str, workload: Object, pods: list[Object]) -> list[Json]:
    """Return the events of a workload, its pods and its Job, oldest first.

    Raises:
        LauncherError: they cannot be listed.
    """
    name = facts.name_of(workload)
    uids = {facts.uid_of(item) for item in (workload, *pods)}
    found = [
        event
        for event in cluster.list(cluster.path("v1", "Event", None, namespace))
        if event["involvedObject"].get("uid") in uids or event["involvedObject"].get("name") == f"{name}-launcher"
    ]
    return sorted(found, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or e["metadata"]["creationTimestamp"]))
