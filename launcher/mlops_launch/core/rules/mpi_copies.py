"""Rules over what the overlay's replacements copy: the copy equals its source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlops_launch.contract import SLOTS_PER_WORKER, WORKERS
from mlops_launch.core.overlay import dialect
from mlops_launch.core.path import Named
from mlops_launch.core.rules.base import Problem, Subject
from mlops_launch.core.rules.example import in_kustomization
from mlops_launch.core.rules.mpirun import MPI_JOB
from mlops_launch.core.rules.rule import ERROR, rule
from mlops_launch.core.workload.model import is_integer, mappings
from mlops_launch.core.workload.mpijob import slots


@rule(
    "count-stale",
    ERROR,
    "MLOPS_WORKERS or MLOPS_SLOTS_PER_WORKER is not the job's number",
    why=(
        "The replacements copy both numbers into the launcher's environment; the trainer ends with exit code 78 when it finds other ranks. "
        "The replacements of a base run before the patches of an overlay on it: repeat these two in its `replacements`."
    ),
    wrong=in_kustomization("""
        replacements:
        - source:
            kind: MPIJob
            fieldPath: spec.slotsPerWorker
          targets:
          - select:
              kind: MPIJob
            fieldPaths:
            - spec.mpiReplicaSpecs.Launcher.template.spec.containers.[name=launcher].env.[name=MLOPS_WORKERS].value
        """),
    right=in_kustomization("""
        replacements:
        - source:
            kind: MPIJob
            fieldPath: spec.mpiReplicaSpecs.Worker.replicas
          targets:
          - select:
              kind: MPIJob
            fieldPaths:
            - spec.mpiReplicaSpecs.Launcher.template.spec.containers.[name=launcher].env.[name=MLOPS_WORKERS].value
        """),
)
def _stale(subject: Subject) -> Iterator[Problem]:
    job = subject.whole_of_kind(MPI_JOB)
    if job is None:
        return
    given = {str(entry.get("name")): entry for entry in mappings(job.main.containers[0].get("env"))}
    for name, count, what in ((WORKERS, job.roles[1].replicas, "workers"), (SLOTS_PER_WORKER, slots(job), "slots per worker")):
        entry = given.get(name)
        if entry is not None and is_integer(count) and not _is_number(entry.get("value"), count):
            yield Problem(
                f"the job has {count} {what}, and the launcher's {name} says: {entry.get('value') or 'nothing'}",
                f"copy the replacements for {name} from the base's replacements.yaml into this overlay's `replacements`",
                subject.at_pod(job.main, "containers", Named(str(job.main.containers[0].get("name"))), "env"),
            )


def _is_number(value: Any, number: int) -> bool:
    """Return whether a variable is that number, perhaps in another notation where it was copied from: yaml-octal says so."""
    return isinstance(value, str) and dialect.integer(value) == number
