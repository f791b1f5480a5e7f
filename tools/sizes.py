"""Name what has grown too large in the launcher: files over 250 lines, functions over 60, constructors over six parameters.

Exit code 1 when there is any. Limits: docs/architecture.md.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 250
FUNCTION_LINES = 60
PARAMETERS = 6


def findings(path: Path) -> Iterator[str]:
    """Yield what is too large in one file, with its place and its size."""
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    if lines > FILE_LINES:
        yield f"{path}: {lines} lines, at most {FILE_LINES}"
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        # Decorators count for nothing: a rule's examples and a verb's options stand there.
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > FUNCTION_LINES:
            yield f"{path}:{node.lineno}: {node.name} has {length} lines, at most {FUNCTION_LINES}"
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        if node.name == "__init__" and len(arguments) - 1 > PARAMETERS:
            yield f"{path}:{node.lineno}: a constructor with {len(arguments) - 1} parameters, at most {PARAMETERS}"


def main(folders: list[str]) -> int:
    """Print the findings of all Python files in `folders`; return the exit code."""
    found = [line for folder in folders for path in sorted(Path(folder).rglob("*.py")) for line in findings(path)]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["launcher/mlops_launch"]))
