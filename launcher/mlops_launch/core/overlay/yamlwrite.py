"""Values as YAML text, in the style of the overlays: two spaces, lists not indented, quotes only where they are needed."""

from __future__ import annotations

import json
import re

from mlops_launch.core.path import Named, Path
from mlops_launch.errors import LauncherError

_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?([mkMGTPE]|[KMGTPE]i)")
_WORD = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_NOT_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def scalar(value: int | str, style: str | None = None) -> str:
    """Return a scalar as YAML: a number plain, a text in the quotes it had, or in none where it reads as text."""
    if isinstance(value, int):
        return str(value)
    if style == "'":
        return "'" + value.replace("'", "''") + "'"
    if style != '"' and (_QUANTITY.fullmatch(value) or (_WORD.fullmatch(value) and value.lower() not in _NOT_TEXT)):
        return value
    return json.dumps(value, ensure_ascii=False)


def newline(text: str) -> str:
    """Return the line end that `text` uses."""
    return "\r\n" if "\r\n" in text else "\n"


def block(path: Path, value: int | str, indent: int, line_end: str) -> str:
    """Return lines that hold `value` at `path`, lists not indented."""
    lines: list[str] = []
    dash = False
    for position, step in enumerate(path):
        margin = " " * (indent - 2) + "- " if dash else " " * indent
        if isinstance(step, Named):
            lines.append(f"{' ' * indent}- name: {scalar(step.name)}")
            indent, dash = indent + 2, False
        elif position == len(path) - 1:
            lines.append(f"{margin}{step}: {scalar(value)}")
        else:
            lines.append(f"{margin}{step}:")
            indent += 0 if isinstance(path[position + 1], Named) else 2
    return "".join(line + line_end for line in lines)


def flow(path: Path, value: int | str) -> str:
    """Return `value` at `path` as an entry in braces.

    Raises:
        LauncherError: the path leads through a list.
    """
    step, rest = path[0], path[1:]
    if isinstance(step, Named) or any(isinstance(other, Named) for other in rest):
        raise LauncherError(f"cannot add to a list in brackets: {path_name(path)}", "edit the file by hand")
    return f"{step}: {scalar(value) if not rest else '{' + flow(rest, value) + '}'}"


def path_name(path: Path) -> str:
    """Return a path as messages show it."""
    return ".".join(str(step) for step in path)
