"""Rules over the MPIJob around mpirun: what the operator makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from mlops_launch.core.rules.base import Problem, Subject
from mlops_launch.core.rules.example import in_job
from mlops_launch.core.rules.mpirun import MPI_JOB, mca_settings
from mlops_launch.core.rules.rule import ERROR, WARNING, rule
from mlops_launch.core.workload.model import Workload, is_integer, mapping

_MANY_WORKERS = 64


def _policy(job: Workload) -> Mapping[str, object]:
    return mapping(mapping(job.manifest.get("spec")).get("runPolicy"))


@rule(
    "mpi-clean-pods",
    WARNING,
    "cleanPodPolicy leaves the workers",
    why="The operator's default, None, keeps finished workers and their GPUs.",
    wrong=in_job("""
        spec:
          runPolicy:
            cleanPodPolicy: None
        """),
    right=in_job("""
        spec:
          runPolicy:
            cleanPodPolicy: Running
        """),
)
def _clean_pod_policy(subject: Subject) -> Iterator[Problem]:
    job = subject.whole_of_kind(MPI_JOB)
    if job is not None and (policy := _policy(job).get("cleanPodPolicy")) in (None, "None"):
        yield Problem(
            f"finished workers stay and keep their GPUs: cleanPodPolicy {policy or 'is not set'}",
            "set `cleanPodPolicy: Running` under `runPolicy`",
            subject.at_patch(("spec", "runPolicy", "cleanPodPolicy")),
        )


@rule(
    "mpi-backoff",
    WARNING,
    "Kubernetes retries the launcher",
    why="The default is six tries, whatever the exit code; `run --retries` knows which codes may be retried.",
    wrong=in_job("""
        spec:
          runPolicy:
            backoffLimit: 3
        """),
    right=in_job("""
        spec:
          runPolicy:
            backoffLimit: 0
        """),
)
def _backoff_limit(subject: Subject) -> Iterator[Problem]:
    job = subject.whole_of_kind(MPI_JOB)
    if job is not None and (limit := _policy(job).get("backoffLimit", "6, the default")) != 0:
        yield Problem(
            f"Kubernetes would start a failed launcher again: backoffLimit {limit}",
            "set `backoffLimit: 0` under `runPolicy`: exit codes below 128 never get better",
            subject.at_patch(("spec", "runPolicy", "backoffLimit")),
        )


@rule(
    "mpi-ssh-path",
    ERROR,
    "sshAuthMountPath is not in the user's home",
    why="ssh would not find the key, or refuse it.",
    wrong=in_job("""
        spec:
          sshAuthMountPath: /root/.ssh
        """),
    right=in_job("""
        spec:
          sshAuthMountPath: /home/mlops/.ssh
        """),
)
def _ssh_path(subject: Subject) -> Iterator[Problem]:
    job = subject.whole_of_kind(MPI_JOB)
    if job is None:
        return
    path = str(mapping(job.manifest.get("spec")).get("sshAuthMountPath") or "/root/.ssh")
    home = subject.variables(job.main).get("HOME", "/root")
    if not PurePosixPath(path).is_relative_to(home):
        yield Problem(
            f"`sshAuthMountPath` is not in the user's home {home}: {path}",
            f"set it to {home}/.ssh; ssh does not find or refuses a key that is elsewhere",
            subject.at_patch(("spec", "sshAuthMountPath")),
        )


@rule(
    "mpi-creation-policy",
    WARNING,
    "The launcher's creation does not fit the workers'",
    why=(
        "AtStartup lets the launcher fail until the workers are up; "
        "WaitForWorkersReady with gang scheduling deadlocks unless `minAvailable` is the number of workers."
    ),
    wrong=in_job("""
        spec:
          launcherCreationPolicy: AtStartup
        """),
    right=in_job("""
        spec:
          launcherCreationPolicy: WaitForWorkersReady
        """),
)
def _creation_policy(subject: Subject) -> Iterator[Problem]:
    job = subject.whole_of_kind(MPI_JOB)
    if job is None:
        return
    spec = mapping(job.manifest.get("spec"))
    policy, scheduling = (
        spec.get("launcherCreationPolicy") or "AtStartup",
        mapping(_policy(job).get("schedulingPolicy")),
    )
    place = subject.at_patch(("spec", "launcherCreationPolicy"))
    workers = job.roles[1].replicas
    if policy == "AtStartup":
        yield Problem(
            f"the launcher starts before the workers are ready: {policy}",
            "set `launcherCreationPolicy: WaitForWorkersReady`",
            place,
        )
    elif scheduling and scheduling.get("minAvailable") != workers:
        yield Problem(
            f"gang scheduling and launcher wait for each other: minAvailable {scheduling.get('minAvailable') or 'is not set'}",
            f"set `minAvailable: {workers}` (the workers) under `schedulingPolicy`",
            subject.at_patch(("spec", "runPolicy", "schedulingPolicy")),
        )


@rule(
    "mpi-many-workers",
    WARNING,
    "More than 64 workers with ssh's tree spawn",
    why="Open MPI's start by ssh through a tree has been seen to hang from about 64 hosts.",
    wrong=in_job("""
        spec:
          mpiReplicaSpecs:
            Launcher:
              template:
                spec:
                  containers:
                  - name: launcher
                    env:
                    - name: MLOPS_GLOBAL_BATCH
                      value: "128"
            Worker:
              replicas: 128
        """),
    right=in_job("""
        spec:
          mpiReplicaSpecs:
            Launcher:
              template:
                spec:
                  containers:
                  - name: launcher
                    env:
                    - name: MLOPS_GLOBAL_BATCH
                      value: "128"
                    - name: PRTE_MCA_plm_ssh_no_tree_spawn
                      value: "1"
            Worker:
              replicas: 128
        """),
)
def _many_workers(subject: Subject) -> Iterator[Problem]:
    job = subject.whole_of_kind(MPI_JOB)
    if job is None or not is_integer(job.roles[1].replicas) or job.roles[1].replicas <= _MANY_WORKERS:
        return
    if mca_settings(subject, job).get("PRTE_MCA_plm_ssh_no_tree_spawn") not in ("1", "true"):
        yield Problem(
            f"ssh through a tree of workers can hang above {_MANY_WORKERS} workers: {job.roles[1].replicas}",
            "set PRTE_MCA_plm_ssh_no_tree_spawn=1 on the launcher container",
            subject.at_patch(("spec", "mpiReplicaSpecs", "Worker", "replicas")),
        )
