"""Rules over the pods: containers wiped by a patch, and a Pod that starts again."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_launch.core.path import Named
from mlops_launch.core.rules.base import Problem, Subject
from mlops_launch.core.rules.example import in_pod
from mlops_launch.core.rules.rule import ERROR, rule


@rule(
    "container-wiped",
    ERROR,
    "A patch has wiped a container's image, command or envFrom",
    why=(
        "Without the schema of the base, kustomize replaces an MPIJob's list of containers as a whole, without a warning. "
        "A misspelt container name adds one without an image."
    ),
    wrong=in_pod("""
        containers:
        - name: trainning
          resources:
            limits:
              cpu: 8
        """),
    right=in_pod("""
        containers:
        - name: training
          resources:
            limits:
              cpu: 8
        """),
)
def _wiped(subject: Subject) -> Iterator[Problem]:
    hint = "a patch must give the container's `name` as the base does, and not replace the list; keep `openapi` in the base"
    for role in subject.workload.roles if subject.workload else ():
        place = subject.at_pod(role, "containers")
        if not role.containers:
            yield Problem(f"no container in role: {role.name}", hint, place)
        for number, container in enumerate(role.containers):
            name = str(container.get("name"))
            parts = ("image", "command", "envFrom") if number == 0 else ("image",)
            gone = [part for part in parts if not container.get(part)]
            if gone:
                yield Problem(
                    f"the container `{name}` of {role.name} has lost: {', '.join(gone)}",
                    hint,
                    subject.at_pod(role, "containers", Named(name)),
                )
