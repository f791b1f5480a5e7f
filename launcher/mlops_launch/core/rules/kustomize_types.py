"""A rule over the types of values in kustomization.yaml: kubectl says them in the words of Go, and without a line."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from mlops_launch.core.overlay.reach import items, pairs
from mlops_launch.core.overlay.yamltree import MERGE
from mlops_launch.core.rules.base import Place, Problem, Subject
from mlops_launch.core.rules.example import in_kustomization
from mlops_launch.core.rules.rule import ERROR, rule

_WORDS = re.compile(
    r"cannot unmarshal (?P<got>[a-z]+).* into Go (?:struct field|value) (?:\w+\.)?(?P<path>[\w.]*) ?of type (?P<wanted>\S+)"
)
_GOT = {"number": "a number", "bool": "true or false", "string": "a text", "object": "a mapping", "array": "a list"}
_WANTED = {"string": "a text", "bool": "true or false", "[]string": "a list of texts", "map[string]string": "a mapping of texts"}
_HINTS = {
    "a text": "put it in quotes",
    "a list of texts": "write each item on a line of its own with `- `",
    "a list": "write each item on a line of its own with `- `",
    "a mapping": "write `key: value` lines below it",
    "a mapping of texts": "put numbers, true and false in quotes",
}


@rule(
    "kustomize-type",
    ERROR,
    "A value in kustomization.yaml is of another type than the field, or a key is not a text",
    why="kubectl refuses the overlay. `on`, `yes` and numbers without quotes are not texts there, neither as values nor as keys.",
    wrong=in_kustomization("namePrefix: [team-a-]"),
    right=in_kustomization("namePrefix: team-a-"),
    explains_render=True,
    any_job=True,
)
def _type(subject: Subject) -> Iterator[Problem]:
    if "map[interface {}]" in (subject.render_error or ""):
        yield from _keys(subject)
    match = _WORDS.search(subject.render_error or "")
    if match is None:
        return
    wanted, got, field = _wanted(match["wanted"]), match["got"], match["path"].rpartition(".")[2]
    node, is_item = next(_values(subject.files.kustomization_tree, field, got), (None, False))
    name = f"{'an item of ' if is_item else ''}`{field}`" if field else "the file"
    value = f": {node.value}" if isinstance(node, ScalarNode) else ""
    place = Place(subject.files.kustomization, None if node is None else node.start_mark.line + 1)
    yield Problem(f"{name} is not {wanted} but {_GOT.get(got, got)}{value}", _HINTS.get(wanted, "correct the value"), place)


def _keys(subject: Subject) -> Iterator[Problem]:
    """Yield the keys that kubectl reads as something else than a text."""
    for name, trees in subject.files.trees.items():
        for key in (key for tree in trees for key in _all_keys(tree)):
            if not isinstance(key, ScalarNode) or (key.style is None and not _is(key, "string") and key.value != MERGE):
                shown = f": {key.value}" if isinstance(key, ScalarNode) else ""
                yield Problem(f"a key is not a text{shown}", "put it in quotes", Place(name, key.start_mark.line + 1))


def _all_keys(node: Node) -> Iterator[Node]:
    for key, value in node.value if isinstance(node, MappingNode) else ():
        yield key
        yield from _all_keys(value)
    for item in items(node):
        yield from _all_keys(item)


def _wanted(go_type: str) -> str:
    if go_type.startswith("[]"):
        return _WANTED.get(go_type, "a list")
    return _WANTED.get(go_type, "a mapping" if "." in go_type else "a number")


def _values(node: Node | None, field: str, got: str) -> Iterator[tuple[Node, bool]]:
    """Yield the field's values that kubectl reads as that type, and whether each is an item of its list."""
    for key, value in pairs(node):
        if key.value == field:
            yield from ((each, each is not value) for each in (value, *items(value)) if _is(each, got))
        yield from _values(value, field, got)
    for item in items(node):
        yield from _values(item, field, got)


def _is(node: Node, got: str) -> bool:
    if isinstance(node, ScalarNode):
        kind = str(node.tag).rpartition(":")[2]
        is_word = node.style is None and str(node.value).lower() in ("on", "off", "yes", "no", "y", "n")
        return got == ("bool" if is_word else {"int": "number", "float": "number", "bool": "bool"}.get(kind, "string"))
    return (got == "object" and isinstance(node, MappingNode)) or (got == "array" and isinstance(node, SequenceNode))
