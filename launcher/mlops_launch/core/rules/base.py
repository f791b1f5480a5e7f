"""What rules look at, and what they yield."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_launch.core.overlay.files import OverlayFiles, pod_path
from mlops_launch.core.overlay.yamltree import Named, Path
from mlops_launch.core.rules.silence import Silence
from mlops_launch.core.settings.model import Package
from mlops_launch.core.workload.model import Mount, Role, Volume, Workload


@dataclass(frozen=True)
class Place:
    """A file of the overlay and a line in it."""

    file: str | None = None
    line: int | None = None


NOWHERE = Place()


@dataclass(frozen=True)
class Problem:
    """What a rule yields: the message (one line, the value last), what to do, and where."""

    message: str
    hint: str
    place: Place = NOWHERE


@dataclass(frozen=True)
class Subject:
    """Everything that rules look at.

    Args:
        files: the overlay's texts.
        workload: the rendered Pod or MPIJob; None when the overlay does not render.
        render_error: why it does not, in one line.
        package: the models, settings, presets and scripts that the overlay belongs to; empty when nothing is known.
        unused_silences: the comments that accept no finding; the registry fills them in when all other rules have run.
        rule_ids: the rules there are, for the same rule.
    """

    files: OverlayFiles
    workload: Workload | None = None
    render_error: str | None = None
    package: Package = field(default_factory=Package)
    unused_silences: tuple[Silence, ...] = ()
    rule_ids: frozenset[str] = frozenset()

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles whose first container has an image: rules on containers need not ask, and a wiped one is told once."""
        return tuple(role for role in self.workload.roles if _is_whole(role)) if self.workload else ()

    @property
    def mpi_job(self) -> Workload | None:
        """The workload when it is an MPIJob with its containers, else None."""
        whole = self.workload is not None and len(self.roles) == len(self.workload.roles)
        return self.workload if whole and self.workload is not None and self.workload.kind == "MPIJob" else None

    def variables(self, role: Role) -> dict[str, str]:
        """Return the role's variables, as far as its ConfigMaps are there."""
        known = self.workload.config_maps if self.workload else {}
        found: dict[str, str] = {}
        for source in mappings(containers(role)[0].get("envFrom")):
            name = str(mapping(source.get("configMapRef")).get("name"))
            found.update({f"{source.get('prefix') or ''}{key}": str(value) for key, value in known.get(name, {}).items()})
        for entry in mappings(containers(role)[0].get("env")):
            if "valueFrom" not in entry:
                found[str(entry.get("name"))] = str(entry.get("value") or "")
        return found

    def value(self, key: str) -> str | None:
        """Return a variable as the job reads it, or as mlops.env has it when the overlay does not render; None without it."""
        if self.roles and key in (variables := self.variables(self.roles[0])):
            return variables[key]
        found = self.files.env(key)
        return found[1].value if found else None

    def at_variable(self, key: str) -> Place:
        """Return where a variable of mlops.env is."""
        found = self.files.env(key)
        return Place(found[0], found[1].line) if found else NOWHERE

    def at_pod(self, role: Role, *path: str | Named) -> Place:
        """Return where the patch has `path` of the role's pod spec, or what of it it has."""
        kind = self.workload.kind if self.workload else "MPIJob"
        return self.at_patch((*pod_path(kind, role.name), *path))

    def at_patch(self, path: Path) -> Place:
        """Return where the patch has `path`, or what of it it has."""
        return Place(*self.files.patch_place(path))


def _is_whole(role: Role) -> bool:
    return bool(containers(role)) and bool(containers(role)[0].get("image"))


def containers(role: Role) -> list[Mapping[str, Any]]:
    """Return the role's containers, an empty list when a patch has wiped them."""
    return mappings(role.pod.get("containers"))


def mounts(role: Role) -> list[Mount]:
    """Return the mounts of the role's first container, as far as they can be read."""
    found = mappings(containers(role)[0].get("volumeMounts"))
    return [Mount(str(m.get("name")), str(m.get("mountPath")), m.get("readOnly") is True, str(m.get("subPath") or "")) for m in found]


def volumes(role: Role) -> list[Volume]:
    """Return the role's volumes, as far as they can be read."""
    found = []
    for volume in mappings(role.pod.get("volumes")):
        kind = next((str(key) for key in volume if key != "name"), "emptyDir")
        found.append(Volume(str(volume.get("name")), kind, mapping(volume.get(kind))))
    return found


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings of a list, an empty list when it is none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, an empty one when it is none."""
    return value if isinstance(value, dict) else {}


def strings(value: Any) -> list[str]:
    """Return the texts of a list, an empty list when it is none."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def is_integer(value: Any) -> bool:
    """Return whether a YAML value is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)
