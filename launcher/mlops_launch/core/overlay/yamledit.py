"""Set one value in YAML text and leave every other byte as it is.

The YAML library finds the place, the bytes are spliced there, and the result is parsed again and compared with the
data that was wanted: what cannot be edited safely (an alias, a block text) is refused instead of damaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from mlops_launch.core.overlay import plaindata, yamlwrite
from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.plaindata import BY_HAND
from mlops_launch.core.path import Named, Path
from mlops_launch.core.workload import kinds
from mlops_launch.errors import LauncherError

# Where a key goes that is not there yet: in front of the first of these siblings, otherwise behind the last one.
_GOES_BEFORE: Mapping[str, Sequence[str]] = {
    "namespace": ("resources", "components", "configMapGenerator", "patches", "replacements"),
    "securityContext": ("containers", "volumes"),
    "requests": ("limits",),
}


@dataclass(frozen=True)
class YamlText:
    """One document of a YAML text, which is parsed once, however many values are read from it.

    Args:
        text: all of it.
        document: which one is read and edited, from 0.
    """

    text: str
    document: int = 0

    @cached_property
    def _trees(self) -> list[Node]:
        return yamltext.parse_all(self.text)

    @property
    def tree(self) -> Node | None:
        """The document as nodes.

        Raises:
            YamlSyntaxError: the text is not valid YAML.
        """
        return self._trees[self.document] if self.document < len(self._trees) else None

    @cached_property
    def documents(self) -> list[Any]:
        """All documents as plain data.

        Raises:
            YamlSyntaxError: the text is not valid YAML, or has a key twice.
        """
        return _loaded(self.text)

    @property
    def data(self) -> Any:
        """The document as plain data.

        Raises:
            YamlSyntaxError: the text is not valid YAML, or has a key twice.
        """
        return self.documents[self.document] if self.document < len(self.documents) else None

    def get(self, path: Path) -> Any:
        """Return the data at `path`, or None when it is not there.

        Raises:
            YamlSyntaxError: the text is not valid YAML, or has a key twice.
        """
        data = self.data
        for step in path:
            data = plaindata.step_into(data, step)
        return data

    def with_value(self, path: Path, value: int | str) -> YamlText:
        """Return the text with the value at `path` set; missing keys, and a missing named item of a list, are created.

        Raises:
            YamlSyntaxError: the text is not valid YAML, or has a key twice.
            LauncherError: the place cannot be edited in place.
        """
        wanted = plaindata.with_value(self.data, path, value)
        # kustomize reads YAML 1.1, where 010 is 8: only a number in plain digits is the same.
        is_plain = isinstance(value, str) or yamltext.scalar(yamltext.find(self.tree, path)) == str(value)
        if wanted == self.data and type(self.get(path)) is type(value) and is_plain:
            return self
        edited = YamlText(_splice(self.text, self.tree, path, value), self.document)
        others = [data for number, data in enumerate(self.documents) if number != self.document]
        try:
            is_right = edited.data == wanted and type(edited.get(path)) is type(value)
            is_right = is_right and others == [data for number, data in enumerate(edited.documents) if number != self.document]
        except yamltext.YamlSyntaxError:
            is_right = False
        if not is_right:
            raise LauncherError(f"cannot set in place: {yamlwrite.path_name(path)}", BY_HAND)
        return edited


# The text after one edit is the text before the next; nobody changes the data.
@lru_cache(maxsize=512)
def _loaded(text: str) -> list[Any]:
    return yamltext.load_trees(text, yamltext.parse_all(text))


def _splice(text: str, root: Node | None, path: Path, value: int | str) -> str:
    if root is None:
        return text + yamlwrite.block(path, value, 0, yamlwrite.newline(text))
    node: Node = root
    for position, step in enumerate(path):
        found = yamltext.child(node, step)
        if found is None:
            return _insert(text, node, path[position:], value)
        if not node.start_mark.index <= found.start_mark.index <= node.end_mark.index:
            raise LauncherError(f"an alias: {yamlwrite.path_name(path[: position + 1])}", BY_HAND)
        if _is_empty(found):
            return _fill(text, node, found, path[position + 1 :], value)
        node = found
    return _replace(text, node, value)


def _replace(text: str, node: Node, value: int | str) -> str:
    start, end = node.start_mark.index, node.end_mark.index
    if not isinstance(node, ScalarNode) or node.style in ("|", ">"):
        raise LauncherError(f"cannot set in place, line {node.start_mark.line + 1}", BY_HAND)
    return text[:start] + yamlwrite.scalar(value, node.style) + text[end:]


def _is_empty(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.start_mark.index == node.end_mark.index


def _after_colon(text: str, parent: Node, empty: Node) -> int:
    """Return where a value that is not there would start: its own mark lies behind the comments that follow."""
    key = next((key for key, value in parent.value if value is empty), None) if isinstance(parent, MappingNode) else None
    if key is None:
        raise LauncherError(f"no value, line {empty.start_mark.line + 1}", BY_HAND)
    return text.index(":", key.end_mark.index) + 1


def _insert(text: str, node: Node, path: Path, value: int | str) -> str:
    """Add `path` to the mapping or list `node`."""
    if not isinstance(node, CollectionNode):
        raise LauncherError(f"not a mapping, line {node.start_mark.line + 1}", BY_HAND)
    if node.flow_style:
        close = node.end_mark.index - 1
        body = text[:close].rstrip()
        separator = "" if body.endswith(("{", ",")) else ", "
        return body + separator + yamlwrite.flow(path, value) + text[close:]
    sibling = _next_sibling(text, node, path[0])
    indent = node.start_mark.column
    lines = yamlwrite.block(path, value, indent, yamlwrite.newline(text))
    if sibling is not None:
        return _insert_at(text, _start_of_lines(text, sibling, indent), lines)
    return _insert_at(text, _end_of_line(text, _end(node)), lines)


def _fill(text: str, parent: Node, empty: Node, path: Path, value: int | str) -> str:
    """Give a key without a value its value, or its first entry."""
    colon = _after_colon(text, parent, empty)
    if not path:
        return f"{text[:colon]} {yamlwrite.scalar(value)}{text[colon:]}"
    indent = parent.start_mark.column + (0 if isinstance(path[0], Named) else 2)
    if isinstance(parent, CollectionNode) and parent.flow_style:
        raise LauncherError(f"no value in brackets, line {empty.start_mark.line + 1}", BY_HAND)
    return _insert_at(text, _end_of_line(text, colon), yamlwrite.block(path, value, indent, yamlwrite.newline(text)))


def _insert_at(text: str, position: int, lines: str) -> str:
    if position > 0 and text[position - 1] != "\n":
        return text[:position] + yamlwrite.newline(text) + lines.removesuffix(yamlwrite.newline(text)) + text[position:]
    return text[:position] + lines + text[position:]


def _next_sibling(text: str, node: Node, step: str | Named) -> Node | None:
    """Return the key in front of which the new key `step` goes; none that follows a dash on its line."""
    if not isinstance(node, MappingNode) or isinstance(step, Named):
        return None
    orders = [_GOES_BEFORE, *(kind.goes_before for kind in kinds.KINDS)]
    wanted = {key for order in orders for key in order.get(step, ())}
    keys = [key for key, _ in node.value if key.value in wanted]
    return next((key for key in keys if not text[: key.start_mark.index].rpartition("\n")[2].strip()), None)


def _start_of_lines(text: str, key: Node, indent: int) -> int:
    """Return where the key's line starts, or the comment lines right above it with the same indentation."""
    start = text.rfind("\n", 0, key.start_mark.index) + 1
    while start > 0:
        above = text.rfind("\n", 0, start - 1) + 1
        if not text[above:start].startswith(" " * indent + "#"):
            break
        start = above
    return start


def _end(node: Node) -> int:
    """Return where the node's own text ends; a block's end mark lies behind the comments that follow."""
    if isinstance(node, CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1] if isinstance(node, SequenceNode) else node.value[-1][1]
        if isinstance(node, MappingNode) and _is_empty(last):
            return int(node.value[-1][0].end_mark.index)
        if last.start_mark.index >= node.start_mark.index:  # an alias's node lies elsewhere
            return _end(last)
    return int(node.end_mark.index)


def _end_of_line(text: str, position: int) -> int:
    if position > 0 and text[position - 1] == "\n":
        return position
    newline = text.find("\n", position)
    return len(text) if newline < 0 else newline + 1
