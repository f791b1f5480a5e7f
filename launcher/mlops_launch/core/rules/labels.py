"""A rule over the labels of the workload and of its pods."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.reach import items
from mlops_launch.core.path import Path
from mlops_launch.core.rules.base import Place, Problem, Subject
from mlops_launch.core.rules.example import in_kustomization
from mlops_launch.core.rules.rule import ERROR, rule
from mlops_launch.core.workload import kinds
from mlops_launch.core.workload.model import mapping

# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_DOMAIN = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"
_VALUE = re.compile(rf"(?:{_WORD})?")
_KEY = re.compile(rf"(?:(?=.{{1,253}}/){_DOMAIN}/)?{_WORD}")


@rule(
    "label",
    ERROR,
    "A label is not valid",
    why=(
        "A value has at most 63 letters, digits, `-`, `_` and `.`, no blanks, and begins and ends with a letter or digit; a key as well, "
        "perhaps with a domain and `/` in front. The API server refuses the object. Longer texts are annotations."
    ),
    wrong=in_kustomization("""
        labels:
        - pairs:
            team: computer vision
        """),
    right=in_kustomization("""
        labels:
        - pairs:
            team: computer-vision
        """),
    any_job=True,
)
def _label(subject: Subject) -> Iterator[Problem]:
    for key, value in dict.fromkeys(_labels(subject)):
        if _KEY.fullmatch(key) is None:
            hint = "letters, digits, `-`, `_` and `.`, perhaps a domain and `/` in front"
            yield Problem(f"not the key of a label: {key}", hint, _at(subject, key))
        elif _VALUE.fullmatch(value) is None:
            hint = "at most 63 letters, digits, `-`, `_` and `.`; any other text is an annotation"
            yield Problem(f"not a value for the label `{key}`: {value}", hint, _at(subject, key))


def _labels(subject: Subject) -> Iterator[tuple[str, str]]:
    """Yield the labels whose type is right; field-type says what is wrong with the others."""
    if subject.workload is None:
        return
    found: list[Mapping[str, Any]] = [mapping(mapping(subject.workload.manifest.get("metadata")).get("labels"))]
    found += [mapping(role.labels) for role in subject.workload.roles]
    for labels in found:
        yield from ((str(key), value) for key, value in labels.items() if isinstance(value, str))


def _at(subject: Subject, key: str) -> Place:
    """Return where the label comes from: the kustomization, else a patch."""
    tree = subject.files.kustomization_tree
    for given in [*(yamltext.child(each, "pairs") for each in items(yamltext.child(tree, "labels"))), yamltext.child(tree, "commonLabels")]:
        if yamltext.child(given, key) is not None:
            return Place(subject.files.kustomization, yamltext.line_of(given, (key,)))
    paths: list[Path] = [("metadata", "labels", key)]
    for role in subject.workload.roles if subject.workload else ():
        paths.append((*kinds.lookup(subject.workload.kind).pod_path(role.name)[:-1], *paths[0]))  # type: ignore[union-attr]
    places = [subject.at_patch(path) for path in paths]
    return next((place for place in places if place.file is not None and _holds(subject, place, key)), places[0])


def _holds(subject: Subject, place: Place, key: str) -> bool:
    lines = subject.files.texts.get(place.file or "", "").splitlines()
    return place.line is not None and place.line <= len(lines) and key in lines[place.line - 1]
