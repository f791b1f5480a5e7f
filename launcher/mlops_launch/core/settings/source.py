"""Python source as data: a dataclass of `setting(…)` fields and a dictionary of overrides, with the line of each."""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

# What no default comes near; a larger number would only keep the machine busy.
_LARGEST_EXPONENT: Final = 64
_LARGEST_NUMBER: Final = 10**38
_OPERATORS: Final[dict[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}

# Arguments of `setting(…)` that may be given without their names.
POSITIONAL: Final = ("default", "help")

Literal = str | int | float | bool | tuple["Literal", ...]


class SourceError(Exception):
    """Source that does not have the form; `line` counts from 1, None when it is the file as a whole."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.message, self.line = one_line(message), line


@dataclass(frozen=True)
class Declared:
    """A field of a settings class: its annotation, and the arguments of `setting(…)` by name."""

    name: str
    annotation: str
    arguments: dict[str, Literal]
    line: int


def one_line(text: str) -> str:
    """Return what can be printed of `text`, in one line."""
    return " ".join(text.encode(errors="replace").decode().split())


def parse(content: bytes) -> ast.Module:
    """Return the syntax tree of a file.

    Raises:
        SourceError: it is not Python.
    """
    try:
        with warnings.catch_warnings():
            # An odd escape sequence is the author's matter.
            warnings.simplefilter("ignore")
            return ast.parse(content)
    except SyntaxError as error:
        raise SourceError(f"not valid Python: {error.msg}", error.lineno or None) from error
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise SourceError(f"not valid Python: {error or 'nested too deeply'}", None) from error


def read_docstring(tree: ast.Module) -> str:
    """Return the module's docstring, an empty text when it has none."""
    text = ast.get_docstring(tree) or ""
    return text if _is_printable(text) else ""


def read_bases(tree: ast.Module, name: str, module: str) -> Iterator[tuple[str, int]]:
    """Yield the full name and the line of each base of the module's class `name`, as the module's imports have it.

    Args:
        tree: the module.
        name: the class.
        module: the module's own full name, for relative imports.

    Raises:
        SourceError: there is no such class, or a base is not a name.
    """
    imported = dict(_imports(tree, module))
    for node in _class(tree, name).bases:
        words = _annotation(node).split(".")
        if not all(word.isidentifier() for word in words):
            raise SourceError(f"a base of `{name}` is not a name", node.lineno)
        yield ".".join([imported.get(words[0], words[0]), *words[1:]]), node.lineno


def _imports(tree: ast.Module, module: str) -> Iterator[tuple[str, str]]:
    """Yield each name that the module imports, and what it stands for."""
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            yield from ((alias.asname, alias.name) for alias in statement.names if alias.asname)
        elif isinstance(statement, ast.ImportFrom):
            above = module.split(".")[: -statement.level] if statement.level else []
            start = ".".join([*above, *([statement.module] if statement.module else [])])
            yield from ((alias.asname or alias.name, f"{start}.{alias.name}") for alias in statement.names)


def read_class(tree: ast.Module, name: str) -> Iterator[Declared]:
    """Yield the annotated fields of the module's class `name`, in order.

    Raises:
        SourceError: there is no such class, or a field is not `name: type = setting(…)` of literals.
    """
    for statement in _class(tree, name).body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            annotation = _annotation(statement.annotation)
            if not annotation.startswith(("ClassVar", "typing.ClassVar")):
                yield _declared(statement, statement.target.id, annotation)


def _class(tree: ast.Module, name: str) -> ast.ClassDef:
    found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    if not found:
        raise SourceError(f"no class `{name}`", None)
    return found[-1]


def read_dictionary(tree: ast.Module, name: str) -> Iterator[tuple[str, Literal, int]]:
    """Yield (key, value, line) of the dictionary that the module calls `name`, in order.

    Raises:
        SourceError: there is none, or it is not a dictionary of texts and literals.
    """
    node = None
    for statement in tree.body:
        targets = (
            statement.targets if isinstance(statement, ast.Assign) else [statement.target] if isinstance(statement, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            node = statement
    if node is None or not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(node.value, ast.Dict):
        raise SourceError(f"no dictionary `{name} = {{…}}`", node.lineno if node else None)
    for key, value in zip(node.value.keys, node.value.values, strict=True):
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str) or not _is_printable(key.value):
            raise SourceError(f"a key of `{name}` is not the name of a setting", (key or value).lineno)
        yield key.value, evaluate(value), key.lineno


def evaluate(node: ast.expr) -> Literal:
    """Return the value of a literal, or of arithmetic of literals.

    Raises:
        SourceError: it is anything else, or a number without measure.
    """
    try:
        return _evaluate(node)
    except (ArithmeticError, RecursionError) as error:
        raise SourceError("not a value that can be computed here", node.lineno) from error


def _evaluate(node: ast.expr) -> Literal:
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float) and _is_sane(node.value):
        return node.value
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(_evaluate(item) for item in node.elts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _number(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _number(node.left), _number(node.right)
        if isinstance(node.op, ast.Pow) and abs(right) > _LARGEST_EXPONENT:
            raise SourceError("a number without measure", node.lineno)
        value = _OPERATORS[type(node.op)](left, right)
        if isinstance(value, int | float) and _is_sane(value):  # a power may be complex
            return value
    raise SourceError("not a literal, nor arithmetic of literals", node.lineno)


def _number(node: ast.expr) -> int | float:
    value = _evaluate(node)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SourceError("not a number", node.lineno)
    return value


def _is_sane(value: str | int | float) -> bool:
    return _is_printable(value) if isinstance(value, str) else abs(value) <= _LARGEST_NUMBER


def _is_printable(text: str) -> bool:
    """Return whether `text` can be written as UTF-8: Python's source can hold halves of characters."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _annotation(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.strip()
    try:
        return ast.unparse(node)
    except RecursionError as error:
        raise SourceError("nested too deeply", node.lineno) from error


def _declared(statement: ast.AnnAssign, name: str, annotation: str) -> Declared:
    call = statement.value
    called = call.func if isinstance(call, ast.Call) else None
    if not isinstance(call, ast.Call) or (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) != "setting":
        raise SourceError(f"`{name}` is not declared by `setting(default, help)`", statement.lineno)
    arguments: dict[str, Literal] = {}
    for position, node in enumerate(call.args):
        if position >= len(POSITIONAL):
            raise SourceError(f"`setting` of `{name}` has too many arguments", node.lineno)
        arguments[POSITIONAL[position]] = evaluate(node)
    for keyword in call.keywords:
        if keyword.arg is None:
            raise SourceError(f"`setting` of `{name}` has arguments that cannot be read", keyword.value.lineno)
        if not (isinstance(keyword.value, ast.Constant) and keyword.value.value is None):
            arguments[keyword.arg] = evaluate(keyword.value)
    return Declared(name, annotation, arguments, statement.lineno)
