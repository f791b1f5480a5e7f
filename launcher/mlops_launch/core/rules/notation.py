"""A rule over how the overlay's own patches write numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ruamel.yaml.nodes import Node, ScalarNode

from mlops_launch.core.overlay import dialect
from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.reach import items, pairs
from mlops_launch.core.rules.base import Place, Problem, Subject
from mlops_launch.core.rules.example import in_pod_manifest
from mlops_launch.core.rules.patches import workloads
from mlops_launch.core.rules.rule import ERROR, rule
from mlops_launch.core.workload import kinds


@rule(
    "yaml-octal",
    ERROR,
    "A whole number in another notation than plain digits",
    why=(
        "kustomize reads YAML 1.1, where 01000 is octal: 512. It reads 0x10, 1_000 and +2 too, and 2.0 as a count, and its "
        "replacements copy them as they are written, which the trainer cannot read. "
        "The exceptions are `mode` and `defaultMode`, which are meant to be octal."
    ),
    wrong=in_pod_manifest("""
        spec:
          terminationGracePeriodSeconds: 0300
        """),
    right=in_pod_manifest("""
        spec:
          terminationGracePeriodSeconds: 300
        """),
    any_job=True,
)
def _octal(subject: Subject) -> Iterator[Problem]:
    for patch in subject.files.own_patches:
        for tree in (*workloads(patch), *patch.operations):
            for key, node in _scalars(tree, _last_step(tree)):
                text = str(node.value)
                if node.style is None and _is_odd(key, text):
                    why = ", for a leading zero means octal" if _OCTAL.fullmatch(text) else ""
                    yield Problem(
                        f"kustomize reads `{key}` as {dialect.integer(text)}{why}: {text}",
                        "write the number in plain digits, or in quotes when it is a text",
                        Place(patch.file, node.start_mark.line + 1 + patch.offset),
                    )


_OCTAL = re.compile(r"[-+]?0[0-7]+")
_ODD_NUMBER = re.compile(rf"{_OCTAL.pattern}|[-+]?0[xob][0-9a-fA-F_]*[0-9a-fA-F]|\+[0-9]+|[0-9]+(?:_[0-9]+)+")
_COUNTS = frozenset(str(path[-1]) for kind in kinds.KINDS for path in kind.edits.values())


def _is_odd(key: str, text: str) -> bool:
    if key in _COUNTS:
        return not re.fullmatch(r"-?[0-9]+", text) and dialect.integer(text) is not None or _OCTAL.fullmatch(text) is not None
    return _ODD_NUMBER.fullmatch(text) is not None and key not in ("mode", "defaultMode")


def _last_step(operation: Node) -> str:
    """Return the key whose value an operation gives; nothing for a strategic merge patch."""
    return (yamltext.scalar(yamltext.child(operation, "path")) or "").rpartition("/")[2]


def _scalars(node: Node, key: str = "") -> Iterator[tuple[str, ScalarNode]]:
    if isinstance(node, ScalarNode):
        yield key, node
    for name, value in pairs(node):
        yield from _scalars(value, key if name.value == "value" and key else str(name.value))
    for item in items(node):
        yield from _scalars(item, key)
