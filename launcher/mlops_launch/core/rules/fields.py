"""A rule over the names of fields in the patch: kustomize merges a misspelt one silently."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ruamel.yaml.nodes import Node, SequenceNode

from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.reach import pairs
from mlops_launch.core.overlay.values import did_you_mean
from mlops_launch.core.path import EVERY
from mlops_launch.core.rules.base import NOWHERE, Place, Problem, Subject
from mlops_launch.core.rules.example import in_job
from mlops_launch.core.rules.rule import ERROR, rule
from mlops_launch.core.workload import kinds


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# `kubectl create --dry-run` and `kubectl get` print those at the end of both too; the API server takes them.
_TOP: Final = _words("apiVersion kind metadata spec status")
_METADATA: Final = _words("name namespace labels annotations finalizers generateName ownerReferences creationTimestamp generation selfLink")
_POD: Final = _words(
    "activeDeadlineSeconds affinity automountServiceAccountToken containers dnsConfig dnsPolicy enableServiceLinks "
    "ephemeralContainers hostAliases hostIPC hostNetwork hostPID hostUsers hostname hostnameOverride imagePullSecrets "
    "initContainers nodeName nodeSelector os overhead preemptionPolicy priority priorityClassName readinessGates "
    "resourceClaims resources restartPolicy runtimeClassName schedulerName schedulingGates securityContext serviceAccount "
    "serviceAccountName setHostnameAsFQDN shareProcessNamespace subdomain terminationGracePeriodSeconds tolerations "
    "topologySpreadConstraints volumes workloadRef"
)
_POD_CONTEXT: Final = _words(
    "appArmorProfile fsGroup fsGroupChangePolicy runAsGroup runAsNonRoot runAsUser seLinuxChangePolicy seLinuxOptions "
    "seccompProfile supplementalGroups supplementalGroupsPolicy sysctls windowsOptions"
)
_CONTAINER: Final = _words(
    "args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe resizePolicy "
    "resources restartPolicy restartPolicyRules securityContext startupProbe stdin stdinOnce terminationMessagePath "
    "terminationMessagePolicy tty volumeDevices volumeMounts workingDir"
)
_RESOURCES: Final = _words("limits requests claims")


def _unknown(node: Node | None, known: frozenset[str]) -> Iterator[tuple[str, int, frozenset[str]]]:
    for key, _ in pairs(node):
        if key.value not in known and not str(key.value).startswith("$") and key.value != yamltext.MERGE:
            yield str(key.value), key.start_mark.line + 1, known


def _unknown_in_pod(pod: Node | None) -> Iterator[tuple[str, int, frozenset[str]]]:
    yield from _unknown(pod, _POD)
    yield from _unknown(yamltext.child(pod, "securityContext"), _POD_CONTEXT)
    containers = yamltext.child(pod, "containers")
    for container in containers.value if isinstance(containers, SequenceNode) else []:
        yield from _unknown(container, _CONTAINER)
        yield from _unknown(yamltext.child(container, "resources"), _RESOURCES)


@rule(
    "field-unknown",
    ERROR,
    "The patch has a field that its kind does not have",
    why=(
        "kustomize merges a misspelt field silently; the API server refuses it, or drops it and the value that was meant stays as it was."
    ),
    wrong=in_job("""
        spec:
          slotsPerWorkr: 5
        """),
    right=in_job("""
        spec:
          slotsPerWorker: 5
        """),
    any_job=True,
)
def _unknown_field(subject: Subject) -> Iterator[Problem]:
    found: dict[tuple[str, Place], frozenset[str]] = {}
    for patch in subject.files.own_patches:
        for tree in patch.documents:
            found |= {(key, Place(patch.file, line + patch.offset)): known for key, line, known in _unknown_in_patch(tree)}
    told = {key for key, _ in found}
    # What an operation, a component or a resource of one's own brings.
    if subject.workload is not None and subject.workload.manifest.get("apiVersion") == kinds.lookup(subject.workload.kind).api_version:
        rendered = _unknown_in_patch(yamltext.node_of(subject.workload.manifest))
        found |= {(key, _at_operation(subject, key)): known for key, _, known in rendered if key not in told}
    for (key, place), known in found.items():
        near = did_you_mean(key, known)
        yield Problem(f"no such field: {key}", f"did you mean `{near}`?" if near else f"one of {', '.join(sorted(known))}", place)


def _at_operation(subject: Subject, key: str) -> Place:
    """Return where an operation of a patch brings a key."""
    for patch in subject.files.own_patches:
        for operation in patch.operations:
            pointer = yamltext.scalar(yamltext.child(operation, "path")) or ""
            if key in (pointer.split("/")) or next(yamltext.values_of(operation, key), None) is not None:
                return Place(patch.file, operation.start_mark.line + 1 + patch.offset)
    return NOWHERE


def _unknown_in_patch(tree: Node) -> Iterator[tuple[str, int, frozenset[str]]]:
    name = yamltext.scalar(yamltext.child(tree, "kind"))
    if name not in kinds.names():
        return
    kind = kinds.lookup(str(name))
    yield from _unknown(tree, _TOP)
    yield from _unknown(yamltext.child(tree, "metadata"), _METADATA)
    for path, words in kind.fields.items():
        for node in yamltext.find_all(tree, path):
            yield from _unknown(node, _words(words))
    for role in kind.needs or (EVERY.name,):
        for pod in yamltext.find_all(tree, kind.pod_path(role)):
            yield from _unknown_in_pod(pod)
