"""What belongs to a workload and goes with it, and what others still use. No I/O."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any, Final

from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.objects import Object

INSTANCE: Final = "app.kubernetes.io/instance"
PART_OF: Final = "app.kubernetes.io/part-of"
OURS: Final = "mlops-launch"

# Data: no verb deletes them.
NEVER: Final = frozenset({"PersistentVolumeClaim", "PersistentVolume", "Namespace"})

Reference = tuple[str, str]  # kind, name


def is_ours(item: Object) -> bool:
    """Return whether an object was created from one of the overlays."""
    return facts.labels(item).get(PART_OF) == OURS


def reference(item: Object) -> Reference:
    """Return an object's kind and name."""
    return str(item["kind"]), facts.name_of(item)


def references(specs: Iterable[Mapping[str, Any]]) -> set[Reference]:
    """Return the objects that pods with these specs need: service accounts, ConfigMaps and Secrets."""
    found: set[Reference] = set()
    for spec in specs:
        if spec.get("serviceAccountName"):
            found.add(("ServiceAccount", spec["serviceAccountName"]))
        for volume in spec.get("volumes") or []:
            found |= _named("ConfigMap", volume.get("configMap"), "name") | _named("Secret", volume.get("secret"), "secretName")
        for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
            sources = [*(container.get("envFrom") or []), *(e.get("valueFrom") or {} for e in container.get("env") or [])]
            for source in sources:
                for key, kind in (("configMapRef", "ConfigMap"), ("configMapKeyRef", "ConfigMap"), ("secretRef", "Secret")):
                    found |= _named(kind, source.get(key), "name")
    return found


def divide(
    items: Iterable[Object], instance: str, planned: Iterable[Reference], used: Container[Reference]
) -> tuple[list[Object], list[Object]]:
    """Divide what was created from overlays into what goes with a workload and what another one still uses.

    Args:
        items: objects of ours in the namespace; others among them are skipped.
        instance: the label of the workload that goes.
        planned: what its overlay renders, or what it refers to: shared names may carry another workload's label.
        used: what the workloads of ours that stay refer to.

    Returns:
        (to be deleted, kept because a workload that stays refers to it)
    """
    wanted = set(planned)
    gone: list[Object] = []
    kept: list[Object] = []
    for item in items:
        if item["kind"] in NEVER or not is_ours(item):
            continue
        if facts.labels(item).get(INSTANCE) != instance and reference(item) not in wanted:
            continue
        (kept if reference(item) in used else gone).append(item)
    return gone, kept


def owned(items: Iterable[Object], roots: Iterable[str]) -> list[Object]:
    """Return the objects that the owners with these uids brought into being, also over several steps."""
    items, uids = list(items), set(roots)
    while True:
        found = [item for item in items if facts.owners(item) & uids]
        more = {facts.uid_of(item) for item in found} - uids
        if not more:
            return found
        uids |= more


def _named(kind: str, source: Mapping[str, Any] | None, key: str) -> set[Reference]:
    return {(kind, str(source[key]))} if source and key in source else set()
