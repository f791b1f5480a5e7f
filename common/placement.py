"""Are there as many ranks, on as many hosts, as the job asked for?

mpirun that does not find its hostfile starts every rank on one host and succeeds; nothing else notices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from common.errors import TrainingError
from mlops_launch.contract import SLOTS_PER_WORKER, WORKERS, ExitCode


def require_placement(hosts: Sequence[str], environment: Mapping[str, str]) -> None:
    """Raise unless the ranks on `hosts` (one entry a rank) are what the environment asks for.

    Without `MLOPS_WORKERS` in the environment nothing was asked for, and nothing is checked.

    Raises:
        TrainingError: another number of ranks, hosts, or ranks on a host (exit code 78).
    """
    if WORKERS not in environment:
        return
    workers = _number(environment, WORKERS)
    slots = _number(environment, SLOTS_PER_WORKER)
    ranks_by_host = Counter(hosts)
    if len(hosts) != workers * slots:
        raise TrainingError(
            f"asked for {workers} workers x {slots} slots = {workers * slots} ranks, started: {len(hosts)}",
            "mpirun takes one rank a slot of the hostfile: remove `-np`, and see `slotsPerWorker`",
            ExitCode.CONFIGURATION,
        )
    if len(ranks_by_host) != workers or set(ranks_by_host.values()) != {slots}:
        found = ", ".join(f"{count} on {host}" for host, count in sorted(ranks_by_host.items()))
        raise TrainingError(
            f"asked for {slots} ranks on each of {workers} hosts, found: {found}",
            "Open MPI 5 reads the hostfile from PRTE_MCA_prte_default_hostfile; is it in the launcher's environment?",
            ExitCode.CONFIGURATION,
        )


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    if not text.isdecimal() or int(text) < 1:
        raise TrainingError(
            f"{name} is not a positive number: {text or 'empty'}",
            "the overlay's replacements.yaml writes it from the patch file",
            ExitCode.CONFIGURATION,
        )
    return int(text)
