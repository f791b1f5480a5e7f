"""Rules over the YAML files: what does not parse, what kustomize skips, what is deprecated."""

from __future__ import annotations

from collections.abc import Iterator

from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.values import did_you_mean
from mlops_launch.core.rules import env
from mlops_launch.core.rules.base import NOWHERE, Place, Problem, Rule, Subject

# Deprecated field of a kustomization → what takes its place.
_DEPRECATED = {
    "bases": "resources",
    "vars": "replacements",
    "patchesStrategicMerge": "patches",
    "patchesJson6902": "patches",
    "commonLabels": "labels",
    "imageTags": "images",
}
_FIELDS = frozenset(
    {
        "apiVersion",
        "kind",
        "metadata",
        "resources",
        "components",
        "crds",
        "namespace",
        "namePrefix",
        "nameSuffix",
        "labels",
        "commonAnnotations",
        "buildMetadata",
        "patches",
        "images",
        "replicas",
        "replacements",
        "configMapGenerator",
        "secretGenerator",
        "generatorOptions",
        "configurations",
        "generators",
        "transformers",
        "validators",
        "helmCharts",
        "helmGlobals",
        "openapi",
        "sortOptions",
    }
)


def _yaml_error(subject: Subject) -> Iterator[Problem]:
    for name, error in subject.files.syntax_errors.items():
        column = f", column {error.column}" if error.column else ""
        yield Problem(f"not valid YAML{column}: {error.problem}", error.hint or "", Place(name, error.line))


def _duplicate_key(subject: Subject) -> Iterator[Problem]:
    for name, trees in subject.files.trees.items():
        for tree in trees:
            for key, line, first in yamltext.duplicate_keys(tree):
                yield Problem(
                    f"the key of line {first} is there again: {key}",
                    "kustomize silently takes the last one: remove one",
                    Place(name, line),
                )


def _deprecated_field(subject: Subject) -> Iterator[Problem]:
    for key, line in _fields(subject):
        if key in _DEPRECATED:
            yield Problem(
                f"deprecated field: {key}",
                f"use `{_DEPRECATED[key]}`; `kubectl kustomize` prints a warning",
                Place(subject.files.kustomization, line),
            )


def _unknown_field(subject: Subject) -> Iterator[Problem]:
    for key, line in _fields(subject):
        if key not in _FIELDS and key not in _DEPRECATED:
            near = did_you_mean(key, _FIELDS)
            yield Problem(
                f"no such field: {key}",
                f"did you mean `{near}`?" if near else "kustomize refuses the file",
                Place(subject.files.kustomization, line),
            )


def _missing_file(subject: Subject) -> Iterator[Problem]:
    tree = subject.files.kustomization_tree
    name = subject.files.kustomization
    for number, path in enumerate(subject.files.patch_names):
        if path not in subject.files.texts:
            yield Problem(f"no such file: {path}", "correct the name under `patches`", Place(name, _line_of_patch(tree, number)))
    for path in subject.files.env_file_names:
        if path not in subject.files.texts:
            place = Place(name, yamltext.line_of(tree, ("configMapGenerator",)))
            yield Problem(f"no such file: {path}", "correct the name under `configMapGenerator`, or restore the file", place)


def _does_not_render(subject: Subject) -> Iterator[Problem]:
    if subject.render_error is not None and not any(check for rule in _CAUSES for check in rule.findings(subject)):
        hint = f"run it by hand: kubectl kustomize {subject.files.folder}"
        yield Problem(subject.render_error, hint, _place_of(subject))


def _place_of(subject: Subject) -> Place:
    """Return where the cause may be: a file of the overlay that the message names."""
    name = next((name for name in sorted(subject.files.texts) if name in (subject.render_error or "")), None)
    return Place(name) if name else NOWHERE


def _fields(subject: Subject) -> Iterator[tuple[str, int]]:
    tree = subject.files.kustomization_tree
    if isinstance(tree, MappingNode):
        yield from ((str(key.value), key.start_mark.line + 1) for key, _ in tree.value)


def _line_of_patch(tree: Node | None, number: int) -> int | None:
    patches = yamltext.child(tree, "patches")
    named = [item for item in patches.value if yamltext.child(item, "path") is not None] if isinstance(patches, SequenceNode) else []
    return named[number].start_mark.line + 1 if number < len(named) else None


_KUSTOMIZE = (
    Rule(
        "yaml-error",
        "error",
        "A YAML file of the overlay does not parse",
        "kubectl names the file but not the line; this rule names both.",
        _yaml_error,
    ),
    Rule(
        "yaml-duplicate-key",
        "error",
        "A mapping has a key twice",
        "kustomize silently takes the last one, so an edit of the first changes nothing.",
        _duplicate_key,
    ),
    Rule(
        "kustomize-deprecated",
        "warning",
        "A deprecated field in kustomization.yaml",
        "`bases`, `vars`, `patchesStrategicMerge`, `patchesJson6902` and `commonLabels` are gone in the next version of the API.",
        _deprecated_field,
    ),
    Rule(
        "kustomize-field",
        "error",
        "A field that kustomization.yaml does not have",
        "A misspelt field makes kubectl refuse the overlay.",
        _unknown_field,
    ),
    Rule(
        "kustomize-file",
        "error",
        "A patch file that kustomization.yaml names is missing",
        "The overlay does not render.",
        _missing_file,
    ),
)
# Rules that say better than kubectl why an overlay does not render.
_NAMES = ("yaml-error", "kustomize-field", "kustomize-file", "env-duplicate", "env-export", "env-space", "env-missing")
_CAUSES = tuple(rule for rule in (*_KUSTOMIZE, *env.RULES) if rule.id in _NAMES)

RULES = (
    *_KUSTOMIZE,
    Rule(
        "render-failed",
        "error",
        "kubectl cannot render the overlay",
        "Neither `kubectl apply -k` nor this program can use it. Shown when no other rule has named the cause.",
        _does_not_render,
    ),
)

RENDER_RULES = frozenset({*_NAMES, "render-failed"})
