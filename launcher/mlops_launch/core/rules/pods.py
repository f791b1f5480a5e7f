"""Rules over the pods: containers wiped by a patch, fields misspelt, and the conditions of Pod Security `restricted`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlops_launch.core.overlay.yamltree import Named
from mlops_launch.core.rules.base import Problem, Rule, Subject, containers, mapping, mappings, strings, volumes
from mlops_launch.core.workload.model import Role

_ALLOWED_VOLUMES = frozenset({"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"})


def _all_containers(role: Role) -> list[Mapping[str, Any]]:
    return [container for container in [*containers(role), *mappings(role.pod.get("initContainers"))] if container.get("image")]


def _wiped(subject: Subject) -> Iterator[Problem]:
    hint = "a patch must give the container's `name` as the base does, and not replace the list; keep `openapi` in the base"
    for role in subject.workload.roles if subject.workload else ():
        place = subject.at_pod(role, "containers")
        if not containers(role):
            yield Problem(f"no container in role: {role.name}", hint, place)
        for number, container in enumerate(containers(role)):
            name = str(container.get("name"))
            parts = ("image", "command", "envFrom") if number == 0 else ("image",)
            gone = [part for part in parts if not container.get(part)]
            if gone:
                yield Problem(
                    f"the container `{name}` of {role.name} has lost: {', '.join(gone)}",
                    hint,
                    subject.at_pod(role, "containers", Named(name)),
                )


def _restart_always(subject: Subject) -> Iterator[Problem]:
    if subject.workload is None or subject.workload.kind != "Pod":
        return
    policy = subject.workload.main.pod.get("restartPolicy") or "Always, the default"
    if policy not in ("Never", "OnFailure"):
        yield Problem(
            f"a finished training would start again: restartPolicy {policy}",
            "set `restartPolicy: Never`",
            subject.at_pod(subject.workload.main, "restartPolicy"),
        )


def _non_root(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        of_pod = mapping(role.pod.get("securityContext")).get("runAsNonRoot")
        for container in _all_containers(role):
            if mapping(container.get("securityContext")).get("runAsNonRoot", of_pod) is not True:
                yield Problem(
                    f"container of {role.name} without `runAsNonRoot: true`: {container.get('name')}",
                    "set it in the pod's `securityContext`",
                    subject.at_pod(role, "securityContext"),
                )


def _capabilities(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for container in _all_containers(role):
            found = mapping(mapping(container.get("securityContext")).get("capabilities"))
            added = [name for name in strings(found.get("add")) if name != "NET_BIND_SERVICE"]
            place = subject.at_pod(role, "containers", Named(str(container.get("name"))), "securityContext", "capabilities")
            if "ALL" not in strings(found.get("drop")):
                yield Problem(
                    f"container of {role.name} keeps capabilities: {container.get('name')}",
                    "set `capabilities: {drop: [ALL]}` in its `securityContext`",
                    place,
                )
            if added:
                yield Problem(
                    f"container `{container.get('name')}` of {role.name} adds capabilities: {', '.join(added)}",
                    "remove them",
                    place,
                )


def _escalation(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for container in _all_containers(role):
            context = mapping(container.get("securityContext"))
            place = subject.at_pod(role, "containers", Named(str(container.get("name"))), "securityContext")
            if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
                yield Problem(
                    f"container of {role.name} may gain privileges: {container.get('name')}",
                    "set `allowPrivilegeEscalation: false` in its `securityContext`, and no `privileged`",
                    place,
                )


def _seccomp(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        of_pod = mapping(role.pod.get("securityContext")).get("seccompProfile")
        for container in _all_containers(role):
            profile = mapping(mapping(container.get("securityContext")).get("seccompProfile", of_pod))
            if profile.get("type") not in ("RuntimeDefault", "Localhost"):
                yield Problem(
                    f"container of {role.name} without a seccomp profile: {container.get('name')}",
                    "set `seccompProfile: {type: RuntimeDefault}` in the pod's `securityContext`",
                    subject.at_pod(role, "securityContext"),
                )


def _volumes(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for volume in volumes(role):
            if volume.kind not in _ALLOWED_VOLUMES:
                yield Problem(
                    f"volume `{volume.name}` of {role.name} is of a kind that is not allowed: {volume.kind}",
                    "name a claim; a PersistentVolume of that kind may stand behind it",
                    subject.at_pod(role, "volumes", Named(volume.name)),
                )


def _host(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if role.pod.get(field):
                yield Problem(f"{role.name} shares the node's namespaces: {field}", "remove it", subject.at_pod(role, field))


def _writable_root(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for container in _all_containers(role):
            if mapping(container.get("securityContext")).get("readOnlyRootFilesystem") is not True:
                yield Problem(
                    f"container of {role.name} with a writable root file system: {container.get('name')}",
                    "set `readOnlyRootFilesystem: true`; what is written belongs on a volume",
                    subject.at_pod(role, "containers", Named(str(container.get("name"))), "securityContext"),
                )


_RESTRICTED = "A namespace that enforces Pod Security `restricted` refuses the pod. See https://kubernetes.io/docs/concepts/security/pod-security-standards/"

RULES = (
    Rule(
        "container-wiped",
        "error",
        "A patch has wiped a container's image, command or envFrom",
        "Without the schema of the base, kustomize replaces an MPIJob's list of containers as a whole, without a warning. "
        "A misspelt container name adds one without an image.",
        _wiped,
    ),
    Rule(
        "restart-always",
        "error",
        "The Pod would start again after the training",
        "Always is the default of Kubernetes.",
        _restart_always,
    ),
    Rule("restricted-root", "warning", "A container may run as root", _RESTRICTED, _non_root),
    Rule("restricted-capabilities", "warning", "A container keeps or adds capabilities", _RESTRICTED, _capabilities),
    Rule("restricted-escalation", "warning", "A container may gain privileges", _RESTRICTED, _escalation),
    Rule("restricted-seccomp", "warning", "A container has no seccomp profile", _RESTRICTED, _seccomp),
    Rule(
        "restricted-volume",
        "warning",
        "A volume's kind is not allowed, for instance inline nfs or hostPath",
        _RESTRICTED,
        _volumes,
    ),
    Rule("restricted-host", "warning", "A pod shares the node's namespaces", _RESTRICTED, _host),
    Rule(
        "root-writable",
        "warning",
        "A container's root file system is writable",
        "What is written there is lost, and fills the node's disk.",
        _writable_root,
    ),
)
