"""Rules over who the pods run as."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_launch.core.overlay.values import LARGEST_ID
from mlops_launch.core.overlay.yamltree import Named
from mlops_launch.core.rules.base import Problem, Rule, Subject, containers, is_integer, mapping, mounts, volumes

_FIELDS = ("runAsUser", "runAsGroup", "fsGroup")


def _ids_are_numbers(subject: Subject) -> Iterator[Problem]:
    for role in subject.workload.roles if subject.workload else ():
        for field in _FIELDS:
            value = mapping(role.pod.get("securityContext")).get(field)
            if value is not None and not (is_integer(value) and 0 <= value <= LARGEST_ID):
                shown = f'"{value}"' if isinstance(value, str) and value.isdigit() else value
                yield Problem(
                    f"`{field}` of {role.name} is no whole number: {shown}",
                    "write the number that `id -u` or `id -g` prints, without quotes",
                    subject.at_pod(role, "securityContext", field),
                )


def _user_is_set(subject: Subject) -> Iterator[Problem]:
    for role in subject.workload.roles if subject.workload else ():
        for field in _FIELDS:
            if mapping(role.pod.get("securityContext")).get(field) is None:
                yield Problem(
                    f"{role.name} has no `{field}`",
                    "set it: `mlops-launch set OVERLAY --user $(id -u):$(id -g)`",
                    subject.at_pod(role, "securityContext"),
                )


def _root(subject: Subject) -> Iterator[Problem]:
    for role in subject.workload.roles if subject.workload else ():
        if mapping(role.pod.get("securityContext")).get("runAsUser") == 0:
            yield Problem(
                f"`runAsUser` of {role.name} is root: 0",
                "choose another uid: ssh refuses the key with fsGroup, and Pod Security `restricted` refuses the pod",
                subject.at_pod(role, "securityContext", "runAsUser"),
            )


def _same_user(subject: Subject) -> Iterator[Problem]:
    if subject.workload is None or len(subject.workload.roles) < 2:
        return
    launcher, worker = subject.workload.roles[:2]
    for position, field in enumerate(_FIELDS):
        left, right = launcher.user[position], worker.user[position]
        if left != right:
            yield Problem(
                f"`{field}` differs between Launcher and Worker: {left} and {right}",
                "give both the same: there is one passwd line, and both write to the same output folder",
                subject.at_pod(worker, "securityContext", field),
            )


def _passwd_line(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        known = {volume.name: volume for volume in volumes(role)}
        mount = next((m for m in mounts(role) if m.path == "/etc/passwd"), None)
        if mount is None or mount.volume not in known:
            yield Problem(
                f"{role.name} mounts no passwd line over /etc/passwd",
                "the overlay's base mounts the ConfigMap `passwd` there; ssh refuses a uid without an entry",
                subject.at_pod(role, "volumes"),
            )
            continue
        name = str(known[mount.volume].source.get("name"))
        lines = (subject.workload.config_maps.get(name, {}) if subject.workload else {}).get(mount.sub_path or "passwd", "").splitlines()
        uid, gid, _ = role.user
        if is_integer(uid) and is_integer(gid) and f"{uid}:{gid}" not in {":".join(line.split(":")[2:4]) for line in lines}:
            yield Problem(
                f"no passwd line for {uid}:{gid} of {role.name}: {'; '.join(lines) or 'empty'}",
                "replacements.yaml copies uid and gid into the line: restore it from the package",
                subject.at_pod(role, "securityContext"),
            )


def _container_user(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for container in containers(role):
            context, name = mapping(container.get("securityContext")), str(container.get("name"))
            for field in _FIELDS:
                if field in context:
                    why = (
                        "a container has no such field: the API server refuses or drops it"
                        if field == "fsGroup"
                        else "it overrides the pod's, and the passwd line has the pod's"
                    )
                    yield Problem(
                        f"`{field}` on the container `{name}` of {role.name}: {context[field]}",
                        f"move it to the pod's `securityContext`; {why}",
                        subject.at_pod(role, "containers", Named(name), "securityContext", field),
                    )


RULES = (
    Rule(
        "user-number",
        "error",
        "A uid or gid is no whole number",
        "`<User ID>` was left in, or the number is in quotes: the API server refuses both.",
        _ids_are_numbers,
    ),
    Rule(
        "user-missing",
        "error",
        "A pod has no runAsUser, runAsGroup or fsGroup",
        "The image's user is root, which `restricted` refuses; without fsGroup a volume may not be writable.",
        _user_is_set,
    ),
    Rule(
        "user-root",
        "error",
        "A pod runs as root",
        "Pod Security `restricted` refuses it, and ssh refuses root's key when fsGroup is set.",
        _root,
    ),
    Rule(
        "user-differs",
        "error",
        "Launcher and Worker run as different users",
        "There is one passwd line for both, ssh logs in under the launcher's name, and files of one would not be writable for the other.",
        _same_user,
    ),
    Rule(
        "user-passwd",
        "error",
        "No passwd line for the uid",
        "ssh and sshd stop with `No user exists for uid`.",
        _passwd_line,
    ),
    Rule(
        "user-container",
        "error",
        "A container has a user or fsGroup of its own",
        "The pod's `securityContext` is the one place; fsGroup is no field of a container.",
        _container_user,
    ),
)
