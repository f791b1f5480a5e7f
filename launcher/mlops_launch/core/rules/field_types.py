"""A rule over the types of values in the rendered workload: what the API server cannot decode, said as a type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from mlops_launch.core.path import Named
from mlops_launch.core.rules.base import Problem, Subject
from mlops_launch.core.rules.example import in_pod
from mlops_launch.core.rules.rule import ERROR, rule
from mlops_launch.core.workload import kinds
from mlops_launch.core.workload.model import Role, is_integer, mapping, mappings

_INT, _BOOL, _TEXT, _TEXTS, _TEXT_MAP, _LIST, _MAP = (
    "a whole number", "true or false", "a text", "a list of texts", "a mapping of texts", "a list", "a mapping",
)  # fmt: skip
_IS: Final[Mapping[str, Callable[[Any], bool]]] = {
    _INT: is_integer,
    _BOOL: lambda value: isinstance(value, bool),
    _TEXT: lambda value: isinstance(value, str),
    _TEXTS: lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
    _TEXT_MAP: lambda value: isinstance(value, dict) and all(isinstance(item, str | None) for item in value.values()),
    _LIST: lambda value: isinstance(value, list),
    _MAP: lambda value: isinstance(value, dict),
}
_HINTS: Final = {
    _INT: "write the number without quotes",
    _BOOL: "write true or false without quotes; kustomize takes yes, no, on and off for texts",
    _TEXT: "put it in quotes",
    _TEXTS: 'one item per line; numbers, true and false in quotes: - "1"',
    _TEXT_MAP: 'numbers, true and false in quotes: "true"',
    _LIST: "start each item on a line of its own with `- `",
    _MAP: "write `key: value` lines below it",
}
# Users and groups of the pod have rules of their own, and so have replicas and slots.
_POD: Final = {
    "activeDeadlineSeconds": _INT, "automountServiceAccountToken": _BOOL, "enableServiceLinks": _BOOL, "hostNetwork": _BOOL,
    "hostPID": _BOOL, "hostIPC": _BOOL, "nodeName": _TEXT, "nodeSelector": _TEXT_MAP, "priorityClassName": _TEXT, "restartPolicy": _TEXT,
    "schedulerName": _TEXT,
    "serviceAccountName": _TEXT, "shareProcessNamespace": _BOOL, "terminationGracePeriodSeconds": _INT, "tolerations": _LIST,
    "volumes": _LIST,
    "imagePullSecrets": _LIST, "affinity": _MAP, "runtimeClassName": _TEXT, "hostname": _TEXT, "subdomain": _TEXT, "containers": _LIST,
    "initContainers": _LIST, "topologySpreadConstraints": _LIST, "priority": _INT,
}  # fmt: skip
_POD_CONTEXT: Final = {"runAsNonRoot": _BOOL, "seccompProfile": _MAP, "supplementalGroups": _LIST, "fsGroupChangePolicy": _TEXT}
_CONTAINER: Final = {
    "image": _TEXT, "imagePullPolicy": _TEXT, "command": _TEXTS, "args": _TEXTS, "env": _LIST, "envFrom": _LIST, "ports": _LIST,
    "volumeMounts": _LIST, "workingDir": _TEXT, "resources": _MAP, "securityContext": _MAP, "stdin": _BOOL, "tty": _BOOL,
}  # fmt: skip
_CONTEXT: Final = {
    "allowPrivilegeEscalation": _BOOL, "privileged": _BOOL, "readOnlyRootFilesystem": _BOOL, "runAsNonRoot": _BOOL, "capabilities": _MAP,
}  # fmt: skip
_JOB: Final = {"runLauncherAsWorker": _BOOL, "sshAuthMountPath": _TEXT, "runPolicy": _MAP}
_RUN_POLICY: Final = {
    "ttlSecondsAfterFinished": _INT, "activeDeadlineSeconds": _INT, "backoffLimit": _INT, "suspend": _BOOL, "schedulingPolicy": _MAP,
}  # fmt: skip
_METADATA: Final = {"name": _TEXT, "namespace": _TEXT, "labels": _TEXT_MAP, "annotations": _TEXT_MAP}
_MOUNT: Final = {"readOnly": _BOOL, "mountPath": _TEXT, "subPath": _TEXT, "name": _TEXT}
_PORT: Final = {"containerPort": _INT, "hostPort": _INT, "name": _TEXT}
_TOLERATION: Final = {"key": _TEXT, "value": _TEXT, "operator": _TEXT, "effect": _TEXT, "tolerationSeconds": _INT}

Found = tuple[tuple["str | Named", ...], Any, str]


@rule(
    "field-type",
    ERROR,
    "A value of the rendered workload is of another type than the field",
    why=(
        "The API server cannot decode the object. In kustomize's YAML `yes`, `no`, `on` and `off` are texts, quotes make a number a text, "
        "and true without quotes is not a text."
    ),
    wrong=in_pod("""
        terminationGracePeriodSeconds: "300"
        """),
    right=in_pod("""
        terminationGracePeriodSeconds: 300
        """),
    any_job=True,
)
def _types(subject: Subject) -> Iterator[Problem]:
    if subject.workload is None:
        return
    spec = mapping(subject.workload.manifest.get("spec"))
    for path, value, wanted in (*_wrong(spec, _JOB), *_wrong(mapping(spec.get("runPolicy")), _RUN_POLICY, "runPolicy")):
        yield _problem(subject.workload.kind, path, value, wanted, subject.at_patch(("spec", *path)))
    metadata = mapping(subject.workload.manifest.get("metadata"))
    for path, value, wanted in _wrong(metadata, _METADATA, "metadata"):
        yield _problem(subject.workload.kind, path, value, wanted, subject.at_patch(path))
    for role in subject.workload.roles:
        if len(subject.workload.roles) > 1:
            above = kinds.lookup(subject.workload.kind).pod_path(role.name)[:-1]
            template: Any = subject.workload.manifest
            for step in (*above, "metadata"):
                template = mapping(template).get(str(step))
            for path, value, wanted in _wrong(mapping(template), _METADATA):
                yield _problem(role.name, path, value, wanted, subject.at_patch((*above, "metadata", *path)))
        for path, value, wanted in _in_pod(role):
            yield _problem(role.name, path, value, wanted, subject.at_pod(role, *path))


def _problem(of: str, path: tuple[str | Named, ...], value: Any, wanted: str, place: Any) -> Problem:
    name = ".".join(str(step) for step in path).replace(".[name=", "[").replace("containers[", "[")
    return Problem(f"`{name}` of {of} is not {wanted} but {_described(value)}", _HINTS[wanted], place)


def _described(value: Any) -> str:
    if isinstance(value, str):
        return f'a text: "{value}"'
    if isinstance(value, bool):
        return f"true or false: {str(value).lower()}"
    if isinstance(value, int | float):
        return f"a number: {value}"
    return f"a list: {len(value)} items" if isinstance(value, list) else "a mapping"


def _wrong(values: Mapping[str, Any], types: Mapping[str, str], *above: str | Named) -> Iterator[Found]:
    for key, wanted in types.items():
        value = values.get(key)
        if value is not None and not _IS[wanted](value):
            yield (*above, key), _culprit(value, wanted), wanted


def _culprit(value: Any, wanted: str) -> Any:
    """Return the item that is wrong, where a list or mapping of texts has one."""
    items = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    return next((item for item in items if not isinstance(item, str | None)), value) if wanted in (_TEXTS, _TEXT_MAP) else value


def _in_pod(role: Role) -> Iterator[Found]:
    yield from _wrong(role.pod, _POD)
    yield from _wrong(mapping(role.pod.get("securityContext")), _POD_CONTEXT, "securityContext")
    for toleration in mappings(role.pod.get("tolerations")):
        yield from _wrong(toleration, _TOLERATION, "tolerations")
    for part in ("containers", "initContainers"):
        for container in mappings(role.pod.get(part)):
            at = (part, Named(str(container.get("name"))))
            yield from _wrong(container, _CONTAINER, *at)
            yield from _wrong(mapping(container.get("securityContext")), _CONTEXT, *at, "securityContext")
            for entry in mappings(container.get("env")):
                yield from _wrong(entry, {"value": _TEXT}, *at, "env", Named(str(entry.get("name"))))
            for mount in mappings(container.get("volumeMounts")):
                yield from _wrong(mount, _MOUNT, *at, "volumeMounts")
            for port in mappings(container.get("ports")):
                yield from _wrong(port, _PORT, *at, "ports")
