"""YAML text as a tree of nodes that know their place in it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from mlops_launch.core.overlay import yamlconstruct
from mlops_launch.core.overlay.yamlbounds import UnboundedError, require_bounded
from mlops_launch.core.path import EVERY, Named, Path
from mlops_launch.errors import LauncherError

# The key of YAML 1.1 that brings another mapping's keys; kustomize knows it.
MERGE = "<<"


class YamlSyntaxError(LauncherError):
    """A text that is no YAML: carries line and column, from 1, and the parser's words."""

    def __init__(self, problem: str, line: int | None, column: int | None) -> None:
        place = "" if line is None else f" in line {line}, column {column}"
        super().__init__(
            f"not valid YAML{place}: {problem}",
            "look at the line and the one above it: indentation, `: `, brackets, quotes, tabs",
        )
        self.problem, self.line, self.column = problem, line, column


def parse(text: str) -> Node | None:
    """Return the first document of `text` as nodes, or None when there is none.

    Raises:
        YamlSyntaxError: `text` is no YAML.
    """
    return next(iter(parse_all(text)), None)


def parse_all(text: str) -> list[Node]:
    """Return all documents of `text` as nodes.

    Raises:
        YamlSyntaxError: `text` is no YAML.
    """
    return list(_composed(text))


# An edit reads the same text several times; nobody changes a node.
@lru_cache(maxsize=512)
def _composed(text: str) -> tuple[Node, ...]:
    text = without_tabs(text)
    try:
        nodes = tuple(node for node in YAML(typ="safe", pure=True).compose_all(io.StringIO(text)) if node is not None)
        require_bounded(nodes)
        return nodes
    except RecursionError:
        raise YamlSyntaxError("nested too deeply", None, None) from None
    except UnboundedError as error:
        mark = error.node.start_mark
        raise YamlSyntaxError(error.problem, mark.line + 1, mark.column + 1) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(str(error.problem or error.context).split())
        raise YamlSyntaxError(problem, mark.line + 1 if mark else None, mark.column + 1 if mark else None) from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position)
        column = error.position - (text.rfind("\n", 0, error.position) + 1)
        raise YamlSyntaxError(f"a control character: U+{ord(text[error.position]):04X}", line + 1, column + 1) from error
    except YAMLError as error:
        raise YamlSyntaxError(" ".join(str(error).split()), None, None) from error


def load(text: str) -> Any:
    """Return the first document of `text` as plain data.

    Raises:
        YamlSyntaxError: `text` is no YAML, or has a key twice.
    """
    return load_tree(text, parse(text))


def load_tree(text: str, node: Node | None) -> Any:
    """Return the first document of `text`, whose nodes are known, as plain data.

    Raises:
        YamlSyntaxError: `text` has a key twice.
    """
    return next(iter(load_trees(text, [] if node is None else [node])), None)


def load_trees(text: str, nodes: list[Node]) -> list[Any]:
    """Return the documents of `text`, whose nodes are known, as plain data.

    Raises:
        YamlSyntaxError: `text` has a key twice in one of `nodes`.
    """
    for key, line, first in (each for node in nodes for each in duplicate_keys(node)):
        raise YamlSyntaxError(f"the key of line {first} is there again: {key}", line, 1)
    try:
        return yamlconstruct.documents(without_tabs(text), nodes)
    except RecursionError:
        raise YamlSyntaxError("nested too deeply", None, None) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        raise YamlSyntaxError(str(error.problem), mark.line + 1 if mark else None, mark.column + 1 if mark else None) from error


def without_tabs(text: str) -> str:
    """Return `text` with a space for each tab that separates tokens, as YAML and kubectl allow it and the library here does not.

    Every other character keeps its place. A tab that indents stays, kubectl refuses it too; one in a quoted or block text stays.
    """
    while "\t" in text:
        try:
            for _ in YAML(typ="safe", pure=True).parse(io.StringIO(text)):
                pass
        except MarkedYAMLError as error:
            mark = error.problem_mark
            place = mark.index if mark is not None else len(text)
            before = text[text.rfind("\n", 0, place) + 1 : place]
            if text[place : place + 1] != "\t" or not before.strip(" \t"):
                return text
            end = next((index for index in range(place, len(text)) if text[index] not in " \t"), len(text))
            text = text[:place] + " " * (end - place) + text[end:]
        except YAMLError:
            return text
        else:
            return text
    return text


def child(node: Node | None, step: str | Named) -> Node | None:
    """Return the value of a mapping's key, or a list's item of that name; None when there is none."""
    if isinstance(step, Named):
        items = node.value if isinstance(node, SequenceNode) else []
        return next((item for item in items if scalar(child(item, "name")) == step.name), None)
    pairs = node.value if isinstance(node, MappingNode) else []
    own: Node | None = next((value for key, value in pairs if key.value == step), None)
    if own is not None:
        return own
    return next((found for key, value in pairs if key.value == MERGE for each in _merged(value) if (found := child(each, step))), None)


def _merged(value: Node) -> list[Node]:
    """Return the mappings that `<<: *alias` or `<<: [*one, *two]` brings, nearest first."""
    return list(value.value) if isinstance(value, SequenceNode) else [value]


def find(node: Node | None, path: Path) -> Node | None:
    """Return the node at `path` below `node`, or None."""
    for step in path:
        node = child(node, step)
    return node


def find_all(node: Node | None, path: Path) -> Iterator[Node]:
    """Yield the nodes at `path` below `node`, whose steps EVERY stand for each item of a list."""
    if node is None:
        return
    if not path:
        yield node
    elif path[0] == EVERY:
        for item in node.value if isinstance(node, SequenceNode) else []:
            yield from find_all(item, path[1:])
    else:
        yield from find_all(child(node, path[0]), path[1:])


def scalar(node: Node | None) -> str | None:
    """Return a scalar's text, or None when the node is no scalar."""
    return str(node.value) if isinstance(node, ScalarNode) else None


def values_of(node: Node | None, name: str) -> Iterator[str]:
    """Yield the scalars that any mapping at or below `node` has under a key."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if key.value == name and isinstance(value, ScalarNode):
                yield str(value.value)
            yield from values_of(value, name)
    elif isinstance(node, SequenceNode):
        for item in node.value:
            yield from values_of(item, name)


def node_of(data: Any) -> Node:
    """Return plain data as nodes, all of them at the beginning of no text."""
    mark = StringMark("", 0, 0, 0, "", 0)
    if isinstance(data, dict):
        return MappingNode("", [(node_of(str(key)), node_of(value)) for key, value in data.items()], mark, mark)
    if isinstance(data, list):
        return SequenceNode("", [node_of(item) for item in data], mark, mark)
    return ScalarNode("", str(data), mark, mark)


def depth_of(node: Node | None, path: Path) -> int:
    """Return how many steps of `path` there are below `node`."""
    for number, step in enumerate(path):
        node = child(node, step)
        if node is None:
            return number
    return len(path)


def line_of(node: Node | None, path: Path) -> int | None:
    """Return the line, from 1, of the deepest key on the way along `path`, or None when not even the first is there."""
    line = None
    for step in path:
        if isinstance(step, str) and isinstance(node, MappingNode):
            line = next((key.start_mark.line + 1 for key, _ in node.value if key.value == step), line)
        node = child(node, step)
        if isinstance(step, Named) and node is not None:
            line = node.start_mark.line + 1
        if node is None:
            break
    return line


def duplicate_keys(node: Node | None) -> Iterator[tuple[str, int, int]]:
    """Yield (key, line, line of the first) for each key that a mapping holds again."""
    if isinstance(node, MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, ScalarNode) and key.value != MERGE:
                if key.value in seen:
                    yield str(key.value), line, seen[key.value]
                seen.setdefault(key.value, line)
            yield from duplicate_keys(value)
    elif isinstance(node, SequenceNode):
        for item in node.value:
            yield from duplicate_keys(item)
