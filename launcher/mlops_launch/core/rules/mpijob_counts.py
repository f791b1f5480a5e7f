"""Rules over the MPIJob's counts: workers, slots."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_launch.core.rules.base import Problem, Subject, shown
from mlops_launch.core.rules.example import in_job
from mlops_launch.core.rules.mpirun import MPI_JOB
from mlops_launch.core.rules.resources import gpu_count
from mlops_launch.core.rules.rule import ERROR, WARNING, rule
from mlops_launch.core.workload.model import is_integer
from mlops_launch.core.workload.mpijob import LAUNCHER, WORKER, slots


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
    explains_render=True,
)
def _workers(subject: Subject) -> Iterator[Problem]:
    if "Worker.replicas` is missing" in (subject.render_error or ""):
        place = subject.at_patch(("spec", "mpiReplicaSpecs", WORKER, "replicas"))
        yield Problem("the Worker has no `replicas`", "`mlops-launch set OVERLAY --workers N`", place)
    job = subject.of_kind(MPI_JOB)
    for role in job.roles if job is not None else ():
        place = subject.at_patch(("spec", "mpiReplicaSpecs", role.name, "replicas"))
        if role.name == LAUNCHER and is_integer(role.replicas) and role.replicas != 1:
            yield Problem(
                f"the Launcher's `replicas` must be 1: {role.replicas}",
                "one mpirun starts all ranks: remove the field",
                place,
            )
        elif not is_integer(role.replicas) or role.replicas < 1:
            yield Problem(
                f"the {role.name}'s `replicas` must be a whole number of 1 or more{shown(role.replicas)}",
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
    explains_render=True,
)
def _slots(subject: Subject) -> Iterator[Problem]:
    if "slotsPerWorker` is missing" in (subject.render_error or ""):
        place = subject.at_patch(("spec", "slotsPerWorker"))
        yield Problem("the job has no `slotsPerWorker`", "`mlops-launch set OVERLAY --slots N`", place)
    job = subject.of_kind(MPI_JOB)
    if job is not None and (not is_integer(slots(job)) or slots(job) < 1):
        yield Problem(
            f"`slotsPerWorker` must be a whole number of 1 or more{shown(slots(job))}",
            "`mlops-launch set OVERLAY --slots N`",
            subject.at_patch(("spec", "slotsPerWorker")),
        )


@rule(
    "slots-above-gpus",
    ERROR,
    "A worker has more slots than GPUs",
    why="Two ranks would share a GPU, which NCCL refuses.",
    wrong=in_job("""
        spec:
          slotsPerWorker: 5
          mpiReplicaSpecs:
            Worker:
              template:
                spec:
                  containers:
                  - name: worker
                    resources:
                      limits:
                        nvidia.com/gpu: 2
        """),
    right=in_job("""
        spec:
          slotsPerWorker: 5
          mpiReplicaSpecs:
            Worker:
              template:
                spec:
                  containers:
                  - name: worker
                    resources:
                      limits:
                        nvidia.com/gpu: 5
        """),
)
def _slots_above_gpus(subject: Subject) -> Iterator[Problem]:
    job = subject.whole_of_kind(MPI_JOB)
    if job is None or not is_integer(slots(job)):
        return
    gpus = gpu_count(job.roles[1])
    if 0 < gpus < slots(job):
        yield Problem(
            f"more slots than GPUs per worker: {slots(job)} > {gpus}",
            "one rank per GPU: `mlops-launch set OVERLAY --slots N --gpus N`",
            subject.at_patch(("spec", "slotsPerWorker")),
        )


@rule(
    "gpus-above-slots",
    WARNING,
    "A worker has more GPUs than slots",
    why="A rank uses one GPU: the others are reserved and idle.",
    wrong=in_job("""
        spec:
          slotsPerWorker: 1
          mpiReplicaSpecs:
            Worker:
              template:
                spec:
                  containers:
                  - name: worker
                    resources:
                      limits:
                        nvidia.com/gpu: 4
        """),
    right=in_job("""
        spec:
          slotsPerWorker: 1
          mpiReplicaSpecs:
            Worker:
              template:
                spec:
                  containers:
                  - name: worker
                    resources:
                      limits:
                        nvidia.com/gpu: 1
        """),
)
def _idle(subject: Subject) -> Iterator[Problem]:
    job = subject.whole_of_kind(MPI_JOB)
    if job is None or not is_integer(slots(job)):
        return
    gpus, count = gpu_count(job.roles[1]), slots(job)
    if 0 < count < gpus:
        yield Problem(
            f"{gpus - count} GPUs per worker would be idle, a rank uses one: {gpus} > {count}",
            f"`mlops-launch set OVERLAY --slots {gpus}`, or `--gpus {count}`",
            subject.at_patch(("spec", "slotsPerWorker")),
        )
