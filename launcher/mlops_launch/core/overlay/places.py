"""Where an overlay's own patches give a field of the workload its value, or could."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from mlops_launch.core.overlay import dialect, yamlwrite
from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.files import OverlayFiles
from mlops_launch.core.overlay.reach import items
from mlops_launch.core.overlay.sources import PatchSource, patch_sources
from mlops_launch.core.overlay.yamledit import YamlText
from mlops_launch.core.path import Named, Path
from mlops_launch.core.workload import kinds
from mlops_launch.errors import LauncherError


class Place(Protocol):
    """Where a value can be written."""

    def edited(self, files: OverlayFiles, value: int | str) -> OverlayFiles:
        """Return the overlay with the value written here.

        Raises:
            LauncherError: it cannot be written in place.
        """

    def shown(self, files: OverlayFiles) -> tuple[str, int | None]:
        """Return file and line, from 1."""

    def has(self, files: OverlayFiles, value: object) -> bool:
        """Return whether the value is written here, perhaps in another way: 010 is 8."""


@dataclass(frozen=True)
class FieldPlace:
    """A field of a strategic merge patch, there or not there yet.

    Args:
        source: the text it is in.
        document: which one of the text, from 0.
        path: of the field in the workload, and so in the patch.
    """

    source: PatchSource
    document: int
    path: Path

    def edited(self, files: OverlayFiles, value: int | str) -> OverlayFiles:
        """Implement `Place`."""
        try:
            return self.source.with_text(files, YamlText(self.source.text(files) or "", self.document).with_value(self.path, value).text)
        except LauncherError as error:
            raise LauncherError(f"{self.source.file}: {error.message}", error.hint) from error

    def shown(self, files: OverlayFiles) -> tuple[str, int | None]:
        """Implement `Place`."""
        tree = YamlText(self.source.text(files) or "", self.document).tree
        line = yamltext.line_of(tree, self.path)
        return self.source.file, None if line is None else line + self.source.offset(files)

    def has(self, files: OverlayFiles, value: object) -> bool:
        """Implement `Place`."""
        return is_read_as(yamltext.find(YamlText(self.source.text(files) or "", self.document).tree, self.path), value)


@dataclass(frozen=True)
class OperationPlace:
    """The value of a JSON6902 operation, or a field in it.

    Args:
        source: the text it is in.
        operation: which one of the text, from 0.
        rest: the path in its value.
    """

    source: PatchSource
    operation: int
    rest: Path

    def edited(self, files: OverlayFiles, value: int | str) -> OverlayFiles:
        """Implement `Place`."""
        text = self.source.text(files) or ""
        node = self._node(text)
        edited = text
        if isinstance(node, ScalarNode) and node.style not in ("|", ">"):
            edited = text[: node.start_mark.index] + yamlwrite.scalar(value, node.style) + text[node.end_mark.index :]
        if not _differs_once(text, edited):
            file, line = self.shown(files)
            raise LauncherError(f"cannot set in place, line {line}: {file}", "edit the file by hand")
        try:
            return self.source.with_text(files, edited)
        except LauncherError as error:
            raise LauncherError(f"{self.source.file}: {error.message}", error.hint) from error

    def shown(self, files: OverlayFiles) -> tuple[str, int | None]:
        """Implement `Place`."""
        node = self._node(self.source.text(files) or "")
        return self.source.file, None if node is None else node.start_mark.line + 1 + self.source.offset(files)

    def has(self, files: OverlayFiles, value: object) -> bool:
        """Implement `Place`."""
        return is_read_as(self._node(self.source.text(files) or ""), value)

    def _node(self, text: str) -> Node | None:
        operations = items(next(iter(yamltext.parse_all(text)), None))
        return yamltext.find(yamltext.child(operations[self.operation], "value"), self.rest)


def is_read_as(node: Node | None, value: object) -> bool:
    """Return whether a scalar may be what was rendered."""
    text = yamltext.scalar(node)
    return text is not None and (text == str(value) or (isinstance(value, int) and dialect.integer(text) == value))


def _differs_once(old: str, new: str) -> bool:
    """Return whether two texts hold the same but for one scalar; an alias of it would be another."""
    try:
        before, after = ([*_leaves(tree)] for text in (old, new) for tree in [SequenceNode("", yamltext.parse_all(text))])
    except yamltext.YamlSyntaxError:
        return False
    return len(before) == len(after) and sum(one != other for one, other in zip(before, after, strict=True)) == 1


def _leaves(node: Node) -> Iterator[tuple[str, str, object]]:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield from _leaves(key)
            yield from _leaves(value)
    elif isinstance(node, SequenceNode):
        for item in node.value:
            yield from _leaves(item)
    else:
        yield str(node.tag), str(node.value), getattr(node, "style", None)
    yield str(node.tag), "", None


def field_places(files: OverlayFiles, kind: str, path: Path) -> list[Place]:
    """Return the places of a field in the patches: those that have it, the last first; then those that lack least of its path."""
    there: list[Place] = []
    partly: list[tuple[int, Place]] = []
    for source in patch_sources(files):
        for number, tree in enumerate(_trees(source.text(files))):
            if isinstance(tree, MappingNode) and yamltext.scalar(yamltext.child(tree, "kind")) == kind:
                place, depth = FieldPlace(source, number, path), yamltext.depth_of(tree, path)
                if depth == len(path):
                    there.append(place)
                else:
                    partly.append((depth, place))
            elif number == 0:
                there.extend(OperationPlace(source, index, rest) for index, rest in _operations(tree, path))
    partly.sort(key=lambda each: -each[0])
    return [*reversed(there), *(place for _, place in partly)]


def _trees(text: str | None) -> list[Node]:
    try:
        return yamltext.parse_all(text or "")
    except yamltext.YamlSyntaxError:
        return []


def _operations(tree: Node, path: Path) -> Iterator[tuple[int, Path]]:
    """Yield the operations that write the field, each with the rest of the path in its value."""
    for index, operation in enumerate(items(tree)):
        pointer, value = yamltext.scalar(yamltext.child(operation, "path")), yamltext.child(operation, "value")
        if pointer is None or yamltext.scalar(yamltext.child(operation, "op")) not in ("add", "replace"):
            continue
        rest = _below(pointer, path)
        if rest is not None and isinstance(yamltext.find(value, rest), ScalarNode):
            yield index, rest


def _below(pointer: str, path: Path) -> Path | None:
    """Return what of `path` is below a JSON pointer; None when it leads elsewhere. Which item an index means is left open."""
    tokens = [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]
    if len(tokens) > len(path):
        return None
    for token, step in zip(tokens, path, strict=False):
        fits = token == "-" or token.isdigit() if isinstance(step, Named) else token == step
        if not fits:
            return None
    return path[len(tokens) :]


def workload_documents(files: OverlayFiles) -> Iterator[Mapping[str, Any]]:
    """Yield the documents of the strategic merge patches on a workload, as plain data."""
    for source in patch_sources(files):
        text = source.text(files)
        for number, tree in enumerate(_trees(text)):
            if isinstance(tree, MappingNode) and yamltext.scalar(yamltext.child(tree, "kind")) in kinds.names():
                yield YamlText(text or "", number).data
