"""What an overlay renders to, as far as `set` asks for it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_launch.core.path import Named, Path
from mlops_launch.core.workload.kinds import find_workload
from mlops_launch.core.workload.model import KubernetesObject, Role, Workload, mapping, mappings


@dataclass(frozen=True)
class Rendered:
    """The rendered objects and the one workload among them."""

    workload: Workload
    objects: Sequence[KubernetesObject]

    def value(self, path: Path) -> Any:
        """Return what the workload's manifest has at `path`, or None."""
        place: Any = self.workload.manifest
        for step in path:
            if isinstance(step, Named):
                place = next((item for item in mappings(place) if item.get("name") == step.name), None)
            else:
                place = mapping(place).get(step)
        return place

    def variables(self, role: Role) -> dict[str, str]:
        """Return the variables of the role's container that trains, as it will see them, before `$(NAME)` is expanded."""
        found: dict[str, str] = {}
        for source in sources(role):
            found |= {source.prefix + key: value for key, value in self._data(source).items()}
        return found | dict(self.workload.environment_entries(role)) if role.containers else found

    def _data(self, source: Source) -> dict[str, str]:
        for item in self.objects:
            if item["kind"] == source.kind and mapping(item.get("metadata")).get("name") == source.name:
                plain = {str(key): str(value) for key, value in {**mapping(item.get("data")), **mapping(item.get("stringData"))}.items()}
                return plain if source.kind == "ConfigMap" else {key: _decoded(value) for key, value in plain.items()}
        return {}


@dataclass(frozen=True)
class Source:
    """One item of `envFrom`: `kind` and `name` of what it names, and what it puts in front of each key."""

    kind: str
    name: str
    prefix: str = ""


def sources(role: Role) -> Iterator[Source]:
    """Yield the `envFrom` of the role's container that trains; a later one wins."""
    for item in mappings(role.containers[0].get("envFrom")) if role.containers else ():
        for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if field in item:
                yield Source(kind, str(mapping(item[field]).get("name")), str(item.get("prefix") or ""))


def rendered(objects: Sequence[Mapping[str, Any]]) -> Rendered:
    """Return rendered objects with the workload among them.

    Raises:
        LauncherError: there is none, or more than one.
    """
    return Rendered(find_workload(objects), objects)


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        return value
