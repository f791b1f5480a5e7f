"""What the processor of this container offers: cores within the cgroup's quota, and bfloat16."""

from __future__ import annotations

import math
import os
from pathlib import Path

from common.errors import TrainingError
from mlops_launch.contract import ExitCode

# Without one of these the processor emulates bfloat16, several times slower than float32.
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


def quota_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return the CPU limit of this container in cores, or None without one.

    Reads `cpu.max` of cgroup v2, else `cpu.cfs_quota_us` of v1
    (https://docs.kernel.org/admin-guide/cgroup-v2.html, section CPU).
    """
    version_2 = cgroup / "cpu.max"
    if version_2.is_file():
        quota, period = version_2.read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    folder = cgroup / "cpu"
    if (folder / "cpu.cfs_quota_us").is_file():
        microseconds = int((folder / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        return None if microseconds <= 0 else microseconds / int((folder / "cpu.cfs_period_us").read_text(encoding="ascii"))
    return None


def threads_per_rank(ranks_here: int, quota: float | None, affinity: int) -> int:
    """Return how many threads one of `ranks_here` ranks may use, at least 1.

    TensorFlow looks at the affinity only; a CPU limit of Kubernetes is a quota, which affinity does not show.

    >>> threads_per_rank(2, quota=4.0, affinity=64)
    2
    """
    cores = affinity if quota is None else min(affinity, math.ceil(quota))
    return max(1, cores // ranks_here)


def affinity_cores() -> int:
    """Return the number of cores this process may run on."""
    return len(os.sched_getaffinity(0))


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Return the first processor's feature flags; empty where the kernel lists none."""
    for line in cpuinfo.read_text(encoding="utf-8").splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def require_bfloat16(flags: frozenset[str], force: bool) -> None:
    """Raise unless the processor computes in bfloat16, or `force` is set.

    Raises:
        TrainingError: it does not (exit code 78).
    """
    if not force and not flags & BFLOAT16_FLAGS:
        raise TrainingError(
            f"this CPU has no bfloat16 instructions, it lacks: {', '.join(sorted(BFLOAT16_FLAGS))}",
            "use --precision fp32; --force-precision runs bf16 all the same, slower than fp32",
            ExitCode.CONFIGURATION,
        )
