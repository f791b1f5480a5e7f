"""Which packages a program of the model package needs, by its source: what it imports, and what it imports of common/ and models/."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Final

from mlops_launch.core.settings import source
from mlops_launch.core.settings.source import SourceError

_MISSING: Final = frozenset({"ImportError", "ModuleNotFoundError"})
# What is ours, and what many packages share.
_NOT_PACKAGES: Final = frozenset({"mlops_launch", "google"})


def packages_of(start: str, files: Mapping[str, bytes]) -> frozenset[str]:
    """Return the names of the packages that a program imports sooner or later, those of Python itself left out.

    An import whose failure the program survives does not count, nor does one for type checkers.

    Args:
        start: the program, a key of `files`.
        files: content by path below the package's folder, with `/`; one that is not Python imports nothing.
    """
    local = {path.split("/")[0] for path in files}
    found: set[str] = set()
    seen, waiting = {start}, [start]
    while waiting:
        path = waiting.pop()
        for module in _imports(path, files.get(path, b"")):
            top = module.split(".")[0]
            if top not in local:
                found.add(top)
                continue
            stem = module.replace(".", "/")
            for file in (f"{stem}.py", f"{stem}/__init__.py"):
                if file in files and file not in seen:
                    seen.add(file)
                    waiting.append(file)
    return frozenset(found - sys.stdlib_module_names - _NOT_PACKAGES)


def _imports(path: str, content: bytes) -> Iterator[str]:
    """Yield the full name of each module that a file imports; of `from a import b`, which may be either, `a` and `a.b`."""
    try:
        tree = source.parse(content)
    except SourceError:
        return
    package = PurePosixPath(path).parent.parts
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        skipped: list[ast.stmt] = []
        if isinstance(node, ast.Try) and any(_survives(handler) for handler in node.handlers):
            skipped = node.body
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            skipped = node.body
        waiting += [child for child in ast.iter_child_nodes(node) if child not in skipped]


def _survives(handler: ast.ExceptHandler) -> bool:
    """Return whether a program that lacks a package has another way here, and not only words of its own."""
    names = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} if handler.type else set()
    return bool(names & _MISSING) and not isinstance(handler.body[-1], ast.Raise)
