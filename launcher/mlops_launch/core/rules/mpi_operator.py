"""What mpi-operator itself refuses, or does other than an overlay of this package expects.

https://github.com/kubeflow/mpi-operator/blob/v0.8.2/pkg/apis/kubeflow/validation/validation.go
"""

from __future__ import annotations

from collections.abc import Iterator

from mlops_launch.core.rules.base import Problem, Subject
from mlops_launch.core.rules.example import in_job, in_kustomization
from mlops_launch.core.rules.mpirun import MPI_JOB
from mlops_launch.core.rules.rule import ERROR, rule
from mlops_launch.core.workload.model import is_integer, mapping, mappings

# Path below `spec` → the words there are; the first is the default.
_WORDS = {
    ("runPolicy", "cleanPodPolicy"): ("None", "Running", "All"),
    ("launcherCreationPolicy",): ("AtStartup", "WaitForWorkersReady"),
    ("mpiImplementation",): ("OpenMPI", "Intel", "MPICH"),
}
_NOT_NEGATIVE = ("ttlSecondsAfterFinished", "activeDeadlineSeconds", "backoffLimit")


@rule(
    "api-version",
    ERROR,
    "The workload's apiVersion is another one",
    why="The operator that the package installs serves this version only; fields have moved between versions, and old ones are dropped.",
    wrong=in_kustomization("""
        patches:
        - target:
            kind: MPIJob
          patch: |-
            - op: replace
              path: /apiVersion
              value: kubeflow.org/v1
        """),
    right=in_kustomization("""
        patches:
        - target:
            kind: MPIJob
          patch: |-
            - op: replace
              path: /apiVersion
              value: kubeflow.org/v2beta1
        """),
    any_job=True,
)
def _api_version(subject: Subject) -> Iterator[Problem]:
    job = subject.of_kind(MPI_JOB)
    if job is not None and job.manifest.get("apiVersion") != MPI_JOB.api_version:
        yield Problem(
            f"the {job.kind} is not of {MPI_JOB.api_version}: {job.manifest.get('apiVersion')}",
            f"write `apiVersion: {MPI_JOB.api_version}`, and move what has moved, such as `cleanPodPolicy` under `runPolicy`",
            subject.at_patch(("apiVersion",)),
        )


@rule(
    "mpi-operator",
    ERROR,
    "mpi-operator refuses the job",
    why="It writes an event and does nothing: the job waits forever.",
    wrong=in_job("""
        spec:
          mpiReplicaSpecs:
            Worker:
              restartPolicy: Always
        """),
    right=in_job("""
        spec:
          mpiReplicaSpecs:
            Worker:
              restartPolicy: OnFailure
        """),
    any_job=True,
)
def _refused(subject: Subject) -> Iterator[Problem]:
    job = subject.of_kind(MPI_JOB)
    if job is None:
        return
    spec = mapping(job.manifest.get("spec"))
    for path, words in _WORDS.items():
        value = spec if len(path) == 1 else mapping(spec.get(path[0]))
        given = value.get(path[-1])
        if given is not None and given not in words:
            yield Problem(
                f"`{path[-1]}` is not one of {', '.join(words)}: {given}",
                f"write `{path[-1]}: {words[0]}`",
                subject.at_patch(("spec", *path)),
            )
    for name in _NOT_NEGATIVE:
        number = mapping(spec.get("runPolicy")).get(name)
        if number is not None and is_integer(number) and number < 0:
            yield Problem(f"`{name}` is negative: {number}", "write 0 or more", subject.at_patch(("spec", "runPolicy", name)))
    for role in job.roles:
        path = ("spec", "mpiReplicaSpecs", role.name, "restartPolicy")
        policy = mapping(mapping(spec.get("mpiReplicaSpecs")).get(role.name)).get("restartPolicy")
        if policy not in (None, "", "Never", "OnFailure"):
            yield Problem(
                f"the {role.name}'s `restartPolicy` is not Never or OnFailure: {policy}",
                "write `restartPolicy: Never`",
                subject.at_patch(path),
            )


@rule(
    "mpi-launcher-as-worker",
    ERROR,
    "The launcher would be a worker too",
    why=(
        "`runLauncherAsWorker` puts the launcher's pod into the hostfile: there is one rank more than workers × slotsPerWorker, which the "
        "trainer refuses with exit code 78, and this overlay's launcher has no ssh server and few resources."
    ),
    wrong=in_job("""
        spec:
          runLauncherAsWorker: true
        """),
    right=in_job("""
        spec:
          runLauncherAsWorker: false
        """),
)
def _launcher_as_worker(subject: Subject) -> Iterator[Problem]:
    job = subject.of_kind(MPI_JOB)
    if job is not None and mapping(job.manifest.get("spec")).get("runLauncherAsWorker") is True:
        yield Problem(
            "the launcher cannot be a worker in this package: runLauncherAsWorker true",
            "remove the field, and add a worker: `mlops-launch set OVERLAY --workers N`",
            subject.at_patch(("spec", "runLauncherAsWorker")),
        )


@rule(
    "mpi-first-container",
    ERROR,
    "A sidecar stands in front of the container that trains",
    why=(
        "mpi-operator prepares the first container only: it gets the hostfile, the ssh key and variables. kustomize puts what a patch adds "
        "in front, unless the patch names the base's container first."
    ),
    wrong=in_job("""
        spec:
          mpiReplicaSpecs:
            Worker:
              template:
                spec:
                  containers:
                  - name: exporter
                    image: ghcr.io/me/exporter:1
                    securityContext:
                      allowPrivilegeEscalation: false
                      readOnlyRootFilesystem: true
                      capabilities:
                        drop: [ALL]
        """),
    right=in_job("""
        spec:
          mpiReplicaSpecs:
            Worker:
              template:
                spec:
                  containers:
                  - name: worker
                  - name: exporter
                    image: ghcr.io/me/exporter:1
                    securityContext:
                      allowPrivilegeEscalation: false
                      readOnlyRootFilesystem: true
                      capabilities:
                        drop: [ALL]
        """),
)
def _first_container(subject: Subject) -> Iterator[Problem]:
    job = subject.of_kind(MPI_JOB)
    for role in job.roles if job else ():
        first = next(iter(mappings(role.pod.get("containers"))), None)
        if first is not None and first is not role.containers[0]:
            own = role.containers[0].get("name")
            yield Problem(
                f"mpi-operator prepares the first container of {role.name} only, not `{own}`: {first.get('name')}",
                f"in the patch that adds `{first.get('name')}`, list `- name: {own}` above it",
                subject.at_pod(role, "containers"),
            )
