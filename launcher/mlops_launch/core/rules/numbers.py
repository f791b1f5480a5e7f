"""Rules over counts: workers, slots, the batch."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_launch.core.rules.base import Problem, Subject, is_integer
from mlops_launch.core.rules.example import in_job
from mlops_launch.core.rules.rule import ERROR, rule


@rule(
    "workers",
    ERROR,
    "A count of pods is not valid",
    why="Workers are 1 or more, and there is one Launcher.",
    wrong=in_job("""
        spec:
          mpiReplicaSpecs:
            Worker:
              replicas: 0
        """),
    right=in_job("""
        spec:
          mpiReplicaSpecs:
            Worker:
              replicas: 2
        """),
)
def _workers(subject: Subject) -> Iterator[Problem]:
    for role in subject.workload.roles if subject.workload and subject.workload.kind == "MPIJob" else ():
        place = subject.at_patch(("spec", "mpiReplicaSpecs", role.name, "replicas"))
        if role.name == "Launcher" and role.replicas != 1:
            yield Problem(
                f"the Launcher's `replicas` must be 1: {role.replicas}",
                "one mpirun starts all ranks: remove the field",
                place,
            )
        elif not is_integer(role.replicas) or role.replicas < 1:
            yield Problem(
                f"the {role.name}'s `replicas` must be 1 or more: {role.replicas}",
                "`mlops-launch set OVERLAY --workers N`",
                place,
            )


@rule(
    "slots",
    ERROR,
    "slotsPerWorker is not valid",
    why="workers × slotsPerWorker is the number of ranks.",
    wrong=in_job("""
        spec:
          slotsPerWorker: two
        """),
    right=in_job("""
        spec:
          slotsPerWorker: 5
        """),
)
def _slots(subject: Subject) -> Iterator[Problem]:
    if subject.workload is None or subject.workload.kind != "MPIJob":
        return
    slots = subject.workload.slots_per_worker
    if not is_integer(slots) or slots < 1:
        yield Problem(
            f"`slotsPerWorker` must be a whole number of 1 or more: {slots}",
            "`mlops-launch set OVERLAY --slots N`",
            subject.at_patch(("spec", "slotsPerWorker")),
        )
