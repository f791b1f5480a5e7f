"""What kustomize prints, read as kustomize means it.

PyYAML reads YAML 1.1: `=` and `<<` are tags of their own there, `yes` is true, `1:30` is 90 and `2026-01-01` a date. kustomize
(go.yaml.in/yaml/v3) prints what it reads otherwise without quotes, as text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from mlops_launch.errors import LauncherError

_RESOLVED = (
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", list("-+0123456789.")),
)


@lru_cache(maxsize=1)
def _loader() -> Any:
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def number(construct: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        return lambda loader, node: str(node.value) if _is_too_large(str(node.value)) else construct(loader, node)

    for tag, pattern, first in _RESOLVED:
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), first)
    Loader.add_constructor("tag:yaml.org,2002:int", number(yaml.SafeLoader.construct_yaml_int))
    Loader.add_constructor("tag:yaml.org,2002:float", number(yaml.SafeLoader.construct_yaml_float))
    return Loader


def _is_too_large(text: str) -> bool:
    """Return whether Go cannot hold a number, so that kustomize takes it for a text: above a float64, or 64 bits unless decimal."""
    plain = text.replace("_", "").lstrip("+-")
    if re.match(r"0[xob]", plain):
        return len(plain) < 3 or (len(plain) > 18 and int(plain, 0) >= 1 << 64)
    return plain[-1:].isdigit() and math.isinf(float(plain))


def integer(text: str) -> int | None:
    """Return what kustomize makes of a number without quotes where a whole number belongs; None for anything else.

    >>> integer("10"), integer("010"), integer("0x1F"), integer("1_0"), integer("2.0"), integer("two")
    (10, 8, 31, 10, 2, None)
    """
    plain = text.replace("_", "")
    try:
        if re.fullmatch(r"[-+]?0[0-7]+", plain):
            return int(plain, 8)
        return int(plain, 0) if re.fullmatch(r"[-+]?(?:0[xob][0-9a-fA-F]+|[0-9]{1,18})", plain) else int(_whole(float(plain)))
    except (ValueError, OverflowError):
        return None


def _whole(number: float) -> float:
    if not number.is_integer():
        raise ValueError(number)
    return number


def refusal(text: str) -> tuple[str, int, int] | None:
    """Return why kustomize's parser, a port of libyaml, refuses a text: its words, line and column, from 1; None where it does not.

    It knows neither a tab behind a dash nor, where it cuts a file into documents, a directive in front of `---`.
    """
    import yaml

    directive = re.search(r"^%[A-Z]+ .*$", text, re.MULTILINE)
    if directive is not None:
        return f"a directive, which it cuts off its document: {directive[0].strip()}", text.count("\n", 0, directive.start()) + 1, 1
    try:
        for _ in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        return str(error.problem), (mark.line if mark else 0) + 1, (mark.column if mark else 0) + 1
    except yaml.YAMLError as error:
        return " ".join(str(error).split()), 1, 1
    return None


def load_all(text: str) -> Iterator[Any]:
    """Yield the documents of a rendered text as plain data.

    Raises:
        LauncherError: it is not YAML.
    """
    import yaml

    try:
        yield from yaml.load_all(text, Loader=_loader())
    except (yaml.YAMLError, ValueError) as error:
        raise LauncherError(
            f"what kubectl renders is not YAML: {' '.join(str(error).split())}", "run `kubectl kustomize` by hand"
        ) from error
