"""A rendered Pod or MPIJob as one shape, so that the rest of the launcher need not care which it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlops_launch.errors import LauncherError

KubernetesObject = Mapping[str, Any]

# Kinds that train. A new kind is a new branch in `find_workload`.
WORKLOAD_KINDS = ("MPIJob", "Pod")


@dataclass(frozen=True)
class Mount:
    """A volume's place in a container."""

    volume: str
    path: str
    read_only: bool = False
    sub_path: str = ""


@dataclass(frozen=True)
class Volume:
    """A pod's volume: `kind` is the API's field (`persistentVolumeClaim`, `emptyDir`, `configMap`, …)."""

    name: str
    kind: str
    source: Mapping[str, Any]

    @property
    def claim(self) -> str | None:
        """The claim's name, or None when the volume is no claim."""
        return str(self.source["claimName"]) if self.kind == "persistentVolumeClaim" else None


@dataclass(frozen=True)
class Role:
    """One kind of pod of a workload: the Pod itself, or an MPIJob's Launcher or Worker."""

    name: str
    replicas: int
    pod: Mapping[str, Any]  # the pod's spec
    labels: Mapping[str, str]

    @property
    def container(self) -> Mapping[str, Any]:
        """The container that trains: the first one."""
        containers = _list(self.pod.get("containers"))
        if not containers:
            raise LauncherError(f"no container in role: {self.name}", "a patch has wiped the list; give the container's `name` in it")
        return dict(containers[0])

    @property
    def command(self) -> list[str]:
        """The container's command and arguments in one list, not yet expanded."""
        return [str(word) for part in ("command", "args") for word in _list(self.container.get(part))]

    @property
    def mounts(self) -> list[Mount]:
        """The mounts of the container that trains."""
        return [
            Mount(m["name"], m["mountPath"], bool(m.get("readOnly", False)), str(m.get("subPath") or ""))
            for m in self.container.get("volumeMounts") or []
        ]

    @property
    def volumes(self) -> list[Volume]:
        """The pod's volumes."""
        found = []
        for volume in self.pod.get("volumes") or []:
            kind = next((key for key in volume if key != "name"), "emptyDir")
            found.append(Volume(volume["name"], kind, volume.get(kind) or {}))
        return found

    @property
    def user(self) -> tuple[Any, Any, Any]:
        """(runAsUser, runAsGroup, fsGroup) of the pod, as written; None where absent."""
        context = _mapping(self.pod.get("securityContext"))
        return context.get("runAsUser"), context.get("runAsGroup"), context.get("fsGroup")


@dataclass(frozen=True)
class Workload:
    """What trains: an MPIJob or a Pod, with the ConfigMaps rendered beside it."""

    kind: str
    name: str
    namespace: str | None
    roles: tuple[Role, ...]
    slots_per_worker: Any
    config_maps: Mapping[str, Mapping[str, str]]
    manifest: KubernetesObject

    @property
    def main(self) -> Role:
        """The role whose log and exit code are the training's: the Launcher, or the Pod."""
        return self.roles[0]

    def role(self, name: str) -> Role | None:
        """Return the role of that name, or None."""
        return next((role for role in self.roles if role.name == name), None)

    def environment(self, role: Role) -> dict[str, str]:
        """Return the variables of the role's container before `$(VAR)` expansion: envFrom first, then env over it.

        Raises:
            LauncherError: a ConfigMap named in envFrom is not among the rendered objects.
        """
        return self.environment_sources(role) | dict(self.environment_entries(role))

    def environment_sources(self, role: Role) -> dict[str, str]:
        """Return what `envFrom` of the role's container brings.

        Raises:
            LauncherError: a ConfigMap is not among the rendered objects.
        """
        variables: dict[str, str] = {}
        for source in role.container.get("envFrom") or []:
            if "configMapRef" not in source:
                continue
            name = source["configMapRef"]["name"]
            if name not in self.config_maps:
                raise LauncherError(
                    f"`envFrom` of {role.name} names a ConfigMap that is not rendered: {name}",
                    "the name reference configuration in base/ rewrites hashed names; does the overlay still include it?",
                )
            prefix = source.get("prefix", "")
            variables.update({prefix + key: str(value) for key, value in self.config_maps[name].items()})
        return variables

    def environment_entries(self, role: Role) -> list[tuple[str, str]]:
        """Return `env` of the role's container in order, without what a cluster fills in (`valueFrom`)."""
        entries = role.container.get("env") or []
        return [(entry["name"], str(entry.get("value") or "")) for entry in entries if "value" in entry or "valueFrom" not in entry]


def find_workload(objects: Iterable[KubernetesObject]) -> Workload:
    """Return the one Pod or MPIJob among rendered objects.

    Raises:
        LauncherError: there is none, or more than one.
    """
    objects = list(objects)
    found = [o for o in objects if o.get("kind") in WORKLOAD_KINDS]
    if len(found) != 1:
        names = ", ".join(f"{o['kind']}/{o['metadata']['name']}" for o in found) or "none"
        hint = "give the folder of one overlay, for instance quickstart/k8s/mlops/multi-node"
        raise LauncherError(f"expected one {' or '.join(WORKLOAD_KINDS)} in the overlay, found: {names}", hint)
    manifest = found[0]
    config_maps = {o["metadata"]["name"]: dict(o.get("data") or {}) for o in objects if o.get("kind") == "ConfigMap"}
    metadata, spec = manifest["metadata"], _mapping(manifest.get("spec"))
    if manifest["kind"] == "Pod":
        roles = [Role("Pod", 1, spec, metadata.get("labels") or {})]
    else:
        replicas = _mapping(spec.get("mpiReplicaSpecs"))
        roles = [_replica_role(name, _mapping(replicas[name])) for name in ("Launcher", "Worker") if name in replicas]
        if [role.name for role in roles] != ["Launcher", "Worker"]:
            raise LauncherError(f"an MPIJob needs a Launcher and a Worker, found: {', '.join(r.name for r in roles) or 'neither'}", None)
    return Workload(
        kind=manifest["kind"], name=metadata["name"], namespace=metadata.get("namespace"), roles=tuple(roles),
        slots_per_worker=spec.get("slotsPerWorker", 1), config_maps=config_maps, manifest=manifest,
    )  # fmt: skip


def _replica_role(name: str, replica: Mapping[str, Any]) -> Role:
    template = _mapping(replica.get("template"))
    labels = _mapping(_mapping(template.get("metadata")).get("labels"))
    return Role(name, replica.get("replicas", 1), _mapping(template.get("spec")), labels)


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, an empty one for anything else: the rules of `check` say what is wrong, not a traceback."""
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
