"""Put a plan's objects into the cluster: what must be there first, what is in the way, then apply."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

from mlops_launch.clients.cluster import Cluster, Json
from mlops_launch.clients.refusals import ApiError
from mlops_launch.commands.cluster.jobs import is_installed
from mlops_launch.commands.cluster.limits import POLL_S, SPARE_S
from mlops_launch.commands.runs.console import Console
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.kube.ownership import is_ours
from mlops_launch.core.workload import kinds
from mlops_launch.core.workload.kinds import Kind
from mlops_launch.core.workload.model import KubernetesObject, Workload
from mlops_launch.core.workload.plan import Plan
from mlops_launch.errors import LauncherError, UsageError


@dataclass(frozen=True)
class Submission:
    """What a plan means on a cluster: its objects in order, all in one namespace."""

    objects: list[KubernetesObject]
    workload: Workload
    namespace: str

    def actions(self, cluster: Cluster) -> tuple[str, ...]:
        """Return what applying it does, a line each."""
        where = f"namespace {self.namespace}" + (f" of context {cluster.context}" if cluster.context else "")
        return tuple(f"apply {item['kind']} {facts.name_of(item)} in {where}" for item in self.objects)


def submission(plan: Plan, cluster: Cluster, namespace: str | None) -> Submission:
    """Return the plan's objects with their namespace, the workload last.

    Args:
        plan: what was rendered.
        cluster: its namespace is the default.
        namespace: the user's choice.

    Raises:
        UsageError: the overlay names another namespace than the user.
    """
    chosen = namespace or plan.workload.namespace or cluster.namespace
    objects = []
    for item in plan.objects:
        own = item["metadata"].get("namespace")
        if own not in (None, chosen):
            raise UsageError(f"the overlay names another namespace than `--namespace`: {own}", f"leave the option out, or use {own}")
        objects.append(item)
    objects.sort(key=lambda item: item["kind"] == plan.workload.kind)  # else in kustomize's order
    return Submission(objects, plan.workload, chosen)


def require_place(cluster: Cluster, planned: Submission) -> None:
    """Ask the cluster for what must be there already: the namespace, the kinds, the claims.

    Raises:
        LauncherError: something is missing.
    """
    namespace = planned.namespace
    try:
        if cluster.find(f"/api/v1/namespaces/{namespace}") is None:
            raise LauncherError(f"no such namespace: {namespace}", f"`kubectl create namespace {namespace}`, or another `--namespace`")
    except ApiError as error:
        if error.status != 403:  # a namespace may be used by people who may not look at it
            raise
    kind = kinds.lookup(planned.workload.kind)
    if not is_installed(cluster, kind):
        hint = f"install it: `kubectl apply --server-side -k {kind.installed_by}`; `mlops-launch init DIR` unpacks k8s/ too"
        raise LauncherError(f"the cluster has no {kind.name} of {kind.api_version}", hint)
    for role in planned.workload.roles:
        for claim in (volume.claim for volume in role.volumes):
            if claim is not None and cluster.find(cluster.path("v1", "PersistentVolumeClaim", claim, namespace)) is None:
                raise LauncherError(
                    f"no such claim in namespace {namespace}: {claim}",
                    f"name another in the overlay, or create it once:\n{claim_command(namespace, claim)}",
                )


def claim_command(namespace: str, claim: str) -> str:
    """Return a line that creates a claim when it is pasted into a shell, in any folder; as `k8s/storage/default` has it."""
    size = "20Gi" if claim == "outputs" else "100Gi"
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    item = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim}, "spec": spec}
    return f"echo {shlex.quote(json.dumps(item))} | kubectl -n {shlex.quote(namespace)} apply -f -"


def make_room(cluster: Cluster, planned: Submission, replace: bool, console: Console) -> None:
    """Remove a finished workload of that name, or with `replace` a running one, and wait until its pods are gone.

    Raises:
        LauncherError: one runs, or it is not one of ours, or it is not deleted in time.
    """
    workload = planned.workload
    kind = kinds.lookup(workload.kind)
    found = cluster.find(cluster.path(kind.api_version, kind.name, workload.name, planned.namespace))
    place = f"{workload.kind} {workload.name} in namespace {planned.namespace}"
    if found is None:
        wait_until_gone(cluster, kind, workload.name, planned.namespace)
        return
    if not is_ours(found):
        raise LauncherError(f"an object with this name exists and was not created by mlops-launch: {place}", "rename yours")
    ended = kind.finished(found)
    if ended is None and not replace and not found["metadata"].get("deletionTimestamp"):
        raise LauncherError(
            f"already running: {place}",
            f"`mlops-launch logs -f {workload.name} -n {planned.namespace}` follows it, `--replace` stops it and starts again",
        )
    console.info(f"removing the {'finished' if ended else 'running'} {place}")
    cluster.delete(cluster.path_of(found), facts.uid_of(found), "Foreground")
    wait_until_gone(cluster, kind, workload.name, planned.namespace)


def wait_until_gone(cluster: Cluster, kind: Kind, name: str, namespace: str) -> None:
    """Wait until neither the workload nor a pod of it is left; pods have their grace period to save.

    Raises:
        LauncherError: something is left after that.
    """
    until, told = cluster.host.monotonic() + SPARE_S, False
    while left := remaining(cluster, kind, name, namespace):
        grace = max((int(pod["spec"].get("terminationGracePeriodSeconds") or 30) for pod in left if "spec" in pod), default=0)
        if not told:
            until, told = cluster.host.monotonic() + grace + SPARE_S, True
        if cluster.host.monotonic() > until:
            names = ", ".join(f"{item['kind']} {facts.name_of(item)}" for item in left)
            raise LauncherError(f"still not deleted in namespace {namespace}: {names}", "is its node alive? `kubectl describe` says more")
        cluster.host.sleep(POLL_S)


def remaining(cluster: Cluster, kind: Kind, name: str, namespace: str) -> list[Json]:
    """Return the workload of that name, when it is there, and its pods."""
    pods: list[Json] = []
    if kind.pod_label is not None:
        pods = cluster.list(cluster.path(*facts.POD, None, namespace), labelSelector=f"{kind.pod_label}={name}")
    item = cluster.find(cluster.path(kind.api_version, kind.name, name, namespace)) if is_installed(cluster, kind) else None
    return [*({**pod, "kind": facts.POD[1]} for pod in pods), *([item] if item else [])]


def apply(cluster: Cluster, planned: Submission) -> Object:
    """Apply the objects in order; return the workload as the server has it now.

    Raises:
        LauncherError: one is refused.
    """
    applied: Json = {}
    for item in planned.objects:
        applied = cluster.apply({**item, "metadata": {**item["metadata"], "namespace": planned.namespace}})
    return applied
