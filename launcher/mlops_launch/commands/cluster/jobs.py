"""Questions to a cluster about jobs: which there are, which has a name, when they ended, what events tell of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from mlops_launch.clients.cluster import Cluster, Json
from mlops_launch.clients.refusals import ApiError
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.kube.ownership import OURS, PART_OF
from mlops_launch.core.kube.times import moment
from mlops_launch.core.workload import kinds, state
from mlops_launch.core.workload.kinds import Kind
from mlops_launch.core.workload.model import Workload
from mlops_launch.errors import LauncherError

OURS_ONLY: Final = f"{PART_OF}={OURS}"
FORBIDDEN: Final = 403
NODE_AFTER_S: Final = 20.0  # of waiting, until the node of a placed pod is looked at


def listing(cluster: Cluster, api_version: str, kind: str, namespace: str | None) -> str:
    """Return the API's path of a kind in a namespace or, for None, in all."""
    path = cluster.path(api_version, kind, None, namespace or "-")
    return path if namespace else path.replace("/namespaces/-", "")


def is_installed(cluster: Cluster, kind: Kind) -> bool:
    """Return whether the cluster has a kind of workload."""
    return kind.installed_by is None or cluster.knows(kind.api_version, kind.name)


def workloads(cluster: Cluster, namespace: str | None) -> list[Json]:
    """Return the workloads of ours, of all kinds, in a namespace or, for None, in all.

    A kind that this user may not list is left out where there are others: rights that were given before the launcher knew the kind.

    Raises:
        LauncherError: they cannot be listed.
    """
    found: list[Json] = []
    refused: ApiError | None = None
    for kind in kinds.KINDS:
        if not is_installed(cluster, kind):
            continue
        # What the controller of another kind has created, with its template's labels, is part of that workload.
        parts = [f"!{other.pod_label}" for other in kinds.KINDS if other is not kind and other.pod_label is not None]
        try:
            items = cluster.list(listing(cluster, kind.api_version, kind.name, namespace), labelSelector=",".join([OURS_ONLY, *parts]))
        except ApiError as error:
            if error.status != FORBIDDEN:
                raise
            refused = refused or error
            continue
        # The items of a list carry neither kind nor version.
        found += ({**item, "apiVersion": kind.api_version, "kind": kind.name} for item in items)
    if refused is not None and not found:
        raise refused
    return found


def pods_of(cluster: Cluster, item: Object, namespace: str) -> list[Object]:
    """Return a workload's pods: those with its label, or itself.

    Raises:
        LauncherError: they cannot be listed.
    """
    label = kinds.kind_of(item).pod_label
    if label is None:
        return [item]
    return list(cluster.list(cluster.path(*facts.POD, None, namespace), labelSelector=f"{label}={facts.name_of(item)}"))


def workload_of(cluster: Cluster, name: str | None) -> tuple[Workload, Json]:
    """Return the workload of that name, or the newest of ours; as a shape and as it is in the cluster.

    Raises:
        LauncherError: there is none.
    """
    found = sorted(workloads(cluster, cluster.namespace), key=facts.created_at)
    named = [item for item in found if name in (None, facts.name_of(item))]
    if not named:
        known = ", ".join(facts.name_of(item) for item in found) or "none"
        what = "no job" if name is None else "no job of that name"
        raise LauncherError(f"{what} in namespace {cluster.namespace}: {name or 'none'}", f"in that namespace: {known}; `-n` names another")
    return kinds.shape(named[-1]), named[-1]


def old_jobs(cluster: Cluster, namespace: str | None, age: timedelta, now: datetime) -> list[Json]:
    """Return the finished workloads of ours that ended longer than `age` ago.

    Raises:
        LauncherError: they cannot be listed.
    """
    return [item for item in workloads(cluster, namespace) if (ended := state.ended_at(item)) is not None and now - moment(ended) > age]


def nodes_of(cluster: Cluster, pods: list[Object], waited: float) -> list[Json]:
    """Return the node of a pod that is placed and has not started for a while, or nothing: most users may not read nodes."""
    names = [pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName") and facts.started_at(pod) is None]
    if not names or waited < NODE_AFTER_S:
        return []
    try:
        return [cluster.get(f"/api/v1/nodes/{names[0]}")]
    except LauncherError:
        return []


def related_events(cluster: Cluster, namespace: str, workload: Object, pods: list[Object]) -> list[Json]:
    """Return the events of a workload, its pods, their claims and what its controller creates beside them, oldest first.

    Raises:
        LauncherError: they cannot be listed.
    """
    helpers = kinds.kind_of(workload).helpers(workload)
    uids = {facts.uid_of(item) for item in (workload, *pods)}
    claims = {(facts.CLAIM[1], claim) for pod in pods for claim in facts.claims(pod)}
    queued = f"{workload['kind'].lower()}-{facts.name_of(workload)}-"  # what Kueue names its Workload with
    found = [
        event
        for event in cluster.list(cluster.path("v1", "Event", None, namespace))
        if event["involvedObject"].get("uid") in uids
        or event["involvedObject"].get("name") in helpers
        or (event["involvedObject"].get("kind"), event["involvedObject"].get("name")) in claims
        or event["involvedObject"].get("kind") == facts.QUEUED
        and str(event["involvedObject"].get("name")).startswith(queued)
    ]
    return sorted(found, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or e["metadata"]["creationTimestamp"]))
