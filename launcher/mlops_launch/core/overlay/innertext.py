"""A text that stands in another YAML text: as a block (`|`), which is read without its margin and replaced with it, or in quotes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Protocol

from ruamel.yaml.nodes import Node, ScalarNode

from mlops_launch.errors import LauncherError


class InnerText(Protocol):
    """A text in another one."""

    @property
    def content(self) -> str:
        """The text itself."""

    def replaced(self, outer: str, content: str) -> str:
        """Return the outer text with another content.

        Raises:
            LauncherError: it cannot be written in the style that it has.
        """


@dataclass(frozen=True)
class BlockText:
    """The lines of a block.

    Args:
        start: where they start in the outer text, in characters.
        lines: as they are there, with margin and line ends.
        margin: the width of the margin.
    """

    start: int
    lines: tuple[str, ...]
    margin: int

    @property
    def content(self) -> str:
        """The text without its margin."""
        return "".join(line[self.margin :] if line.strip() else line.lstrip(" ") for line in self.lines)

    def replaced(self, outer: str, content: str) -> str:
        """Return the outer text with another content; lines that stay keep every byte."""
        old, new = self.content.splitlines(keepends=True), content.splitlines(keepends=True)
        head = next((n for n, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new)))
        rest = min(len(old), len(new)) - head
        tail = next(
            (n for n, (one, other) in enumerate(zip(reversed(old), reversed(new), strict=False)) if n == rest or one != other), rest
        )
        middle = [" " * self.margin + line if line.strip() else line for line in new[head : len(new) - tail]]
        lines = [*self.lines[:head], *middle, *self.lines[len(old) - tail :]]
        return outer[: self.start] + "".join(lines) + outer[self.start + sum(map(len, self.lines)) :]


@dataclass(frozen=True)
class QuotedText:
    """A text in quotes, folded or plain; it can be replaced where quotes and escapes are those of JSON, or single quotes on one line.

    Args:
        start: where its quote is in the outer text, in characters.
        raw: as it is written there, with its quotes.
        content: what it means.
    """

    start: int
    raw: str
    content: str

    def replaced(self, outer: str, content: str) -> str:
        """Implement `InnerText`."""
        if content == self.content:
            return outer
        write = {"'": _single, '"': _double}.get(self.raw[:1])
        if write is None or write(self.content) != self.raw or (write is _single and "\n" in content):
            raise LauncherError(f"cannot set in place, line {outer.count(chr(10), 0, self.start) + 1}", "edit the file by hand")
        return outer[: self.start] + write(content) + outer[self.start + len(self.raw) :]


def _single(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _double(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def inner_text(outer: str, node: Node | None) -> InnerText | None:
    """Return the text that the scalar `node` is in `outer`; None for anything else."""
    if not isinstance(node, ScalarNode):
        return None
    block = _block_text(outer, node) if node.style == "|" else None
    return block or QuotedText(node.start_mark.index, outer[node.start_mark.index : node.end_mark.index], str(node.value))


def _block_text(outer: str, node: ScalarNode) -> BlockText | None:
    start = outer.find("\n", node.start_mark.index) + 1
    first = next((line for line in str(node.value).split("\n") if line.strip()), None)
    lines: list[str] = []
    margin = None
    for line in outer[start:].splitlines(keepends=True):
        if line.strip():
            width = len(line) - len(line.lstrip(" "))
            if margin is None and first is not None:
                margin = width - (len(first) - len(first.lstrip(" ")))
            if margin is None or width < margin:
                break
        lines.append(line)
    return BlockText(start, tuple(lines), margin) if margin else None
