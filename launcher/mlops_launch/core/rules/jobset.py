"""Rules over the kind JobSet alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mlops_launch.core.path import Named, Path
from mlops_launch.core.rules.base import Problem, Subject, shown, strings
from mlops_launch.core.rules.example import in_jobset
from mlops_launch.core.rules.rule import ERROR, WARNING, rule
from mlops_launch.core.workload.jobset import JobSet
from mlops_launch.core.workload.jobset_pods import chief, count, pods_per_job, replicated_jobs
from mlops_launch.core.workload.model import is_integer, mapping, mappings

_ROLES: Final = ("spec", "replicatedJobs")
PERMANENT: Final = frozenset(range(1, 128))  # exit codes after which another attempt would end in the same way


@rule(
    "jobset-replicas",
    ERROR,
    "A count of a role is not valid",
    why="A role has 1 pod or more: remove one that is not needed.",
    wrong=in_jobset("""
        spec:
          replicatedJobs:
          - name: worker
            replicas: 0
        """),
    right=in_jobset("""
        spec:
          replicatedJobs:
          - name: worker
            replicas: 4
        """),
)
def _replicas(subject: Subject) -> Iterator[Problem]:
    job = subject.of_kind(JobSet())
    for role in replicated_jobs(job.manifest) if job is not None else ():
        inner = mapping(mapping(role.get("template")).get("spec"))
        counts: dict[str, tuple[Any, Path]] = {
            "replicas": (role["replicas"], ("replicas",)),
            "parallelism": (inner.get("parallelism", 1), ("template", "spec", "parallelism")),
        }
        for name, (found, path) in counts.items():
            if not is_integer(found) or found < 1:
                yield Problem(
                    f"`{name}` of the role {role['name']} must be a whole number of 1 or more{shown(found)}",
                    "correct it in the patch file; remove a role that is not needed",
                    subject.at_patch((*_ROLES, Named(str(role["name"])), *path)),
                )


@rule(
    "jobset-coordinator",
    ERROR,
    "The coordinator is not a pod of the JobSet",
    why="Its log and its exit code are the run's, and the other pods are told its name. JobSet refuses one that does not exist.",
    wrong=in_jobset("""
        spec:
          coordinator:
            replicatedJob: chief
        """),
    right=in_jobset("""
        spec:
          coordinator:
            jobIndex: 1
        """),
)
def _coordinator(subject: Subject) -> Iterator[Problem]:
    job = subject.of_kind(JobSet())
    first = chief(job.manifest) if job is not None else None
    if job is None or first is None:
        return
    roles = {str(role["name"]): role for role in replicated_jobs(job.manifest)}
    role = roles.get(first.role)
    if role is not None and first.job < max(1, count(role["replicas"])) and first.pod < max(1, pods_per_job(role)):
        return
    what = f"{first.role}-{first.job}-{first.pod}"
    yield Problem(
        f"the coordinator is not a pod of the JobSet: {what}", f"roles: {', '.join(roles)}; indices begin at 0", subject.at_patch(
            ("spec", "coordinator")
        ),
    )  # fmt: skip


@rule(
    "jobset-success",
    ERROR,
    "Success waits for a role that is not there",
    why="JobSet's controller refuses it.",
    wrong=in_jobset("""
        spec:
          successPolicy:
            targetReplicatedJobs: [chief]
        """),
    right=in_jobset("""
        spec:
          successPolicy:
            targetReplicatedJobs: [worker]
        """),
)
def _success(subject: Subject) -> Iterator[Problem]:
    job = subject.of_kind(JobSet())
    if job is None:
        return
    names = [role.name for role in job.roles]
    for name in strings(mapping(mapping(job.manifest.get("spec")).get("successPolicy")).get("targetReplicatedJobs")):
        if name not in names:
            yield Problem(
                f"success waits for a role that is not there: {name}",
                f"roles: {', '.join(names)}",
                subject.at_patch(("spec", "successPolicy", "targetReplicatedJobs")),
            )


@rule(
    "jobset-restart-policy",
    ERROR,
    "A container would be started again in its pod",
    why=(
        "OnFailure is JobSet's default. A failed program would be started again without the others, and its exit code would be read "
        "by nobody: Kubernetes allows a podFailurePolicy with Never alone."
    ),
    wrong=in_jobset("""
        spec:
          replicatedJobs:
          - name: worker
            template:
              spec:
                template:
                  spec:
                    restartPolicy: OnFailure
        """),
    right=in_jobset("""
        spec:
          replicatedJobs:
          - name: worker
            template:
              spec:
                template:
                  spec:
                    restartPolicy: Never
        """),
)
def _restart_policy(subject: Subject) -> Iterator[Problem]:
    job = subject.of_kind(JobSet())
    for role in job.roles if job is not None else ():
        policy = role.pod.get("restartPolicy") or "OnFailure, the default"
        if policy != "Never":
            yield Problem(
                f"a failed container of the role {role.name} would be started again in its pod: restartPolicy {policy}",
                "set `restartPolicy: Never`",
                subject.at_pod(role, "restartPolicy"),
            )


@rule(
    "jobset-permanent",
    WARNING,
    "A failure that is permanent would be retried",
    why=(
        "After an exit code of 1 to 127 another attempt ends in the same way. A podFailurePolicy of each role that fails the Job on "
        "these codes, and a rule of the failurePolicy that fails the JobSet for `PodFailurePolicy`, end it at once."
    ),
    wrong=in_jobset("""
        spec:
          failurePolicy:
            rules: []
        """),
    right=in_jobset("""
        spec:
          failurePolicy:
            maxRestarts: 5
        """),
)
def _permanent(subject: Subject) -> Iterator[Problem]:
    job = subject.of_kind(JobSet())
    policy = mapping(mapping(job.manifest.get("spec")).get("failurePolicy")) if job is not None else {}
    restarts = count(policy.get("maxRestarts"))
    if job is None or not restarts:
        return
    ends = any(
        rule.get("action") == "FailJobSet" and "PodFailurePolicy" in (strings(rule.get("onJobFailureReasons")) or ["PodFailurePolicy"])
        for rule in mappings(policy.get("rules"))
    )
    open_roles = [str(role["name"]) for role in replicated_jobs(job.manifest) if not ends or not _fails_at_once(role)]
    if open_roles:
        yield Problem(
            f"a permanent failure would be retried {restarts} times, of the role: {', '.join(open_roles)}",
            "keep the base's podFailurePolicy and failurePolicy, or set `maxRestarts: 0`",
            subject.at_patch(("spec", "failurePolicy")),
        )


def _fails_at_once(role: Any) -> bool:
    inner = mapping(mapping(role.get("template")).get("spec"))
    codes: set[Any] = set()
    for found in mappings(mapping(inner.get("podFailurePolicy")).get("rules")):
        on = mapping(found.get("onExitCodes"))
        if found.get("action") == "FailJob" and on.get("operator") == "In" and isinstance(on.get("values"), list):
            codes |= {value for value in on["values"] if is_integer(value)}
    return codes >= PERMANENT
