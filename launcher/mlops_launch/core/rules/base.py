"""What rules look at, and what they yield."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_launch.contract import MODEL_DIR, OUTPUT_DIR
from mlops_launch.core.overlay.files import OverlayFiles
from mlops_launch.core.path import Named, Path
from mlops_launch.core.rules.silence import Silence
from mlops_launch.core.settings.model import Package
from mlops_launch.core.workload import kinds
from mlops_launch.core.workload.kinds import Kind
from mlops_launch.core.workload.model import Role, Workload, mapping, mappings
from mlops_launch.errors import LauncherError


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
        workload: what was rendered; None when the overlay does not render.
        render_error: why it does not, in one line.
        package: the models, settings, presets and scripts that the overlay belongs to; empty when nothing is known.
        given: variables of one run, over those of the overlay.
        workload_error: why the rendered objects are not one workload.
        names: the names of the rendered objects by kind.
        unmatched_patches: the keys of the overlay's patches whose target matches nothing.
        below: the workload without the overlay's own patches; None when no patch gives a list that is replaced as a whole.
        objects_below: `Kind/name` of what patches can aim at.
        unused_silences: the comments that accept no finding; the registry fills them in when all other rules have run.
        rule_ids: the rules there are, for the same rule.
    """

    files: OverlayFiles
    workload: Workload | None = None
    render_error: str | None = None
    package: Package = field(default_factory=Package)
    given: Mapping[str, str] = field(default_factory=dict)
    workload_error: LauncherError | None = None
    names: Mapping[str, frozenset[str]] = field(default_factory=dict)
    unmatched_patches: tuple[tuple[str, int], ...] = ()
    below: Workload | None = None
    objects_below: tuple[str, ...] = ()
    unused_silences: tuple[Silence, ...] = ()
    rule_ids: frozenset[str] = frozenset()

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles whose first container has an image: rules on containers need not ask, and a wiped one is told once."""
        return tuple(role for role in self.workload.roles if _is_whole(role)) if self.workload else ()

    def of_kind(self, kind: Kind) -> Workload | None:
        """Return the workload when it is of that kind, else None: for the rules that are one kind's own."""
        return self.workload if self.workload is not None and self.workload.kind == kind.name else None

    def whole_of_kind(self, kind: Kind) -> Workload | None:
        """Return the same when all its roles have their containers."""
        return self.of_kind(kind) if self.workload is not None and len(self.roles) == len(self.workload.roles) else None

    @property
    def is_foreign(self) -> bool:
        """Whether there is a workload with nothing of this package: neither its label, nor a variable of mlops.env, nor an entry point."""
        if self.workload is None:
            return False
        labels = mapping(mapping(self.workload.manifest.get("metadata")).get("labels"))
        return not (
            labels.get("app.kubernetes.io/part-of") == "mlops-launch"
            or any({MODEL_DIR, OUTPUT_DIR} & {*self.variables(role)} for role in self.workload.roles if role.containers)
            or any("common/entrypoint" in word for role in self.workload.roles if role.containers for word in role.command)
        )

    def variables(self, role: Role) -> dict[str, str]:
        """Return the role's variables, as far as its ConfigMaps are there."""
        known = self.workload.config_maps if self.workload else {}
        found: dict[str, str] = {}
        for source in mappings(role.containers[0].get("envFrom")):
            name = str(mapping(source.get("configMapRef")).get("name"))
            found.update({f"{source.get('prefix') or ''}{key}": str(value) for key, value in known.get(name, {}).items()})
        for entry in mappings(role.containers[0].get("env")):
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
        return self.at_patch((*kinds.lookup(self.workload.kind).pod_path(role.name), *path)) if self.workload else NOWHERE

    def at_patch(self, path: Path) -> Place:
        """Return where the patch has `path`, or what of it it has."""
        return Place(*self.files.patch_place(path))


def _is_whole(role: Role) -> bool:
    return bool(role.containers) and bool(role.containers[0].get("image"))


def all_containers(role: Role) -> list[Mapping[str, Any]]:
    """Return the role's containers that have an image: that which trains, sidecars, init containers."""
    return [container for container in [*role.containers, *mappings(role.pod.get("initContainers"))] if container.get("image")]


def shown(value: Any) -> str:
    """Return how a message ends that shows a value which should be a number: a text is called one, and has its quotes."""
    return f', and not a text: "{value}"' if isinstance(value, str) else f": {value}"


def strings(value: Any) -> list[str]:
    """Return the texts of a list, an empty list for anything else."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
