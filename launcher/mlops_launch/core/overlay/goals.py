"""What `set` was asked for, as what the rendered workload must then hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.files import OverlayFiles
from mlops_launch.core.overlay.places import FieldPlace, OperationPlace, Place, field_places
from mlops_launch.core.overlay.rendered import Rendered, sources
from mlops_launch.core.overlay.sources import whole_kustomization
from mlops_launch.core.overlay.values import parse_quantity
from mlops_launch.core.overlay.variables import file_sources, variable_places
from mlops_launch.core.path import Named, Path
from mlops_launch.core.workload import kinds
from mlops_launch.core.workload.kinds import Kind
from mlops_launch.core.workload.model import is_integer
from mlops_launch.errors import LauncherError

NAMESPACE: Path = ("metadata", "namespace")


class Goal(Protocol):
    """One value that the rendered workload must hold."""

    @property
    def asked(self) -> str:
        """The words of the command line that ask for it."""

    @property
    def value(self) -> int | str:
        """What it must be."""

    def now(self, rendered: Rendered) -> Any:
        """Return what it is; None where it is not there."""

    def is_held(self, rendered: Rendered) -> bool:
        """Return whether the rendered workload holds the value."""

    def paths(self, rendered: Rendered) -> list[Path]:
        """Return the fields of the workload that decide over the value."""

    def places(self, files: OverlayFiles, rendered: Rendered | None) -> list[Place]:
        """Return where it can be written, the likeliest first; `rendered` is the overlay before the edit, where it renders."""


@dataclass(frozen=True)
class FieldGoal:
    """A field of the workload's manifest; `is_quantity` compares 1024Mi with 1Gi as equal."""

    asked: str
    value: int | str
    kind: Kind
    path: Path
    is_quantity: bool = False

    def now(self, rendered: Rendered) -> Any:
        """Implement `Goal`."""
        return rendered.value(self.path)

    def is_held(self, rendered: Rendered) -> bool:
        """Implement `Goal`."""
        now = self.now(rendered)
        if self.is_quantity:
            return now is not None and parse_quantity(str(now)) == parse_quantity(str(self.value))
        return is_integer(now) == is_integer(self.value) and bool(now == self.value)

    def paths(self, rendered: Rendered) -> list[Path]:
        """Implement `Goal`."""
        return [self.path]

    def places(self, files: OverlayFiles, rendered: Rendered | None) -> list[Place]:
        """Implement `Goal`."""
        found = field_places(files, self.kind.name, self.path)
        if not found:
            raise no_patch(files)
        return found


@dataclass(frozen=True)
class DeviceGoal(FieldGoal):
    """A number of devices: none at all is 0."""

    def is_held(self, rendered: Rendered) -> bool:
        """Implement `Goal`."""
        now = self.now(rendered)
        return self.value == 0 if now is None else parse_quantity(str(now)) == self.value


@dataclass(frozen=True)
class NamespaceGoal:
    """The namespace of all objects."""

    asked: str
    value: str

    def now(self, rendered: Rendered) -> Any:
        """Implement `Goal`."""
        return rendered.workload.namespace

    def is_held(self, rendered: Rendered) -> bool:
        """Implement `Goal`."""
        return rendered.workload.namespace == self.value

    def paths(self, rendered: Rendered) -> list[Path]:
        """Implement `Goal`."""
        return [NAMESPACE]

    def places(self, files: OverlayFiles, rendered: Rendered | None) -> list[Place]:
        """Implement `Goal`."""
        own = field_places(files, kinds.KINDS[0].name if rendered is None else rendered.workload.kind, NAMESPACE)
        return [KustomizationPlace(), *(place for place in own if isinstance(place, OperationPlace))]


@dataclass(frozen=True)
class KustomizationPlace:
    """The kustomization's own `namespace`."""

    def edited(self, files: OverlayFiles, value: int | str) -> OverlayFiles:
        """Implement `Place`."""
        return FieldPlace(whole_kustomization(files), 0, ("namespace",)).edited(files, value)

    def shown(self, files: OverlayFiles) -> tuple[str, int | None]:
        """Implement `Place`."""
        return files.kustomization, yamltext.line_of(files.kustomization_tree, ("namespace",))

    def has(self, files: OverlayFiles, value: object) -> bool:
        """Implement `Place`."""
        return yamltext.scalar(yamltext.child(files.kustomization_tree, "namespace")) == value


@dataclass(frozen=True)
class VariableGoal:
    """A variable as the container that trains will see it, and every other role's container that has it."""

    key: str
    value: str

    @property
    def asked(self) -> str:
        """Implement `Goal`."""
        return f"{self.key}={self.value}"

    def now(self, rendered: Rendered) -> Any:
        """Implement `Goal`."""
        found = [variables.get(self.key) for role in rendered.workload.roles for variables in [rendered.variables(role)]]
        return next((value for value in found if value is not None and value != self.value), found[0] if found else None)

    def is_held(self, rendered: Rendered) -> bool:
        """Implement `Goal`."""
        main = rendered.variables(rendered.workload.main).get(self.key)
        return main == self.value and bool(self.now(rendered) == self.value)

    def paths(self, rendered: Rendered) -> list[Path]:
        """Implement `Goal`."""
        kind = kinds.lookup(rendered.workload.kind)
        return [
            (*kind.pod_path(role.name), "containers", Named(str(role.container.get("name"))), "env", Named(self.key), "value")
            for role in rendered.workload.roles
            if self.key in dict(rendered.workload.environment_entries(role))
        ]

    def places(self, files: OverlayFiles, rendered: Rendered | None) -> list[Place]:
        """Implement `Goal`."""
        named = None if rendered is None else list(sources(rendered.workload.main))
        found = variable_places(files, self.key, named)
        whole_file = dict(file_sources(files, named or [])).get(self.key)
        if not found and whole_file is None:
            raise LauncherError(
                f"no env file in the overlay: {files.folder}", "`configMapGenerator` in kustomization.yaml names it in `envs`"
            )
        if rendered is not None and rendered.workload.main.containers:
            main = rendered.workload.main
            kind = kinds.lookup(rendered.workload.kind)
            name = Named(str(main.container.get("name")))
            own = field_places(files, kind.name, (*kind.pod_path(main.name), "containers", name, "env", Named(self.key), "value"))
            # `env` wins over every `envFrom`.
            found = [*own, *found] if self.key in dict(rendered.workload.environment_entries(main)) else [*found, *own]
        if not found:
            raise LauncherError(f"`{self.key}` is the whole content of a file: {whole_file}", "edit that file")
        return found


def no_patch(files: OverlayFiles) -> LauncherError:
    """Return the error of an overlay that has no patch to write into."""
    return LauncherError(
        f"no patch file for a workload ({' or '.join(kinds.names())}) in the overlay: {files.folder}",
        "`patches` in kustomization.yaml names it with `path`",
    )
