"""The clients together, as the command line passes them to a command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mlops_launch.clients.cluster import Cluster
from mlops_launch.clients.host import Host
from mlops_launch.clients.process import Processes


@dataclass(frozen=True)
class Clients:
    """What a command may talk to.

    Args:
        processes: runs kubectl and mpirun.
        host: this machine and its clock.
        connect: returns the cluster of a context (None is the current one), with a namespace (None is the context's).
    """

    processes: Processes = field(default_factory=Processes)
    host: Host = field(default_factory=Host)
    connect: Callable[[str | None, str | None], Cluster] = Cluster.connect
