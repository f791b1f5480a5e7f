"""How the launcher's command calls mpirun."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath
from typing import Final

from mlops_launch.core.rules.base import Subject
from mlops_launch.core.workload.model import Role, Workload, mapping
from mlops_launch.core.workload.mpijob import MPIJob

MPI_JOB: Final = MPIJob()

_STARTERS = frozenset({"mpirun", "mpiexec", "prterun", "horovodrun"})
_PROGRAM = re.compile(r"(.*/)?(bash|sh|env|python[0-9.]*)")


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


def open_mpi_options(job: Workload) -> list[str] | None:
    """Return the same where Open MPI's own program starts the ranks; None for horovodrun and for other implementations.

    horovodrun exports every variable (horovod/runner/mpi_run.py), takes its number of ranks from `-np`, and places and binds itself.
    """
    words = command_words(job.main)
    is_other = mapping(job.manifest.get("spec")).get("mpiImplementation") not in (None, "OpenMPI")
    return None if is_other or any(PurePosixPath(word).name == "horovodrun" for word in words) else mpirun_options(job.main)


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
