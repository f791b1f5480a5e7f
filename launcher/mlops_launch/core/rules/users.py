"""Rules over who the pods run as."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlops_launch.core.overlay.values import LARGEST_ID
from mlops_launch.core.path import Named
from mlops_launch.core.rules.base import Problem, Subject, shown
from mlops_launch.core.rules.example import in_container, in_launcher, in_pod
from mlops_launch.core.rules.rule import ERROR, rule
from mlops_launch.core.workload.model import is_integer, mapping

# What kubectl says when the replacements do not find the uid or gid that they copy.
_NO_SOURCE = re.compile(r"fieldPath `(?P<path>spec(?:\.\w+\.(?P<role>\w+)\.template\.spec)?)\.securityContext\.(?P<field>\w+)` is missing")
_FIELDS = ("runAsUser", "runAsGroup", "fsGroup")


@rule(
    "user-number",
    ERROR,
    "A uid or gid is not a whole number",
    why="`<User ID>` was left in, or the number is in quotes: the API server refuses both.",
    wrong=in_pod("""
        securityContext:
          runAsUser: <User ID>
        """),
    right=in_pod("""
        securityContext:
          runAsUser: 1000
        """),
)
def _ids_are_numbers(subject: Subject) -> Iterator[Problem]:
    for role in subject.workload.roles if subject.workload else ():
        for field in _FIELDS:
            value = mapping(role.pod.get("securityContext")).get(field)
            if value is not None and not (is_integer(value) and 0 <= value <= LARGEST_ID):
                yield Problem(
                    f"`{field}` of {role.name} must be a whole number of 0 or more{shown(value)}",
                    "write the number that `id -u` or `id -g` prints, without quotes",
                    subject.at_pod(role, "securityContext", field),
                )


@rule(
    "user-missing",
    ERROR,
    "A pod has no runAsUser, runAsGroup or fsGroup",
    why="The image's user is root, which `restricted` refuses; without fsGroup a volume may not be writable.",
    wrong=in_pod("""
        securityContext:
          fsGroup: null
        """),
    right=in_pod("""
        securityContext:
          fsGroup: 1000
        """),
    explains_render=True,
)
def _user_is_set(subject: Subject) -> Iterator[Problem]:
    hint = "set it: `mlops-launch set OVERLAY --user $(id -u):$(id -g)`"
    for role in subject.workload.roles if subject.workload else ():
        for field in _FIELDS:
            if mapping(role.pod.get("securityContext")).get(field) is None:
                yield Problem(f"{role.name} has no `{field}`", hint, subject.at_pod(role, "securityContext"))
    match = _NO_SOURCE.search(subject.render_error or "")
    if match is not None and not subject.unmatched_patches:
        path = (*match["path"].split("."), "securityContext")
        yield Problem(f"{match['role'] or 'the workload'} has no `{match['field']}`", hint, subject.at_patch(path))


@rule(
    "user-root",
    ERROR,
    "A pod runs as root",
    why="Pod Security `restricted` refuses it, and ssh refuses root's key when fsGroup is set.",
    wrong=in_pod("""
        securityContext:
          runAsUser: 0
        """),
    right=in_pod("""
        securityContext:
          runAsUser: 1000
        """),
)
def _root(subject: Subject) -> Iterator[Problem]:
    for role in subject.workload.roles if subject.workload else ():
        if mapping(role.pod.get("securityContext")).get("runAsUser") == 0:
            yield Problem(
                f"`runAsUser` of {role.name} is root: 0",
                "choose another uid: ssh refuses the key with fsGroup, and Pod Security `restricted` refuses the pod",
                subject.at_pod(role, "securityContext", "runAsUser"),
            )


@rule(
    "user-differs",
    ERROR,
    "Launcher and Worker run as different users",
    why="There is one passwd line for both, ssh logs in under the launcher's name, and files of one would not be writable for the other.",
    wrong=in_launcher("""
        securityContext:
          fsGroup: 2000
        """),
    right=in_launcher("""
        securityContext:
          fsGroup: 1000
        """),
)
def _same_user(subject: Subject) -> Iterator[Problem]:
    roles = subject.workload.roles if subject.workload else ()
    for other in roles[1:]:
        for field, left, right in zip(_FIELDS, roles[0].user, other.user, strict=True):
            if left != right and is_integer(left) and is_integer(right):
                yield Problem(
                    f"`{field}` differs between {roles[0].name} and {other.name}: {left} and {right}",
                    "give both the same: there is one passwd line, and both write to the same output folder",
                    subject.at_pod(other, "securityContext", field),
                )


def _number(text: str) -> int | None:
    """Return a uid or gid of a passwd line; one with a leading zero was octal where it was copied from: yaml-octal says so."""
    if not re.fullmatch(r"[0-9]+", text):
        return None
    return int(text, 8) if re.fullmatch(r"0[0-7]+", text) else int(text)


@rule(
    "user-passwd",
    ERROR,
    "No passwd line for the uid",
    why="ssh and sshd stop with `No user exists for uid`.",
    wrong=in_container("""
        volumeMounts:
        - mountPath: /etc/passwd
          $patch: delete
        """),
    right=in_container("""
        volumeMounts:
        - mountPath: /etc/passwd
          name: passwd
          subPath: passwd
        """),
)
def _passwd_line(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        known = {volume.name: volume for volume in role.volumes}
        mount = next((m for m in role.mounts if m.path == "/etc/passwd"), None)
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
        if is_integer(uid) and is_integer(gid) and (uid, gid) not in {tuple(map(_number, line.split(":")[2:4])) for line in lines}:
            yield Problem(
                f"no passwd line for {uid}:{gid} of {role.name}: {'; '.join(lines) or 'empty'}",
                "the `replacements` for the passwd line belong beside the last patch that sets uid and gid, as in the package",
                subject.at_pod(role, "securityContext"),
            )


@rule(
    "user-container",
    ERROR,
    "A container has a user or fsGroup of its own",
    why="The pod's `securityContext` is the one place; fsGroup is not a field of a container.",
    wrong=in_container("""
        securityContext:
          runAsUser: 1234
        """),
    right=in_pod("""
        securityContext:
          runAsUser: 1234
        """),
)
def _container_user(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for container in role.containers:
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
