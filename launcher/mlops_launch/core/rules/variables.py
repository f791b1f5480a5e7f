"""Rules over the way of a variable from mlops.env to the ranks."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from mlops_launch.contract import KEYS_NOT_FOR_RANKS
from mlops_launch.core.overlay.envfile import NAME
from mlops_launch.core.rules.base import Problem, Subject
from mlops_launch.core.rules.example import in_env
from mlops_launch.core.rules.keys import is_unknown
from mlops_launch.core.rules.mpirun import MPI_JOB, mpirun_options, open_mpi_options
from mlops_launch.core.rules.rule import ERROR, rule
from mlops_launch.core.workload.model import Role, mappings

# What mpirun and ssh themselves read, and what every process has of its own.
_PLUMBING = ("HOME", "PATH", "USER", "LANG", "LC_*", "TZ", "HOSTNAME", "PRTE_*", "OMPI_*", "PMIX_*")


def exports(role: Role) -> list[str]:
    """Return the names and patterns that mpirun exports with `-x`."""
    options = mpirun_options(role) or []
    return [options[number + 1].partition("=")[0] for number, word in enumerate(options[:-1]) if word == "-x"]


def _names(subject: Subject, role: Role) -> list[str]:
    """Return the names of the role's variables, those from Secrets and fields included."""
    given = [str(entry.get("name")) for entry in mappings(role.containers[0].get("env"))]
    return sorted({*subject.variables(role), *given})


@rule(
    "variable-not-exported",
    ERROR,
    "A variable of the launcher does not reach the ranks",
    why=(
        "ssh starts with an empty environment: only what mpirun exports with `-x` arrives on a worker. "
        "In a local run every rank inherits everything, which hides it."
    ),
    wrong=in_env("NCCL_DEBUG=INFO"),
    right=in_env("HOROVOD_TIMELINE=/outputs/timeline.json"),
)
def _not_exported(subject: Subject) -> Iterator[Problem]:
    job = subject.whole_of_kind(MPI_JOB)
    if job is None or open_mpi_options(job) is None:
        return
    patterns = [*exports(job.main), *_PLUMBING, *KEYS_NOT_FOR_RANKS]
    for name in _names(subject, job.main):
        in_env_file = subject.files.env(name) is not None
        if in_env_file and (is_unknown(subject, name) or not NAME.fullmatch(name)):
            continue  # env-unknown and the other rules of mlops.env say more about it
        if not any(fnmatchcase(name, pattern) for pattern in patterns):
            yield Problem(
                f"the variable does not reach the ranks: {name}",
                f"add `-x {name}` to the launcher's command; ssh starts with an empty environment",
                subject.at_variable(name) if in_env_file else subject.at_pod(job.main, "containers"),
            )
