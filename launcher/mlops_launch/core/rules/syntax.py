"""Rules over the YAML files: what does not parse, what kustomize skips, what is deprecated."""

from __future__ import annotations

from collections.abc import Iterator

from ruamel.yaml.nodes import MappingNode

from mlops_launch.core.overlay import dialect
from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.reach import patch_items
from mlops_launch.core.overlay.values import did_you_mean
from mlops_launch.core.rules.base import NOWHERE, Place, Problem, Subject
from mlops_launch.core.rules.example import in_job, in_kustomization
from mlops_launch.core.rules.rule import ERROR, WARNING, rule

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


@rule(
    "yaml-error",
    ERROR,
    "A YAML file of the overlay does not parse",
    why="kubectl names the file but not the line; this rule names both.",
    wrong=in_job("""
        spec:
          slotsPerWorker: [1
        """),
    right=in_job("""
        spec:
          slotsPerWorker: 1
        """),
    explains_render=True,
    any_job=True,
)
def _yaml_error(subject: Subject) -> Iterator[Problem]:
    for name, error in subject.files.syntax_errors.items():
        column = f", column {error.column}" if error.column else ""
        yield Problem(f"not valid YAML{column}: {error.problem}", error.hint or "", Place(name, error.line))
    if subject.render_error is None or subject.files.syntax_errors:
        return
    for name in (subject.files.kustomization, *subject.files.reach.yaml):
        found = dialect.refusal(subject.files.texts.get(name, ""))
        if found is not None and not name.endswith(".json"):
            problem, line, column_number = found
            hint = "spaces and no tab behind a dash, no directive such as `%YAML 1.2`"
            yield Problem(f"not valid YAML for kustomize, column {column_number}: {problem}", hint, Place(name, line))


@rule(
    "yaml-duplicate-key",
    ERROR,
    "A mapping has a key twice",
    why="kustomize silently takes the last one, so an edit of the first changes nothing.",
    wrong=in_job("""
        spec:
          slotsPerWorker: 1
          slotsPerWorker: 5
        """),
    right=in_job("""
        spec:
          slotsPerWorker: 5
        """),
    any_job=True,
)
def _duplicate_key(subject: Subject) -> Iterator[Problem]:
    for name, trees in subject.files.trees.items():
        for tree in trees:
            for key, line, first in yamltext.duplicate_keys(tree):
                yield Problem(
                    f"duplicate key, first on line {first}: {key}",
                    "kustomize silently takes the last one: remove one",
                    Place(name, line),
                )


@rule(
    "kustomize-deprecated",
    WARNING,
    "A deprecated field in kustomization.yaml",
    why="`bases`, `vars`, `patchesStrategicMerge`, `patchesJson6902` and `commonLabels` are gone in the next version of the API.",
    wrong=in_kustomization("""
        commonLabels:
          team: vision
        """),
    right=in_kustomization("""
        labels:
        - pairs:
            team: vision
        """),
    any_job=True,
)
def _deprecated_field(subject: Subject) -> Iterator[Problem]:
    for key, line in _fields(subject):
        if key in _DEPRECATED:
            yield Problem(
                f"deprecated field: {key}",
                f"use `{_DEPRECATED[key]}`; `kubectl kustomize` prints a warning",
                Place(subject.files.kustomization, line),
            )


@rule(
    "kustomize-field",
    ERROR,
    "A field that kustomization.yaml does not have",
    why="A misspelt field makes kubectl refuse the overlay.",
    wrong=in_kustomization("namespce: team-a"),
    right=in_kustomization("namespace: team-a"),
    explains_render=True,
    any_job=True,
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


@rule(
    "kustomize-file",
    ERROR,
    "A patch file that kustomization.yaml names is missing",
    why="The overlay does not render.",
    wrong=in_kustomization("""
        patches:
        - path: slots.yaml
        """),
    right=in_kustomization("""
        patches:
        - target:
            kind: MPIJob
          patch: |-
            - op: replace
              path: /spec/slotsPerWorker
              value: 5
        """),
    explains_render=True,
    any_job=True,
)
def _missing_file(subject: Subject) -> Iterator[Problem]:
    tree = subject.files.kustomization_tree
    name = subject.files.kustomization
    for item in patch_items(tree):
        if item.path is not None and item.path not in subject.files.texts:
            place = Place(name, item.node.start_mark.line + 1)
            yield Problem(f"no such file: {item.path}", f"correct the name under `{item.field}`", place)
    for path in subject.files.env_file_names:
        if path not in subject.files.texts:
            place = Place(name, yamltext.line_of(tree, ("configMapGenerator",)))
            yield Problem(f"no such file: {path}", "correct the name under `configMapGenerator`, or restore the file", place)


@rule(
    "render-failed",
    ERROR,
    "kubectl cannot render the overlay",
    why="Neither `kubectl apply -k` nor this program can use it. Shown when no other rule has named the cause.",
    wrong=in_kustomization("""
        components:
        - ../../../common/tensorflow/k8s/mlops/components/gpus
        """),
    right=in_kustomization("""
        components:
        - ../../../common/tensorflow/k8s/mlops/components/gpu
        """),
    any_job=True,
)
def does_not_render(subject: Subject) -> Iterator[Problem]:
    """Say why kubectl fails, in its own words; left out when a rule that explains it has found something."""
    if subject.render_error is not None:
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
