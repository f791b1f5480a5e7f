"""Which files of its own folder a kustomization names: kustomize reads no other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from mlops_launch.core.overlay.yamltree import child, scalar

# Fields that list files or folders, and those whose items name one in a field of theirs.
_LISTS = (
    "resources", "bases", "components", "crds", "configurations", "generators", "transformers", "validators", "patchesStrategicMerge",
)  # fmt: skip
_ITEMS = (("patches", "path"), ("patchesJson6902", "path"), ("replacements", "path"))
_GENERATORS = ("configMapGenerator", "secretGenerator")
_YAML = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Reach:
    """Paths in or below the overlay's folder, relative to it, in the order in which they are named.

    Args:
        yaml: YAML texts, patches among them.
        env: env files of generators.
        other: files that a generator takes as they are, and folders.
    """

    yaml: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    other: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Every path."""
        return (*self.yaml, *self.env, *self.other)


def reach_of(kustomization: Node | None) -> Reach:
    """Return what a kustomization names."""
    named = [path for field in _LISTS for path in texts(child(kustomization, field))]
    named += [path for field, key in _ITEMS for item in items(child(kustomization, field)) if (path := scalar(child(item, key)))]
    named += [path for path in [scalar(child(child(kustomization, "openapi"), "path"))] if path]
    generators = [each for field in _GENERATORS for each in items(child(kustomization, field))]
    taken = [path.rpartition("=")[2] for each in generators for path in texts(child(each, "files"))]
    yaml = [path for path in named if path.endswith(_YAML)]
    rest = [path for path in named if not path.endswith(_YAML)]
    return Reach(_own(yaml), _own(path for each in generators for path in env_names(each)), _own([*rest, *taken]))


def env_names(generator: Node) -> list[str]:
    """Return the env files that one generator names."""
    return [*texts(child(generator, "envs")), *[name for name in [scalar(child(generator, "env"))] if name]]


def items(node: Node | None) -> list[Node]:
    """Return the items of a list, an empty list when it is none."""
    return list(node.value) if isinstance(node, SequenceNode) else []


def pairs(node: Node | None) -> list[tuple[Node, Node]]:
    """Return the keys and values of a mapping, an empty list when it is none."""
    return list(node.value) if isinstance(node, MappingNode) else []


def texts(node: Node | None) -> list[str]:
    """Return the scalars of a list."""
    return [text for item in items(node) if (text := scalar(item)) is not None]


def _own(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths that stay in the folder, each once; an inline patch or an address is none."""
    found = (str(PurePosixPath(path)) for path in paths if path and "\n" not in path and "://" not in path and not path.startswith("/"))
    return tuple(dict.fromkeys(path for path in found if ".." not in PurePosixPath(path).parts))
