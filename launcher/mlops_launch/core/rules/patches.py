"""Rules over what the overlay's own patches do: nothing, or more than they say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml.nodes import Node, ScalarNode

from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.patches import PLAIN_LISTS, OwnPatch, plain_names
from mlops_launch.core.overlay.reach import pairs
from mlops_launch.core.overlay.values import did_you_mean
from mlops_launch.core.path import Named
from mlops_launch.core.rules.base import Place, Problem, Subject
from mlops_launch.core.rules.example import in_kustomization
from mlops_launch.core.rules.rule import ERROR, WARNING, rule
from mlops_launch.core.workload import kinds
from mlops_launch.core.workload.model import Role, mappings


@rule(
    "patch-unmatched",
    ERROR,
    "The target of a patch matches nothing",
    why="kustomize silently leaves such a patch out. `name` and `kind` are regular expressions that must match as a whole.",
    wrong=in_kustomization(
        """
        patches:
        - target:
            kind: Pod
            name: resnet50
          patch: |-
            - op: add
              path: /spec/priorityClassName
              value: high
        """,
        overlay="single-node",
    ),
    right=in_kustomization(
        """
        patches:
        - target:
            kind: Pod
            name: resnet50.*
          patch: |-
            - op: add
              path: /spec/priorityClassName
              value: high
        """,
        overlay="single-node",
    ),
    any_job=True,
    explains_render=True,
)
def _unmatched(subject: Subject) -> Iterator[Problem]:
    for patch in subject.files.own_patches:
        if patch.key not in subject.unmatched_patches:
            continue
        target = {str(key.value): str(value.value) for key, value in pairs(patch.target) if isinstance(value, ScalarNode)}
        wanted = f"{target.get('kind', '*')}/{target.get('name', '*')}"
        near = did_you_mean(wanted, subject.objects_below)
        broken = next((value for value in target.values() if not _is_expression(value)), None)
        if broken is not None:
            hint = "write `.*` for any name" if broken == "*" else "the fields of a `target` are regular expressions: `\\` before a bracket"
            yield Problem(f"not a regular expression: {broken}", hint, Place(subject.files.kustomization, patch.line))
            continue
        yield Problem(
            f"the target of this patch matches nothing: {wanted}",
            f"did you mean `{near}`?" if near else f"the overlay has {', '.join(subject.objects_below)}",
            Place(subject.files.kustomization, patch.line),
        )


def _is_expression(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


@rule(
    "patch-name",
    WARNING,
    "A patch gives the workload another name, which kustomize ignores",
    why=(
        "The name in a patch finds the object; it does not rename it. Give the overlay a `namePrefix` or `nameSuffix`, "
        "or the patch `options: {allowNameChange: true}`."
    ),
    wrong=in_kustomization(
        """
        patches:
        - target:
            kind: Pod
          patch: |-
            apiVersion: v1
            kind: Pod
            metadata:
              name: my-training
        """,
        overlay="single-node",
    ),
    right=in_kustomization("nameSuffix: -my-run", overlay="single-node"),
    any_job=True,
)
def _name_ignored(subject: Subject) -> Iterator[Problem]:
    if subject.workload is None:
        return
    known = plain_names(subject.workload.name, subject.files.kustomization_tree)
    for patch in subject.files.own_patches:
        aimed_at = yamltext.scalar(yamltext.child(patch.target, "name"))
        for tree in workloads(patch):
            name = yamltext.scalar(yamltext.find(tree, ("metadata", "name")))
            if name is None or patch.may_rename or patch.target is None or name in known or name == aimed_at:
                continue
            yield Problem(
                f"kustomize ignores this name, the workload remains {subject.workload.name}: {name}",
                "give the overlay a `nameSuffix` or `namePrefix`, and the patch the old name",
                Place(patch.file, (yamltext.line_of(tree, ("metadata", "name")) or 0) + patch.offset),
            )


@rule(
    "list-replaced",
    WARNING,
    "A list in a patch replaces the list of the base or a component",
    why=(
        "tolerations, imagePullSecrets, topologySpreadConstraints, hostAliases and envFrom have no merge key: kustomize replaces them as a "
        "whole. Repeat what is to remain, or add an item by a JSON6902 patch: `op: add`, `path: …/tolerations/-`."
    ),
    wrong=in_kustomization(
        """
        components:
        - ../../../common/tensorflow/k8s/mlops/components/gpu
        patches:
        - target:
            kind: Pod
          patch: |-
            apiVersion: v1
            kind: Pod
            metadata:
              name: resnet50v1-5-training
            spec:
              tolerations:
              - key: team
                operator: Exists
        """,
        overlay="single-node",
    ),
    right=in_kustomization(
        """
        components:
        - ../../../common/tensorflow/k8s/mlops/components/gpu
        patches:
        - target:
            kind: Pod
          patch: |-
            - op: add
              path: /spec/tolerations/-
              value:
                key: team
                operator: Exists
        """,
        overlay="single-node",
    ),
)
def _list_replaced(subject: Subject) -> Iterator[Problem]:
    if subject.workload is None or subject.below is None:
        return
    for before in subject.below.roles:
        after = subject.workload.role(before.name)
        for path, old, new in _plain_lists(before, after) if after else ():
            lost = [item for item in old if item not in new]
            given = any(_gives(subject, patch, before.name, path) for patch in subject.files.own_patches)
            if lost and new and given:
                yield Problem(
                    f"`{path[-1]}` of {before.name} replaces the list of the base, which loses: {', '.join(map(_short, lost))}",
                    "repeat them in the patch, or add the new item by JSON6902: `op: add` at the end of the list",
                    subject.at_pod(before, *path),
                )


def _plain_lists(before: Role, after: Role) -> Iterator[tuple[tuple[str | Named, ...], list[Any], list[Any]]]:
    for field in sorted(PLAIN_LISTS - {"envFrom"}):
        yield (field,), mappings(before.pod.get(field)), mappings(after.pod.get(field))
    for container in before.containers:
        name = str(container.get("name"))
        same = next((each for each in after.containers if each.get("name") == name), {})
        yield ("containers", Named(name), "envFrom"), mappings(container.get("envFrom")), mappings(same.get("envFrom"))


def _gives(subject: Subject, patch: OwnPatch, role: str, path: tuple[str | Named, ...]) -> bool:
    above = kinds.lookup(subject.workload.kind).pod_path(role) if subject.workload else ()
    return any(yamltext.find(tree, (*above, *path)) is not None for tree in workloads(patch))


def _short(item: dict[str, Any]) -> str:
    inner = next((value for value in item.values() if isinstance(value, dict)), item)
    return str(inner.get("name") or inner.get("key") or inner)


def workloads(patch: OwnPatch) -> Iterator[Node]:
    """Yield a strategic merge patch's documents on a workload."""
    yield from (tree for tree in patch.documents if yamltext.scalar(yamltext.child(tree, "kind")) in kinds.names())
