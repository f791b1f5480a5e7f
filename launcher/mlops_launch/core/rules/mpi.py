"""Rules over the launcher's mpirun: most of these mistakes are silent."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath

from mlops_launch.core.rules.base import Problem, Rule, Subject
from mlops_launch.core.workload.model import Role, Workload

_STARTERS = frozenset({"mpirun", "mpiexec", "prterun", "horovodrun"})
_PROGRAM = re.compile(r"(.*/)?(bash|sh|env|python[0-9.]*)")
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


def command_words(role: Role) -> list[str]:
    """Return the words of the role's command; a shell line (`bash -c "mpirun …"`) is split too."""
    words: list[str] = []
    for word in role.command:
        try:
            words += shlex.split(word) if any(starter in word.split() for starter in _STARTERS) else [word]
        except ValueError:
            words += word.split()
    return words


def mpirun_options(role: Role) -> list[str] | None:
    """Return the words between mpirun and the program that it starts, or None when there is no mpirun."""
    words = command_words(role)
    start = next((number for number, word in enumerate(words) if PurePosixPath(word).name in _STARTERS), None)
    if start is None:
        return None
    end = next((number for number, word in enumerate(words) if number > start and _PROGRAM.fullmatch(word)), len(words))
    return words[start + 1 : end]


def mca_settings(subject: Subject, job: Workload) -> dict[str, str]:
    """Return MCA settings by the name of their variable, from the environment and from the command line over it."""
    found = {key: value for key, value in subject.variables(job.main).items() if "_MCA_" in key}
    options = mpirun_options(job.main) or []
    prefixes = {"--mca": "OMPI_MCA_", "-mca": "OMPI_MCA_", "--prtemca": "PRTE_MCA_", "--omca": "OMPI_MCA_"}
    for number, word in enumerate(options):
        if word in prefixes and number + 2 < len(options) + 1:
            name, value = [*options[number + 1 : number + 3], ""][:2]
            found[prefixes[word] + name] = value
    return found


def _no_mpirun(subject: Subject) -> Iterator[Problem]:
    job = subject.mpi_job
    if job is not None and mpirun_options(job.main) is None:
        yield Problem(
            f"the Launcher's command starts no mpirun: {shlex.join(job.main.command)}",
            "restore the command of the base; a patch that gives `command` or `args` replaces the whole list",
            subject.at_pod(job.main, "containers"),
        )


def _hostfile(subject: Subject) -> Iterator[Problem]:
    job = subject.mpi_job
    options = mpirun_options(job.main) if job else None
    if job is None or options is None:
        return
    by_option = any(word.partition("=")[0] in _HOST_OPTIONS for word in options)
    if not by_option and not mca_settings(subject, job).get("PRTE_MCA_prte_default_hostfile"):
        yield Problem(
            "mpirun gets no hostfile, so every rank would start in the launcher pod",
            "set PRTE_MCA_prte_default_hostfile=/etc/mpi/hostfile on the launcher container, as the base does",
            subject.at_pod(job.main, "containers"),
        )


def _old_names(subject: Subject) -> Iterator[Problem]:
    job = subject.mpi_job
    if job is None:
        return
    settings = mca_settings(subject, job)
    for old, new in _RENAMED.items():
        if old in settings and new not in settings:
            yield Problem(
                f"Open MPI 5 does not read this name: {old}",
                f"set `{new}` instead",
                subject.at_pod(job.main, "containers"),
            )


def _count(subject: Subject) -> Iterator[Problem]:
    job = subject.mpi_job
    for word in (mpirun_options(job.main) or []) if job else []:
        if job is not None and word.partition("=")[0] in _COUNT_OPTIONS:
            yield Problem(
                f"mpirun is given a number of ranks: {word}",
                "leave it out: without it mpirun starts one rank a slot, so workers × slotsPerWorker is the only number",
                subject.at_pod(job.main, "containers"),
            )


def _binding(subject: Subject) -> Iterator[Problem]:
    job = subject.mpi_job
    options = mpirun_options(job.main) if job else None
    if job is None or options is None:
        return
    by_option = next((options[number + 1] for number, word in enumerate(options[:-1]) if word in ("--bind-to", "-bind-to")), None)
    policy = by_option or mca_settings(subject, job).get("PRTE_MCA_hwloc_default_binding_policy") or "the default, one core a rank"
    if policy != "none":
        yield Problem(
            f"mpirun binds the ranks to cores: {policy}",
            "set PRTE_MCA_hwloc_default_binding_policy=none on the launcher container, as the base does",
            subject.at_pod(job.main, "containers"),
        )


def _as_root(subject: Subject) -> Iterator[Problem]:
    job = subject.mpi_job
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


RULES = (
    Rule(
        "mpirun-missing",
        "error",
        "The Launcher's command starts no mpirun",
        "The job would train in one process while the workers idle.",
        _no_mpirun,
    ),
    Rule(
        "mpi-hostfile",
        "error",
        "mpirun gets no hostfile",
        "Open MPI 5 ignores the names that mpi-operator sets. Every rank starts in the launcher pod, "
        "the workers idle, and the job still succeeds.",
        _hostfile,
    ),
    Rule(
        "mpi-old-name",
        "error",
        "Only the Open MPI 4 name of a setting is given",
        "Open MPI 5 silently ignores it.",
        _old_names,
    ),
    Rule(
        "mpi-count",
        "error",
        "The command says how many ranks mpirun starts",
        "It would be a second truth beside workers × slotsPerWorker.",
        _count,
    ),
    Rule(
        "mpi-binding",
        "warning",
        "mpirun binds ranks to cores",
        "By default two ranks or fewer get a single core each, and training is slow.",
        _binding,
    ),
    Rule(
        "mpi-root",
        "error",
        "mpirun is allowed to run as root",
        "A pod never needs it; it hides that `runAsUser` is missing.",
        _as_root,
    ),
)
