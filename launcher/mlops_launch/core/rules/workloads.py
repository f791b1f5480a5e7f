"""Rules over the workload as a whole: that there is one, of an API version that is served, and of this package."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_launch.core.rules.base import Problem, Subject
from mlops_launch.core.rules.example import in_pod_manifest, in_resource
from mlops_launch.core.rules.rule import ERROR, WARNING, rule


@rule(
    "workload-count",
    ERROR,
    "The overlay renders no workload, or more than one",
    why="`run` follows one workload, such as an MPIJob with its Launcher and its Worker. Give each workload an overlay of its own.",
    wrong=in_resource("""
        apiVersion: v1
        kind: Pod
        metadata:
          name: notebook
        spec:
          containers:
          - name: notebook
            image: ghcr.io/me/notebook:1
        """),
    right=in_resource("""
        apiVersion: v1
        kind: Service
        metadata:
          name: notebook
        spec:
          ports:
          - port: 8888
        """),
    any_job=True,
    explains_render=True,
)
def _count(subject: Subject) -> Iterator[Problem]:
    if subject.workload_error is not None:
        yield Problem(
            subject.workload_error.message, subject.workload_error.hint or "a patch may have removed a role: restore it from the base"
        )


@rule(
    "foreign-job",
    WARNING,
    "The workload was not made from this package",
    why=(
        "It has neither the package's label `app.kubernetes.io/part-of: mlops-launch` nor its ConfigMap nor its entry points. "
        "Only the rules that hold for any job are asked; those on mlops.env, users, mpirun and Pod Security are left out."
    ),
    wrong=in_pod_manifest("""
        metadata:
          name: resnet50v1-5-training
          labels:
            app.kubernetes.io/part-of: another-package
        spec:
          containers:
          - name: training
            command: [python3, /train.py]
            args: []
            envFrom: []
        """),
    right=in_pod_manifest("""
        metadata:
          name: resnet50v1-5-training
          labels:
            team: vision
        """),
    any_job=True,
)
def _foreign(subject: Subject) -> Iterator[Problem]:
    if subject.workload is not None and subject.is_foreign:
        yield Problem(
            f"not made from this package, so that the rules on its parts are left out: {subject.workload.kind} {subject.workload.name}",
            "`mlops-launch init DIR` unpacks the package's overlays",
        )
