"""The patches that an overlay itself gives, in files and inline, with what they aim at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ruamel.yaml.nodes import MappingNode, Node

from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.reach import items


@dataclass(frozen=True)
class OwnPatch:
    """One item of `patches`.

    Args:
        number: its place in the list, from 0.
        file: where its text is.
        line: where the kustomization names it, from 1.
        offset: how many lines of `file` stand above the text; 0 for a file of its own.
        documents: the mappings of a strategic merge patch; empty for JSON6902 operations and for what does not parse.
        target: the item's `target`, or None.
        may_rename: whether `options` let it change the name.
    """

    number: int
    file: str
    line: int
    offset: int
    documents: tuple[Node, ...]
    target: Node | None
    may_rename: bool


class _Files(Protocol):
    @property
    def kustomization(self) -> str: ...

    @property
    def trees(self) -> Mapping[str, list[Node]]: ...

    @property
    def kustomization_tree(self) -> Node | None: ...


def own_patches(files: _Files) -> tuple[OwnPatch, ...]:
    """Return the items of `patches` in order."""
    found = []
    for number, item in enumerate(items(yamltext.child(files.kustomization_tree, "patches"))):
        path, inline = yamltext.scalar(yamltext.child(item, "path")), yamltext.child(item, "patch")
        trees = files.trees.get(path or "", []) if path else _inline(yamltext.scalar(inline) or "")
        offset = inline.start_mark.line + 1 if inline is not None and not path else 0
        may_rename = yamltext.scalar(yamltext.find(item, ("options", "allowNameChange"))) == "true"
        found.append(
            OwnPatch(
                number,
                path or files.kustomization,
                item.start_mark.line + 1,
                offset,
                tuple(tree for tree in trees if isinstance(tree, MappingNode)),
                yamltext.child(item, "target"),
                may_rename,
            )  # fmt: skip
        )
    return tuple(found)


def _inline(text: str) -> list[Node]:
    try:
        return yamltext.parse_all(text)
    except yamltext.YamlSyntaxError:
        return []
