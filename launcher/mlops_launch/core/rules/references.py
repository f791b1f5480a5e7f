"""Rules over references in the rendered pods: `$(NAME)` that nothing expands, names that kustomize has not rewritten."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mlops_launch.core.path import Named
from mlops_launch.core.rules.base import Problem, Subject, all_containers, strings
from mlops_launch.core.rules.example import in_container, in_launcher
from mlops_launch.core.rules.keys import REQUIRED
from mlops_launch.core.rules.rule import ERROR, rule
from mlops_launch.core.workload.expansion import expand
from mlops_launch.core.workload.model import Role, mapping, mappings

# A shell's `$(command)` in an argument is in lower case or has blanks.
_NAME = re.compile(r"\$\((?P<name>[A-Z_][A-Z0-9_]*)\)")


@rule(
    "reference-unresolved",
    ERROR,
    "A `$(NAME)` in a command, argument or variable stays as it is",
    why=(
        "The kubelet expands it from the container's own variables, those above it in `env` included, and leaves what it does not find: "
        "the program gets the text `$(NAME)`. A list without a merge key, such as `envFrom`, is replaced by a patch as a whole: "
        "repeat the base's ConfigMap `mlops-env` in it."
    ),
    wrong=in_container("""
        env:
        - name: TITLE
          value: $(PROJECT)-1
        """),
    right=in_container("""
        env:
        - name: PROJECT
          value: digits
        - name: TITLE
          value: $(PROJECT)-1
        """),
    any_job=True,
)
def _unresolved(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for container in all_containers(role):
            known, open_sources = _variables(subject, container)
            for name in dict.fromkeys(_left(container, known)):
                if open_sources and subject.files.env(name) is None:
                    continue  # a Secret, or a ConfigMap of the cluster, may hold it
                if name in REQUIRED and not known.keys().isdisjoint(REQUIRED):
                    continue  # mlops.env arrives, and env-missing or env-export say what is wrong in it
                yield Problem(
                    f"nothing expands `$({name})` in the container `{container.get('name')}` of {role.name}, it has no variable: {name}",
                    "give it in the container's `env`, or keep the ConfigMap `mlops-env` in its `envFrom`",
                    subject.at_pod(role, "containers", Named(str(container.get("name"))), "envFrom"),
                )


def _left(container: Mapping[str, Any], known: dict[str, str]) -> Iterator[str]:
    variables = dict(known)
    for entry in mappings(container.get("env")):
        name = str(entry.get("name"))
        if "valueFrom" in entry:
            variables[name] = ""
        elif isinstance(entry.get("value"), str):
            variables[name] = expand(entry["value"], variables)
            yield from (match["name"] for match in _NAME.finditer(variables[name]))
    for word in (*strings(container.get("command")), *strings(container.get("args"))):
        expanded = expand(word.replace("$$", ""), {key: "" for key in variables})
        yield from (match["name"] for match in _NAME.finditer(expanded))


def _variables(subject: Subject, container: Mapping[str, Any]) -> tuple[dict[str, str], bool]:
    """Return what `envFrom` brings, and whether a source is not among the rendered objects."""
    known: dict[str, str] = {}
    rendered = subject.workload.config_maps if subject.workload else {}
    is_open = False
    for source in mappings(container.get("envFrom")):
        name = str(mapping(source.get("configMapRef")).get("name"))
        workload = subject.workload.name if subject.workload else ""
        name = next((other for other in rendered if name not in rendered and _is_renamed(name, other, workload)), name)
        if name in rendered:
            known.update({f"{source.get('prefix') or ''}{key}": str(value).replace("$", "") for key, value in rendered[name].items()})
        else:
            is_open = True
    return known, is_open


# Field of a pod spec that names an object → its kind and the key that holds the name.
_REFERENCES = {
    "configMap": ("ConfigMap", "name"),
    "configMapRef": ("ConfigMap", "name"),
    "configMapKeyRef": ("ConfigMap", "name"),
    "secret": ("Secret", "secretName"),
    "secretRef": ("Secret", "name"),
    "secretKeyRef": ("Secret", "name"),
    "persistentVolumeClaim": ("PersistentVolumeClaim", "claimName"),
}
_HASH = re.compile(r"-[a-z0-9]{10}$")


@rule(
    "reference-renamed",
    ERROR,
    "A pod names an object that is rendered under another name",
    why=(
        "kustomize gives generated objects a hash, and all objects `namePrefix` and `nameSuffix`; it rewrites names in the fields "
        "that it knows, and of an MPIJob only those that `name-reference.yaml` of the base lists. The pod would wait forever. "
        "Add the field to a `configurations` file, or give the generator `options: {disableNameSuffixHash: true}`."
    ),
    wrong=in_launcher("""
        containers:
        - name: launcher
          env:
          - name: MLOPS_SEED
            valueFrom:
              configMapKeyRef:
                name: mlops-env
                key: MLOPS_SEED
        """),
    right=in_launcher("""
        containers:
        - name: launcher
          env:
          - name: MLOPS_SEED
            value: "7"
        """),
    any_job=True,
)
def _renamed(subject: Subject) -> Iterator[Problem]:
    workload = subject.workload.name if subject.workload else ""
    for role in subject.roles:
        for kind, name in dict.fromkeys(_named(role)):
            there = subject.names.get(kind, frozenset())
            if name in there:
                continue
            renamed = next((other for other in sorted(there) if _is_renamed(name, other, workload)), None)
            if renamed is not None:
                yield Problem(
                    f"{role.name} names the {kind} {name}, which is rendered as: {renamed}",
                    "kustomize does not know the field: list it under `nameReference` in a file of `configurations`, as the base does",
                    subject.at_pod(role),
                )


def _is_renamed(name: str, other: str, workload: str) -> bool:
    """Return whether `other` is `name` with a hash, or with the prefix and suffix that the workload has as well."""
    plain = _HASH.sub("", other)
    for place in [match.start() for match in re.finditer(re.escape(name), plain)]:
        prefix, suffix = plain[:place], plain[place + len(name) :]
        if workload.startswith(prefix) and workload.endswith(suffix) and other != name:
            return True
    return False


def _named(role: Role) -> Iterator[tuple[str, str]]:
    if isinstance(account := role.pod.get("serviceAccountName"), str):
        yield "ServiceAccount", account
    for secret in mappings(role.pod.get("imagePullSecrets")):
        yield "Secret", str(secret.get("name"))
    yield from _named_in(role.pod)


def _named_in(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for item in value:
            yield from _named_in(item)
    elif isinstance(value, dict):
        for key, inner in value.items():
            kind, field = _REFERENCES.get(key, ("", ""))
            if isinstance(inner, dict) and isinstance(inner.get(field), str) and not inner.get("optional"):
                yield kind, inner[field]
            yield from _named_in(inner)
