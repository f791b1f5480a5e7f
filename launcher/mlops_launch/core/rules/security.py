"""Rules over the conditions of Pod Security `restricted`, and the root file system."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_launch.core.path import Named
from mlops_launch.core.rules.base import Problem, Subject, all_containers, strings
from mlops_launch.core.rules.example import in_container, in_pod
from mlops_launch.core.rules.rule import WARNING, rule
from mlops_launch.core.workload.model import mapping

_RESTRICTED = "A namespace that enforces Pod Security `restricted` refuses the pod. See https://kubernetes.io/docs/concepts/security/pod-security-standards/"
_ALLOWED_VOLUMES = frozenset({"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"})


@rule(
    "restricted-root",
    WARNING,
    "A container may run as root",
    why=_RESTRICTED,
    wrong=in_pod("""
        securityContext:
          runAsNonRoot: false
        """),
    right=in_pod("""
        securityContext:
          runAsNonRoot: true
        """),
)
def _non_root(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        of_pod = mapping(role.pod.get("securityContext")).get("runAsNonRoot")
        for container in all_containers(role):
            value = mapping(container.get("securityContext")).get("runAsNonRoot", of_pod)
            if value is not True and not isinstance(value, str):  # a text: field-type
                yield Problem(
                    f"container of {role.name} without `runAsNonRoot: true`: {container.get('name')}",
                    "set it in the pod's `securityContext`",
                    subject.at_pod(role, "securityContext"),
                )


@rule(
    "restricted-capabilities",
    WARNING,
    "A container keeps or adds capabilities",
    why=_RESTRICTED,
    wrong=in_container("""
        securityContext:
          capabilities:
            add: [SYS_PTRACE]
        """),
    right=in_container("""
        securityContext:
          capabilities:
            drop: [ALL]
        """),
)
def _capabilities(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for container in all_containers(role):
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


@rule(
    "restricted-escalation",
    WARNING,
    "A container may gain privileges",
    why=_RESTRICTED,
    wrong=in_container("""
        securityContext:
          allowPrivilegeEscalation: true
        """),
    right=in_container("""
        securityContext:
          allowPrivilegeEscalation: false
        """),
)
def _escalation(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for container in all_containers(role):
            context = mapping(container.get("securityContext"))
            place = subject.at_pod(role, "containers", Named(str(container.get("name"))), "securityContext")
            if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
                yield Problem(
                    f"container of {role.name} may gain privileges: {container.get('name')}",
                    "set `allowPrivilegeEscalation: false` in its `securityContext`, and no `privileged`",
                    place,
                )


@rule(
    "restricted-seccomp",
    WARNING,
    "A container has no seccomp profile",
    why=_RESTRICTED,
    wrong=in_pod("""
        securityContext:
          seccompProfile:
            type: Unconfined
        """),
    right=in_pod("""
        securityContext:
          seccompProfile:
            type: RuntimeDefault
        """),
)
def _seccomp(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        of_pod = mapping(role.pod.get("securityContext")).get("seccompProfile")
        for container in all_containers(role):
            profile = mapping(mapping(container.get("securityContext")).get("seccompProfile", of_pod))
            if profile.get("type") not in ("RuntimeDefault", "Localhost"):
                yield Problem(
                    f"container of {role.name} without a seccomp profile: {container.get('name')}",
                    "set `seccompProfile: {type: RuntimeDefault}` in the pod's `securityContext`",
                    subject.at_pod(role, "securityContext"),
                )


@rule(
    "restricted-volume",
    WARNING,
    "A volume's kind is not allowed, for instance inline nfs or hostPath",
    why=_RESTRICTED,
    wrong=in_pod("""
        volumes:
        - name: outputs
          persistentVolumeClaim: null
          nfs:
            server: nfs.internal
            path: /outputs
        """),
    right=in_pod("""
        volumes:
        - name: outputs
          persistentVolumeClaim:
            claimName: outputs
        """),
)
def _volumes(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for volume in role.volumes:
            if volume.kind not in _ALLOWED_VOLUMES:
                yield Problem(
                    f"volume `{volume.name}` of {role.name} is of a kind that is not allowed: {volume.kind}",
                    "name a claim; a PersistentVolume of that kind may stand behind it",
                    subject.at_pod(role, "volumes", Named(volume.name)),
                )


@rule(
    "restricted-host",
    WARNING,
    "A pod shares the node's namespaces",
    why=_RESTRICTED,
    wrong=in_pod("hostNetwork: true"),
    right=in_pod("hostNetwork: false"),
)
def _host(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if role.pod.get(field):
                yield Problem(f"{role.name} shares the node's namespaces: {field}", "remove it", subject.at_pod(role, field))


@rule(
    "root-writable",
    WARNING,
    "A container's root file system is writable",
    why="What is written there is lost, and fills the node's disk.",
    wrong=in_container("""
        securityContext:
          readOnlyRootFilesystem: false
        """),
    right=in_container("""
        securityContext:
          readOnlyRootFilesystem: true
        """),
)
def _writable_root(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for container in all_containers(role):
            if mapping(container.get("securityContext")).get("readOnlyRootFilesystem") is not True:
                yield Problem(
                    f"container of {role.name} with a writable root file system: {container.get('name')}",
                    "set `readOnlyRootFilesystem: true`; what is written belongs on a volume",
                    subject.at_pod(role, "containers", Named(str(container.get("name"))), "securityContext"),
                )
