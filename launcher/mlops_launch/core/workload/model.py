"""A workload of any kind as one shape: roles, their pods, volumes and variables. Total: what a patch has damaged reads as empty."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mlops_launch.errors import LauncherError

KubernetesObject = Mapping[str, Any]

# Kinds of volume that hold what the pod itself is given or writes, and that end with it.
_OF_A_POD = frozenset({"emptyDir", "configMap", "secret", "projected", "downwardAPI", "ephemeral"})

# The names that the bases give to the container that trains.
TRAINING_CONTAINERS = ("launcher", "worker", "training")


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
        return str(self.source.get("claimName")) if self.kind == "persistentVolumeClaim" else None

    @property
    def outlives_pod(self) -> bool:
        """Whether what is written to it can be read when the pod is gone."""
        return self.kind not in _OF_A_POD


@dataclass(frozen=True)
class Role:
    """One sort of pod of a workload, such as an MPIJob's Launcher or Worker.

    Args:
        name: the kind's word for it.
        replicas: how many pods, as written.
        pod: the pods' spec.
        labels: the pods'.
    """

    name: str
    replicas: Any
    pod: Mapping[str, Any]
    labels: Mapping[str, str]

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        """The containers, that which trains first: the one with a name of the base's, for kustomize puts what a patch adds in front."""
        return sorted(mappings(self.pod.get("containers")), key=lambda container: container.get("name") not in TRAINING_CONTAINERS)

    @property
    def container(self) -> Mapping[str, Any]:
        """The container that trains.

        Raises:
            LauncherError: there is none.
        """
        if not self.containers:
            raise LauncherError(f"no container in role: {self.name}", "a patch has wiped the list; give the container's `name` in it")
        return self.containers[0]

    @property
    def command(self) -> list[str]:
        """The container's command and arguments in one list, not yet expanded."""
        return [str(word) for part in ("command", "args") for word in _list(self.container.get(part))]

    @property
    def mounts(self) -> list[Mount]:
        """The mounts of the container that trains."""
        found = mappings(self.containers[0].get("volumeMounts")) if self.containers else []
        return [Mount(str(m.get("name")), str(m.get("mountPath")), m.get("readOnly") is True, str(m.get("subPath") or "")) for m in found]

    @property
    def volumes(self) -> list[Volume]:
        """The pod's volumes."""
        found = []
        for volume in mappings(self.pod.get("volumes")):
            kind = next((str(key) for key in volume if key != "name"), "emptyDir")
            found.append(Volume(str(volume.get("name")), kind, mapping(volume.get(kind))))
        return found

    def mount_above(self, path: str) -> Mount | None:
        """Return the mount that `path` lies on: the longest at or above it."""
        above = [mount for mount in self.mounts if PurePosixPath(path).is_relative_to(mount.path)]
        return max(above, key=lambda mount: len(PurePosixPath(mount.path).parts), default=None)

    def volume_of(self, mount: Mount | None) -> Volume | None:
        """Return a mount's volume, or None when it is not declared."""
        return next((volume for volume in self.volumes if mount is not None and volume.name == mount.volume), None)

    @property
    def user(self) -> tuple[Any, Any, Any]:
        """(runAsUser, runAsGroup, fsGroup) of the pod, as written; None where absent."""
        context = mapping(self.pod.get("securityContext"))
        return context.get("runAsUser"), context.get("runAsGroup"), context.get("fsGroup")


@dataclass(frozen=True)
class Workload:
    """What trains, with the ConfigMaps rendered beside it."""

    kind: str
    name: str
    namespace: str | None
    roles: tuple[Role, ...]
    config_maps: Mapping[str, Mapping[str, str]]
    manifest: KubernetesObject

    @property
    def main(self) -> Role:
        """The role whose log and exit code are the run's; a kind names it first."""
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
        for source in mappings(role.container.get("envFrom")):
            if "configMapRef" not in source:
                continue
            name = str(mapping(source["configMapRef"]).get("name"))
            if name not in self.config_maps:
                raise LauncherError(
                    f"`envFrom` of {role.name} names a ConfigMap that is not rendered: {name}",
                    "the name reference configuration in base/ rewrites hashed names; does the overlay still include it?",
                )
            prefix = str(source.get("prefix") or "")
            variables.update({prefix + key: str(value) for key, value in self.config_maps[name].items()})
        return variables

    def environment_entries(self, role: Role) -> list[tuple[str, str]]:
        """Return `env` of the role's container in order, without what a cluster fills in (`valueFrom`)."""
        entries = mappings(role.container.get("env"))
        return [
            (str(entry.get("name")), str(entry.get("value") or "")) for entry in entries if "value" in entry or "valueFrom" not in entry
        ]


@dataclass(frozen=True)
class PodHere:
    """A pod that becomes a process of this machine.

    Args:
        name: the pod's, without what is random in it.
        role: whose container it runs.
        fields: what the pod says of itself, by the path that `fieldRef` names.
        environment: variables over the container's.
        counts: success waits for it.
    """

    name: str
    role: str
    fields: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    counts: bool = True


@dataclass(frozen=True)
class OneHost:
    """What a local run adds for the ranks of a workload, all on this machine.

    Args:
        ranks: how many.
        environment: variables of the process that starts them.
        files: text by path, to be written before.
        pods: the main one first, where each pod becomes a process; else the main role's container starts all ranks.
        names: addresses of this machine by the pods' host names.
        any_success: the first pod that counts and ends with 0 is enough.
    """

    ranks: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[Path, str] = field(default_factory=dict)
    pods: tuple[PodHere, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    any_success: bool = False


@dataclass(frozen=True)
class Here:
    """What a kind is told of the machine of a local run.

    Args:
        scratch: a folder that ends with the run.
        shared_memory: a folder in memory that ends with the run.
        is_root: whether root starts it.
        free_port: returns a TCP port of loopback on which nobody listens, another one each time.
    """

    scratch: Path
    shared_memory: Path
    is_root: bool
    free_port: Callable[[], int]


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, an empty one for anything else: the rules of `check` say what is wrong, not a traceback."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings of a list, an empty list for anything else."""
    return [item for item in _list(value) if isinstance(item, dict)]


def is_integer(value: Any) -> bool:
    """Return whether a YAML value is a whole number; true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
