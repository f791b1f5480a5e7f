"""The patches that an overlay itself gives, in files and inline, with what they aim at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ruamel.yaml.nodes import MappingNode, Node

from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.reach import items, pairs, patch_items

# Lists of a pod spec and of a container without a merge key: a patch that gives one replaces that of the base and the components.
PLAIN_LISTS: Final = frozenset({"tolerations", "imagePullSecrets", "topologySpreadConstraints", "hostAliases", "envFrom"})


@dataclass(frozen=True)
class OwnPatch:
    """One item of `patches`, or of one of the two fields that it has taken the place of.

    Args:
        field: that field of the kustomization.
        number: its place in the field, from 0.
        file: where its text is.
        line: where the kustomization names it, from 1.
        offset: how many lines of `file` stand above the text; 0 for a file of its own.
        documents: the mappings of a strategic merge patch; empty for JSON6902 operations and for what does not parse.
        operations: those of a JSON6902 patch.
        target: the item's `target`, or None.
        may_rename: whether `options` let it change the name.
    """

    field: str
    number: int
    file: str
    line: int
    offset: int
    documents: tuple[Node, ...]
    operations: tuple[Node, ...]
    target: Node | None
    may_rename: bool

    @property
    def key(self) -> tuple[str, int]:
        """Which one it is: `field` and `number`."""
        return self.field, self.number


class _Files(Protocol):
    @property
    def kustomization(self) -> str: ...

    @property
    def trees(self) -> Mapping[str, list[Node]]: ...

    @property
    def kustomization_tree(self) -> Node | None: ...


def own_patches(files: _Files) -> tuple[OwnPatch, ...]:
    """Return the patches in the order of their application."""
    found = []
    for item in patch_items(files.kustomization_tree):
        trees = files.trees.get(item.path, []) if item.path else _inline(yamltext.scalar(item.inline) or "")
        offset = lines_above(item.inline) if item.inline is not None else 0
        may_rename = yamltext.scalar(yamltext.find(item.node, ("options", "allowNameChange"))) == "true"
        found.append(
            OwnPatch(
                item.field,
                item.number,
                item.path or files.kustomization,
                item.node.start_mark.line + 1,
                offset,
                tuple(tree for tree in trees if isinstance(tree, MappingNode)),
                tuple(operation for tree in trees for operation in items(tree)),
                yamltext.child(item.node, "target"),
                may_rename,
            )  # fmt: skip
        )
    return tuple(found)


def lines_above(inline: Node) -> int:
    """Return how many lines of the kustomization stand above a text in it, whose own first line has the number 1."""
    return int(inline.start_mark.line) + (1 if getattr(inline, "style", None) in ("|", ">") else 0)


def _inline(text: str) -> list[Node]:
    try:
        return yamltext.parse_all(text)
    except yamltext.YamlSyntaxError:
        return []


def may_match(patch: OwnPatch, objects: Sequence[Mapping[str, Any]], kustomization: Node | None) -> bool:
    """Return whether the patch's target plainly matches one of the rendered objects.

    One with selectors does not plainly, nor one with a namespace: the objects may have got theirs later.
    """
    selector = {key.value: str(value.value) for key, value in pairs(patch.target)}
    if any(selector.get(field) for field in ("labelSelector", "annotationSelector", "namespace")):
        return False
    return any(_matches(selector, item, kustomization) for item in objects)


def _matches(selector: Mapping[str, str], item: Mapping[str, Any], kustomization: Node | None) -> bool:
    group, _, version = str(item.get("apiVersion")).rpartition("/")
    names = plain_names(str((item.get("metadata") or {}).get("name")), kustomization)
    found = {"group": [group], "version": [version], "kind": [str(item.get("kind"))], "name": names}
    return all(any(_fits(wanted, value) for value in found[field]) for field, wanted in selector.items() if wanted and field in found)


def _fits(pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:
        return pattern == value


def plain_names(name: str, kustomization: Node | None) -> list[str]:
    """Return a rendered name, and what it was before the kustomization's own prefix, suffix and hash."""
    prefix = yamltext.scalar(yamltext.child(kustomization, "namePrefix")) or ""
    suffix = yamltext.scalar(yamltext.child(kustomization, "nameSuffix")) or ""
    plain = [name, re.sub(r"-[a-z0-9]{10}$", "", name)]
    return [*plain, *(each.removeprefix(prefix).removesuffix(suffix) for each in plain)]


def has_plain_lists(patches: Iterable[OwnPatch]) -> bool:
    """Return whether a patch gives one of the lists that kustomize replaces as a whole."""
    return any(PLAIN_LISTS & {*_keys(tree)} for patch in patches for tree in patch.documents)


def _keys(node: Node) -> Iterator[str]:
    for key, value in pairs(node):
        if items(value):
            yield str(key.value)
        yield from _keys(value)
    for item in items(node):
        yield from _keys(item)
