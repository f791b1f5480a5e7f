"""Delete a workload with all that came with it, wait, and look whether anything is left. Claims and data stay."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from mlops_launch.clients.cluster import Cluster, Json
from mlops_launch.clients.refusals import ApiError
from mlops_launch.commands.cluster.jobs import OURS_ONLY, workloads
from mlops_launch.commands.cluster.limits import POLL_S, SPARE_S
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube import ownership
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.kube.ownership import INSTANCE, Reference
from mlops_launch.core.workload import kinds, state

# What overlays make and what operators make for them: (apiVersion, kind).
LOOKED_AT: Final = tuple(
    map(facts.api_kind, ("v1/Pod", "batch/v1/Job", "v1/ConfigMap", "v1/Secret", "v1/Service", "v1/ServiceAccount"))
)  # fmt: skip


@dataclass
class Removal:
    """What a deletion did.

    Args:
        deleted: kind and name of what is gone.
        kept: what another workload still uses.
        left: what should be gone and is not.
        unseen: kinds that this user may not list: nobody knows what is left of them.
    """

    deleted: list[Reference] = field(default_factory=list)
    kept: list[Reference] = field(default_factory=list)
    left: list[Reference] = field(default_factory=list)
    unseen: set[str] = field(default_factory=set)

    @property
    def warnings(self) -> list[str]:
        """What was not checked, a line each."""
        return [f"not checked, you are not allowed to list: {kind}" for kind in sorted(self.unseen)]


def remove(cluster: Cluster, name: str, namespace: str, planned: Iterable[Reference], wait_s: float | None = None) -> Removal:
    """Delete the workload `name` and what came with it; wait until it is gone, and look.

    Args:
        cluster: where.
        name: of the workload, or the label app.kubernetes.io/instance of what it has left.
        namespace: in which.
        planned: what its overlay renders, or what is known of that; when its workload is among it, one of another kind with
            that name stays.
        wait_s: seconds to wait; None is the pods' grace period and a minute.

    Raises:
        LauncherError: the cluster refuses.
    """
    all_of_ours = workloads(cluster, namespace)
    planned = set(planned)
    asked = {kind for kind, called in planned if called == name}.intersection(kinds.names()) or kinds.names()
    jobs = [item for item in all_of_ours if facts.name_of(item) == name and item["kind"] in asked]
    others = [item for item in all_of_ours if item not in jobs and state.finished(item) is None]
    instance = next((facts.labels(item).get(INSTANCE) for item in jobs), None) or name
    wanted = {*planned, *_references(jobs)}
    labels = {kind.pod_label for kind in kinds.KINDS}  # with one of them it is a part of a workload, and goes with it
    removal = Removal()
    listed = _listed(cluster, namespace, removal.unseen, OURS_ONLY, needed={kind for kind, _ in planned})
    ours, kept = ownership.divide(listed, instance, wanted, _references(others))
    to_delete = [item for item in ours if item["kind"] not in kinds.names() and not labels.intersection(facts.labels(item))]
    if not jobs and not to_delete:
        return removal
    for workload in jobs:
        cluster.delete(_path_of(cluster, workload, namespace), facts.uid_of(workload), "Foreground")
    for item in to_delete:
        cluster.delete(_path_of(cluster, item, namespace), facts.uid_of(item))
    removal.deleted = [ownership.reference(item) for item in (*jobs, *to_delete)]
    removal.kept = [ownership.reference(item) for item in kept]
    removal.left = _wait(cluster, namespace, name, jobs, to_delete, removal.unseen, wait_s)
    return removal


def _wait(
    cluster: Cluster, namespace: str, name: str, jobs: Sequence[Object], to_delete: Sequence[Object], unseen: set[str], wait_s: float | None
) -> list[Reference]:
    """Wait until nothing is left of these objects and of what they own; return what is."""
    until = None
    while True:
        left = _left(cluster, namespace, name, jobs, to_delete, unseen)
        if not left:
            return []
        if until is None:
            grace = max((int(i.get("spec", {}).get("terminationGracePeriodSeconds") or 0) for i in left if facts.is_pod(i)), default=0)
            until = cluster.host.monotonic() + (grace + SPARE_S if wait_s is None else wait_s)
        if cluster.host.monotonic() > until:
            return [ownership.reference(item) for item in left]
        cluster.host.sleep(POLL_S)


def _left(
    cluster: Cluster, namespace: str, name: str, jobs: Sequence[Object], to_delete: Sequence[Object], unseen: set[str]
) -> list[Object]:
    uids = {facts.uid_of(item) for item in (*jobs, *to_delete)}
    left: list[Object] = []
    for item in jobs:
        found = cluster.find(_path_of(cluster, item, namespace))
        if found is not None and facts.uid_of(found) in uids:
            left.append({**found, "kind": item["kind"]})
    if left:
        return left  # a foreground deletion: what it owns is still there
    everything = _listed(cluster, namespace, unseen)
    found_again = [item for item in everything if facts.uid_of(item) in uids]
    marks = {label for item in jobs if (label := kinds.kind_of(item).pod_label) is not None}
    labelled = [item for item in everything if any(facts.labels(item).get(label) == name for label in marks)]
    return list({facts.uid_of(i): i for i in (*found_again, *ownership.owned(everything, uids), *labelled)}.values())


def _listed(
    cluster: Cluster, namespace: str, unseen: set[str], selector: str | None = None, needed: Container[str] = frozenset()
) -> list[Json]:
    """Return the objects of the kinds that are looked at; a kind that may not be listed is added to `unseen`, unless it is needed."""
    query = {"labelSelector": selector} if selector else {}
    found: list[Json] = []
    for version, kind in LOOKED_AT:
        if kind in unseen:
            continue
        try:
            items = cluster.list(cluster.path(version, kind, None, namespace), **query)
        except ApiError as error:
            if error.status != 403 or kind in needed:
                raise
            unseen.add(kind)
            continue
        found += ({**item, "kind": kind, "apiVersion": version} for item in items)
    return found


def _path_of(cluster: Cluster, item: Object, namespace: str) -> str:
    return cluster.path(item["apiVersion"], item["kind"], facts.name_of(item), namespace)


def _references(workloads: Iterable[Object]) -> set[Reference]:
    """Return the objects that the pods of these workloads need."""
    return ownership.references(role.pod for item in workloads for role in kinds.kind_of(item).roles(item))
