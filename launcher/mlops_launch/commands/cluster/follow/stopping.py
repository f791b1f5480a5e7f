"""Have a training on the cluster save and stop."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_launch.clients.cluster import Cluster
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.workload import kinds
from mlops_launch.core.workload.model import Workload


def ask_to_stop(cluster: Cluster, workload: Workload, namespace: str, uid: str, pods: Sequence[Object]) -> None:
    """Delete the pod that trains, with its grace period to save, or the workload when it has not started.

    Args:
        cluster: where.
        workload: what was rendered.
        namespace: its objects'.
        uid: the applied workload's.
        pods: all its pods.

    Raises:
        LauncherError: the cluster refuses.
    """
    manifest, kind = workload.manifest, kinds.lookup(workload.kind)
    mains = [pod for pod in kinds.main_pods(manifest, pods) if not facts.has_ended(pod)]
    if mains and kind.ends_with_its_pod(manifest):
        cluster.delete(cluster.path(*facts.POD, facts.name_of(mains[-1]), namespace), facts.uid_of(mains[-1]))
    else:
        cluster.delete(cluster.path(kind.api_version, kind.name, workload.name, namespace), uid, "Foreground")
