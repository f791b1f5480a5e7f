"""Rules over the launcher's mpirun: most of these mistakes are silent."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from mlops_launch.core.rules.base import Problem, Subject
from mlops_launch.core.rules.example import in_launcher
from mlops_launch.core.rules.mpirun import MPI_JOB, mca_settings, mpirun_options, open_mpi_options
from mlops_launch.core.rules.rule import ERROR, WARNING, rule

_HOST_OPTIONS = frozenset({"--hostfile", "-hostfile", "--machinefile", "-machinefile", "--default-hostfile", "--host", "-host", "-H"})
_COUNT_OPTIONS = frozenset({"-np", "--np", "-n", "--n", "-c"})
# Names of Open MPI 4 that mpi-operator sets or that recipes use → what Open MPI 5 reads.
_RENAMED = {
    "OMPI_MCA_orte_default_hostfile": "PRTE_MCA_prte_default_hostfile",
    "OMPI_MCA_plm_rsh_args": "PRTE_MCA_plm_ssh_args",
    "OMPI_MCA_plm_rsh_agent": "PRTE_MCA_plm_ssh_agent",
    "OMPI_MCA_plm_rsh_no_tree_spawn": "PRTE_MCA_plm_ssh_no_tree_spawn",
    "OMPI_MCA_rmaps_base_mapping_policy": "PRTE_MCA_rmaps_default_mapping_policy",
    "OMPI_MCA_hwloc_base_binding_policy": "PRTE_MCA_hwloc_default_binding_policy",
}


@rule(
    "mpirun-missing",
    ERROR,
    "The Launcher's command starts no mpirun",
    why="The job would train in one process while the workers idle.",
    wrong=in_launcher("""
        containers:
        - name: launcher
          args:
          - bash
          - $(MODEL_DIR)/quickstart/$(MODEL_SCRIPT)
        """),
    right=in_launcher("""
        containers:
        - name: launcher
          args: [
            mpirun, -x, DATASET_DIR, -x, MODEL_DIR, -x, OUTPUT_DIR, -x, MODEL_NAME, -x, MLOPS_*, -x, HOROVOD_*,
            -x, TF_*, bash, $(MODEL_DIR)/quickstart/$(MODEL_SCRIPT)
          ]
        """),
)
def _no_mpirun(subject: Subject) -> Iterator[Problem]:
    job = subject.whole_of_kind(MPI_JOB)
    # A program of the user's own may call mpirun itself.
    is_ours = job is not None and any("common/entrypoint" in word for word in job.main.command)
    if job is not None and is_ours and mpirun_options(job.main) is None:
        yield Problem(
            f"the Launcher's command starts no mpirun: {shlex.join(job.main.command)}",
            "restore the command of the base; a patch that gives `command` or `args` replaces the whole list",
            subject.at_pod(job.main, "containers"),
        )


@rule(
    "mpi-hostfile",
    ERROR,
    "mpirun gets no hostfile",
    why=(
        "Open MPI 5 ignores the names that mpi-operator sets. Every rank starts in the launcher pod, "
        "the workers idle, and the job still succeeds."
    ),
    wrong=in_launcher("""
        containers:
        - name: launcher
          env:
          - name: PRTE_MCA_prte_default_hostfile
            value: ""
        """),
    right=in_launcher("""
        containers:
        - name: launcher
          env:
          - name: PRTE_MCA_prte_default_hostfile
            value: /etc/mpi/hostfile
        """),
)
def _hostfile(subject: Subject) -> Iterator[Problem]:
    job = subject.whole_of_kind(MPI_JOB)
    options = open_mpi_options(job) if job else None
    if job is None or options is None:
        return
    by_option = any(word.partition("=")[0] in _HOST_OPTIONS for word in options)
    if not by_option and not mca_settings(subject, job).get("PRTE_MCA_prte_default_hostfile"):
        yield Problem(
            "mpirun gets no hostfile, so every rank would start in the launcher pod",
            "set PRTE_MCA_prte_default_hostfile=/etc/mpi/hostfile on the launcher container, as the base does",
            subject.at_pod(job.main, "containers"),
        )


@rule(
    "mpi-old-name",
    ERROR,
    "Only the Open MPI 4 name of a setting is given",
    why="Open MPI 5 silently ignores it.",
    wrong=in_launcher("""
        containers:
        - name: launcher
          env:
          - name: OMPI_MCA_plm_rsh_no_tree_spawn
            value: "1"
        """),
    right=in_launcher("""
        containers:
        - name: launcher
          env:
          - name: PRTE_MCA_plm_ssh_no_tree_spawn
            value: "1"
        """),
)
def _old_names(subject: Subject) -> Iterator[Problem]:
    job = subject.whole_of_kind(MPI_JOB)
    if job is None or open_mpi_options(job) is None:
        return
    settings = mca_settings(subject, job)
    for old, new in _RENAMED.items():
        if old in settings and new not in settings:
            yield Problem(
                f"Open MPI 5 does not read this name: {old}",
                f"set `{new}` instead",
                subject.at_pod(job.main, "containers"),
            )


@rule(
    "mpi-count",
    ERROR,
    "The command says how many ranks mpirun starts",
    why="It would be a second truth beside workers × slotsPerWorker.",
    wrong=in_launcher("""
        containers:
        - name: launcher
          args: [
            mpirun, -np, "2", -x, DATASET_DIR, -x, MODEL_DIR, -x, OUTPUT_DIR, -x, MODEL_NAME, -x, MLOPS_*,
            -x, HOROVOD_*, -x, TF_*, bash, $(MODEL_DIR)/quickstart/$(MODEL_SCRIPT)
          ]
        """),
    right=in_launcher("""
        containers:
        - name: launcher
          args: [
            mpirun, -x, DATASET_DIR, -x, MODEL_DIR, -x, OUTPUT_DIR, -x, MODEL_NAME, -x, MLOPS_*, -x, HOROVOD_*,
            -x, TF_*, bash, $(MODEL_DIR)/quickstart/$(MODEL_SCRIPT)
          ]
        """),
)
def _count(subject: Subject) -> Iterator[Problem]:
    job = subject.whole_of_kind(MPI_JOB)
    for word in (open_mpi_options(job) or []) if job else []:
        if job is not None and word.partition("=")[0] in _COUNT_OPTIONS:
            yield Problem(
                f"mpirun is given a number of ranks: {word}",
                "leave it out: without it mpirun starts one rank per slot, so workers × slotsPerWorker is the only number",
                subject.at_pod(job.main, "containers"),
            )


@rule(
    "mpi-binding",
    WARNING,
    "mpirun binds ranks to cores",
    why="By default two ranks or fewer get a single core each, and training is slow.",
    wrong=in_launcher("""
        containers:
        - name: launcher
          env:
          - name: PRTE_MCA_hwloc_default_binding_policy
            value: core
        """),
    right=in_launcher("""
        containers:
        - name: launcher
          env:
          - name: PRTE_MCA_hwloc_default_binding_policy
            value: none
        """),
)
def _binding(subject: Subject) -> Iterator[Problem]:
    job = subject.whole_of_kind(MPI_JOB)
    options = open_mpi_options(job) if job else None
    if job is None or options is None:
        return
    by_option = next((options[number + 1] for number, word in enumerate(options[:-1]) if word in ("--bind-to", "-bind-to")), None)
    policy = by_option or mca_settings(subject, job).get("PRTE_MCA_hwloc_default_binding_policy") or "the default, one core per rank"
    if policy != "none":
        yield Problem(
            f"mpirun binds the ranks to cores: {policy}",
            "set PRTE_MCA_hwloc_default_binding_policy=none on the launcher container, as the base does",
            subject.at_pod(job.main, "containers"),
        )


@rule(
    "mpi-root",
    ERROR,
    "mpirun is allowed to run as root",
    why="A pod never needs it; it hides that `runAsUser` is missing.",
    wrong=in_launcher("""
        containers:
        - name: launcher
          env:
          - name: OMPI_ALLOW_RUN_AS_ROOT
            value: "1"
        """),
    right=in_launcher("""
        securityContext:
          runAsUser: 1000
        """),
)
def _as_root(subject: Subject) -> Iterator[Problem]:
    job = subject.whole_of_kind(MPI_JOB)
    if job is None:
        return
    named = [word for word in mpirun_options(job.main) or [] if word.lstrip("-") == "allow-run-as-root"]
    named += [key for key in subject.variables(job.main) if key.startswith("OMPI_ALLOW_RUN_AS_ROOT")]
    for word in named:
        yield Problem(
            f"mpirun is allowed to run as root: {word}",
            "remove it: the pods run as `runAsUser`",
            subject.at_pod(job.main, "containers"),
        )
