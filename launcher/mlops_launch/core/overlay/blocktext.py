"""A text that stands as a block (`|`) in another YAML text: read without its margin, and replaced with it."""

from __future__ import annotations

from dataclasses import dataclass

from ruamel.yaml.nodes import Node, ScalarNode


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


def block_text(outer: str, node: Node | None) -> BlockText | None:
    """Return the block that `node` is in `outer`; None for any other style."""
    if not isinstance(node, ScalarNode) or node.style != "|":
        return None
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
