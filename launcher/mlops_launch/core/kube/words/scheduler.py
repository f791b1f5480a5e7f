"""The scheduler's words: its message is a list of `N node(s) …`, and each part has its own cause.

Kubernetes 1.36 (pkg/scheduler/framework/plugins), with the spellings of 1.34 and 1.35; Volcano's gang.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mlops_launch.admission import Words, lookup

_ROOM: Final = "ask for less with `mlops-launch set`, or wait for a node"
_CLAIM: Final = "`kubectl describe pvc` says why; create the claim (k8s/storage), or correct its name"
_VOLUME: Final = "`kubectl describe pvc` names the volume"
_GANG: Final = "the scheduler places all pods of the job together: it waits until all of them fit; ask for fewer workers, or wait"
_PATCH: Final = "in the overlay's patch file"

# Of the pod as a whole: the scheduler says them of no single node.
WHOLE: Final = (
    Words(
        "scheduling gates", "gate", "pod {who} is held back by a scheduling gate",
        "whoever has set the gate removes it, as Kueue does when it admits the job; `kubectl get pod {who} -o yaml` names it",
    ),
    Words("in gang unschedulable", "gang", "pod {who} waits for its gang", _GANG),
    Words("pods from a gang", "gang", "pod {who} waits for its gang", _GANG),
    Words("pod group", "gang", "pod {who} waits for its gang", _GANG),
    Words(
        "waiting for the preemption", "preemption", "pod {who} waits until pods of lower priority have left its node",
        "nothing is wrong; it takes as long as they take to stop",
    ),
    Words("waiting for ephemeral volume controller", "claim", "pod {who} waits for its claim", "is kube-controller-manager up?"),
)  # fmt: skip

# In the order in which the scheduler asks a node: NodeUnschedulable, NodeName, TaintToleration, NodeAffinity, NodePorts,
# NodeResourcesFit, the volumes, PodTopologySpread, InterPodAffinity.
PARTS: Final = (
    Words(
        "is being deleted", "claim deleted", "pod {who} needs a claim that is being deleted",
        "wait until it is gone and create it again (k8s/storage), or name another claim",
    ),
    Words(
        "bound to non-existent", "claim lost", "pod {who} needs a claim whose volume is gone",
        "delete the claim and create it again (k8s/storage); its data went with the volume",
    ),
    Words("unbound immediate", "claim", "pod {who} waits for its claim", _CLAIM),
    Words(
        "were unschedulable", "cordon", "nodes are closed to new pods (cordoned) that pod {who} could use",
        "`kubectl get nodes` shows them; `kubectl uncordon NODE` opens one again",
    ),
    Words(
        "requested node name", "selector", "pod {who} asks for a node by a name that no node has", f"correct nodeName {_PATCH}",
    ),
    Words(
        "node.kubernetes.io/not-ready", "not ready", "nodes are not ready that pod {who} could use",
        "`kubectl describe nodes` says why they are not ready",
    ),
    Words(
        "node.kubernetes.io/unreachable", "not ready", "nodes do not answer that pod {who} could use",
        "are they up? `kubectl describe nodes` says since when they are silent",
    ),
    Words(
        "node.kubernetes.io/unschedulable", "cordon", "nodes are closed to new pods (cordoned) that pod {who} could use",
        "`kubectl get nodes` shows them; `kubectl uncordon NODE` opens one again",
    ),
    *(
        Words(
            f"node.kubernetes.io/{what}-pressure", "pressure", f"nodes are short of {what} that pod {{who}} could use",
            "`kubectl describe nodes` says more; free some there, or wait",
        )
        for what in ("memory", "disk", "pid")
    ),
    Words(
        # Kubernetes 1.36 does not name the taint: it may be the cluster's own on a node that is not ready.
        "untolerated taint", "taint", "nodes have a taint that pod {who} does not tolerate",
        f"add a toleration {_PATCH}; `kubectl describe nodes` shows the taints, also the one of a node that is not ready",
    ),
    Words(
        "had taint", "taint", "nodes have a taint that pod {who} does not tolerate",
        f"add a toleration {_PATCH}; `kubectl describe nodes` shows the taints",
    ),
    Words(
        "node affinity/selector", "selector", "no node has the labels that pod {who} asks for",
        f"correct nodeSelector or affinity {_PATCH}; `kubectl get nodes --show-labels` shows the labels",
    ),
    Words(
        "free ports", "port", "the host port of pod {who} is taken",
        f"take hostPort or hostNetwork out {_PATCH}, or wait until the port is free",
    ),
    Words("Insufficient cpu", "room", "no node has room for pod {who}", _ROOM),
    Words("Insufficient memory", "room", "no node has room for pod {who}", _ROOM),
    Words("Insufficient ephemeral-storage", "room", "no node has room for pod {who}", _ROOM),
    Words("Too many pods", "room", "no node has room for pod {who}", "wait for a node, or delete pods that are not needed"),
    Words(
        "Insufficient ", "device", "no node has the devices free that pod {who} asks for",
        "`kubectl describe nodes` shows whether a node offers them: if none does, its device plugin is missing; else ask for fewer",
    ),
    Words(
        "ReadWriteOncePod", "claim in use", "a claim of pod {who} may be used by one pod only, and another pod uses it",
        "wait until that pod has ended, or use a claim of mode ReadWriteMany",
    ),
    Words("max volume count", "volume count", "no node can attach another volume for pod {who}", "wait, or use fewer claims"),
    Words(
        "volume node affinity", "volume place", "the volume of pod {who} can be used on other nodes only",
        f"{_VOLUME}, which names its nodes or zone; let the pod go there, or use storage that every node reaches",
    ),
    Words(
        "PersistentVolume's node affinity", "volume place", "the volume of pod {who} can be used on other nodes only",
        f"{_VOLUME}, which names its nodes or zone; let the pod go there, or use storage that every node reaches",
    ),
    Words(
        "no available volume zone", "volume place", "the volume of pod {who} is in another zone",
        f"{_VOLUME}; let the pod go to that zone, or use storage that every node reaches",
    ),
    Words(
        "available persistent volumes to bind", "claim", "pod {who} waits for its claim: no volume fits it",
        "`kubectl describe pvc` says why; it needs a storage class that provisions, or a PersistentVolume that fits",
    ),
    Words(
        "enough free storage", "claim", "pod {who} waits for its claim: no node has that much storage free",
        "make the claim smaller (k8s/storage), or free storage",
    ),
    Words(
        "topology spread", "spread", "pod {who} would break its topologySpreadConstraints on every node",
        f"loosen them {_PATCH}; `kubectl get nodes --show-labels` shows whether the nodes have the label",
    ),
    Words(
        "pod anti-affinity", "anti-affinity", "pods that pod {who} must not share a node with are on every node",
        f"loosen podAntiAffinity {_PATCH}, ask for fewer workers, or wait for a node",
    ),
    Words(
        "existing pods anti-affinity", "anti-affinity", "pods that refuse to share a node with pod {who} are on every node",
        "wait for a node; the rule is those pods'",
    ),
    Words(
        "pod affinity rules", "affinity", "no node has the pods that pod {who} must be beside", f"loosen podAffinity {_PATCH}",
    ),
    Words("persistentvolumeclaim", "claim", "pod {who} waits for its claim", _CLAIM),
    Words(
        "satisfy plugin(s) [VolumeBinding]", "volume place", "the volume of pod {who} can be used on nodes only that are not there",
        f"{_VOLUME}, which names its nodes; are they up? `kubectl get nodes`",
    ),
    Words(
        "satisfy plugin(s)", "selector", "pod {who} asks for a node by a name that no node has",
        f"correct nodeName or affinity {_PATCH}; `kubectl get nodes` shows the names",
    ),
)  # fmt: skip

_COUNT: Final = re.compile(r"^\d+/\d+ nodes are available: *")
_PREEMPTION: Final = re.compile(r" *\b(?:preemption: |no new claims to deallocate, preemption: )|(?<=\.) not found$")
# Nodes that were not looked at, since the pod or its volume names others: no cause while those others have one.
_OTHERS: Final = "satisfy plugin(s)"
# What a cluster's own nodes are closed with: no advice for a job that fits elsewhere.
_OWN: Final = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


@dataclass(frozen=True)
class Reading:
    """What the scheduler says.

    Args:
        rows: the decisive one first; empty when no part is known.
        told: the message without what it says of preemption, which tells nothing of the cause.
        unknown: parts that no row has.
    """

    rows: Sequence[Words]
    told: str
    unknown: Sequence[str] = ()


def read(message: str) -> Reading:
    """Read the scheduler's message by its parts.

    Args:
        message: of the condition PodScheduled or of an event FailedScheduling, in one line.
    """
    before = _PREEMPTION.split(message)[0]
    whole = lookup(WHOLE, before)
    if whole is not None:
        return Reading([whole], message)
    parts = [part.strip() for part in _COUNT.sub("", before).rstrip(". ").split(", ")]
    found = {part: lookup(PARTS, part) for part in parts if part}
    rows = sorted({row for row in found.values() if row is not None}, key=PARTS.index)
    rows = [row for row in rows if _OTHERS not in row.phrase] or rows
    own = {row for part, row in found.items() if row is not None and any(taint in part for taint in _OWN)}
    others = [row for row in rows if row not in own]
    return Reading([*others, *(row for row in rows if row in own)], before, [part for part, row in found.items() if row is None])
