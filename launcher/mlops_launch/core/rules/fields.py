"""A rule over the names of fields in the patch: kustomize merges a misspelt one silently."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.values import did_you_mean
from mlops_launch.core.path import EVERY
from mlops_launch.core.rules.base import Place, Problem, Subject
from mlops_launch.core.rules.example import in_job
from mlops_launch.core.rules.rule import ERROR, rule
from mlops_launch.core.workload import kinds


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TOP: Final = _words("apiVersion kind metadata spec")
_METADATA: Final = _words("name namespace labels annotations finalizers generateName ownerReferences")
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
    if isinstance(node, MappingNode):
        yield from (
            (str(key.value), key.start_mark.line + 1, known)
            for key, _ in node.value
            if key.value not in known and not str(key.value).startswith("$") and key.value != yamltext.MERGE
        )


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
    for name in dict.fromkeys(subject.files.patch_names):
        for tree in subject.files.trees.get(name, []):
            for key, line, known in _unknown_in_patch(tree):
                near = did_you_mean(key, known)
                yield Problem(
                    f"no such field: {key}",
                    f"did you mean `{near}`?" if near else f"one of {', '.join(sorted(known))}",
                    Place(name, line),
                )


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
