"""Nodes of YAML as plain data, in the words of kustomize: what is no number, no date and no tag that it knows is a text."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode


class _Constructor(SafeConstructor):
    """Constructs `.`, `0x_` and 2026-13-45 as texts: the library takes them for numbers and dates by their form, and fails."""


def _or_text(construct: Callable[[SafeConstructor, Node], Any]) -> Callable[[SafeConstructor, Node], Any]:
    def constructed(constructor: SafeConstructor, node: Node) -> Any:
        try:
            return construct(constructor, node)
        except ValueError:
            return str(node.value)

    return constructed


def _untagged(constructor: SafeConstructor, node: Node) -> Any:
    if isinstance(node, MappingNode):
        return constructor.construct_mapping(node, deep=True)
    return constructor.construct_sequence(node, deep=True) if isinstance(node, SequenceNode) else str(node.value)


_Constructor.add_constructor("tag:yaml.org,2002:int", _or_text(SafeConstructor.construct_yaml_int))
_Constructor.add_constructor("tag:yaml.org,2002:float", _or_text(SafeConstructor.construct_yaml_float))
_Constructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)
_Constructor.add_constructor(None, _untagged)


def documents(text: str, nodes: Sequence[Node]) -> list[Any]:
    """Return the documents of `text` as plain data.

    Args:
        text: without tabs between tokens.
        nodes: what it is composed to.

    Raises:
        MarkedYAMLError: a node cannot be constructed.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    # The library changes the nodes of mappings that it merges, and reads numbers by a directive's version.
    if "<<" in text or "%" in text:
        return list(yaml.load_all(io.StringIO(text)))
    return [yaml.constructor.construct_document(node) for node in nodes]
