"""Which files of its own folder a kustomization names: kustomize reads no other."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from mlops_launch.core.overlay.yamltree import child, scalar

# Fields that list files or folders.
_LISTS = ("resources", "bases", "components", "crds", "configurations", "generators", "transformers", "validators")
# In the order in which kustomize applies them, whatever theirs in the file is.
_PATCHES = ("patchesStrategicMerge", "patches", "patchesJson6902")
_GENERATORS = ("configMapGenerator", "secretGenerator")
_YAML = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Reach:
    """Paths in or below the overlay's folder, relative to it and without `.` and `..`, in the order in which they are named.

    Args:
        yaml: YAML texts, patches among them; a patch may have any name.
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
    listed = [path for field in _LISTS for path in texts(child(kustomization, field))]
    named = [item.path for item in patch_items(kustomization) if item.path]
    named += [path for item in items(child(kustomization, "replacements")) if (path := scalar(child(item, "path")))]
    named += [path for path in [scalar(child(child(kustomization, "openapi"), "path"))] if path]
    generators = [each for field in _GENERATORS for each in items(child(kustomization, field))]
    taken = [path.rpartition("=")[2] for each in generators for path in texts(child(each, "files"))]
    yaml = [path for path in listed if path.endswith(_YAML)]
    rest = [path for path in listed if not path.endswith(_YAML)]
    return Reach(_own([*yaml, *named]), _own(path for each in generators for path in env_names(each)), _own([*rest, *taken]))


@dataclass(frozen=True)
class PatchItem:
    """One item of a kustomization's fields for patches.

    Args:
        field: that field.
        number: its place in the field, from 0.
        node: the item.
        path: its file, as `own_path` has it; None for a text in the kustomization itself.
        inline: that text; None for a file.
    """

    field: str
    number: int
    node: Node
    path: str | None
    inline: Node | None


def patch_items(kustomization: Node | None) -> Iterator[PatchItem]:
    """Yield the patches of a kustomization in the order in which kustomize applies them."""
    for field in _PATCHES:
        for number, node in enumerate(items(child(kustomization, field))):
            is_list = field == "patchesStrategicMerge"
            path = scalar(node if is_list else child(node, "path"))
            if path and "\n" not in path and not path.lstrip().startswith("{"):
                yield PatchItem(field, number, node, own_path(path), None)
            else:
                yield PatchItem(field, number, node, None, node if is_list else child(node, "patch"))


def own_path(path: str) -> str:
    """Return a path as kustomize opens it: `./a.yaml` and `x/../a.yaml` are `a.yaml`."""
    return posixpath.normpath(path)


def env_names(generator: Node) -> list[str]:
    """Return the env files that one generator names, as `own_path` has them."""
    named = [*texts(child(generator, "envs")), *[name for name in [scalar(child(generator, "env"))] if name]]
    return [own_path(name) for name in named]


def items(node: Node | None) -> list[Node]:
    """Return the items of a list, an empty list when it is none."""
    return list(node.value) if isinstance(node, SequenceNode) else []


def pairs(node: Node | None) -> list[tuple[Node, Node]]:
    """Return the keys and values of a mapping, an empty list when it is none; without keys that are no scalars."""
    return [(key, value) for key, value in node.value if isinstance(key, ScalarNode)] if isinstance(node, MappingNode) else []


def texts(node: Node | None) -> list[str]:
    """Return the scalars of a list."""
    return [text for item in items(node) if (text := scalar(item)) is not None]


def _own(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths that stay in the folder, each once; an inline patch or an address is none."""
    found = (own_path(path) for path in paths if path and "\n" not in path and "://" not in path and not path.startswith("/"))
    return tuple(dict.fromkeys(path for path in found if path != ".." and not path.startswith("../")))
