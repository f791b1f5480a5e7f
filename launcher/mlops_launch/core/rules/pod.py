"""Rules over the kind Pod alone."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_launch.core.rules.base import Problem, Subject
from mlops_launch.core.rules.example import in_kustomization, in_pod
from mlops_launch.core.rules.rule import ERROR, WARNING, rule
from mlops_launch.core.workload.pod import Pod


@rule(
    "restart-always",
    ERROR,
    "The Pod would start again after the training",
    why="Always is the default of Kubernetes.",
    wrong=in_pod("restartPolicy: Always"),
    right=in_pod("restartPolicy: Never"),
    any_job=True,
)
def _restart_always(subject: Subject) -> Iterator[Problem]:
    pod = subject.of_kind(Pod())
    if pod is None:
        return
    policy = pod.main.pod.get("restartPolicy") or "Always, the default"
    if policy not in ("Never", "OnFailure"):
        yield Problem(
            f"the Pod would start again when it has finished: restartPolicy {policy}",
            "set `restartPolicy: Never`",
            subject.at_pod(pod.main, "restartPolicy"),
        )


@rule(
    "name-training",
    WARNING,
    "The Pod's name does not contain `training`",
    why="Scripts find the pod by that word.",
    wrong=in_kustomization(
        """
        patches:
        - target:
            kind: Pod
          options:
            allowNameChange: true
          patch: |-
            - op: replace
              path: /metadata/name
              value: resnet50
        """,
        overlay="single-node",
    ),
    right=in_kustomization(
        """
        patches:
        - target:
            kind: Pod
          options:
            allowNameChange: true
          patch: |-
            - op: replace
              path: /metadata/name
              value: resnet50-training
        """,
        overlay="single-node",
    ),
)
def _training_in_name(subject: Subject) -> Iterator[Problem]:
    pod = subject.of_kind(Pod())
    if pod is not None and "training" not in pod.name:
        yield Problem(
            f"the Pod's name does not contain `training`: {pod.name}",
            "`kubectl get pods -oname | grep training` finds it by that",
            subject.at_patch(("metadata", "name")),
        )
