"""The runs of one container: where `restartPolicy` says so, a kubelet starts it again in its pod, and each run has a log of its own.

The API serves the log of the newest run, and that of the one before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mlops_launch.clients.cluster import Cluster
from mlops_launch.commands.cluster.follow.container import ENDED, GONE, REPLACED, RUNNING, UNKNOWN
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.log.pieces import Mark
from mlops_launch.errors import LauncherError


@dataclass(frozen=True)
class Instance:
    """One run of the container that trains.

    Args:
        pod: its pod, as it was seen.
        number: of the runs before it in that pod.
    """

    pod: Object
    number: int

    @property
    def id(self) -> str:
        """The pod's uid, with the number unless it is the first run."""
        return facts.uid_of(self.pod) + (f"/{self.number}" if self.number else "")

    @property
    def started(self) -> str:
        """When it started; of one that has left no trace in the pod's status, when the pod was created."""
        return facts.start_of(self.pod, self.number) or facts.created_at(self.pod)

    def state(self, pod: Object | None) -> str:
        """Return its state as its pod has it; None is a pod that is gone."""
        if pod is None or facts.uid_of(pod) != facts.uid_of(self.pod):
            return GONE
        later = facts.starts(pod) - 1 - self.number
        if later > 0:
            return REPLACED if later == 1 else GONE
        # One that waits to be started again has ended.
        return ENDED if facts.has_ended(pod) or later == 0 and facts.has_stopped(pod) else RUNNING

    def look(self, cluster: Cluster, seen: Callable[[], Object | None]) -> str:
        """Return its state now.

        Args:
            cluster: where; asked for a pod whose container may be started again: what a watch has shown may be of another run.
            seen: returns the pod as a watch has shown it.
        """
        if not facts.starts_again(self.pod):
            return self.state(seen())
        path, name = cluster.path(*facts.POD, None, self.pod["metadata"]["namespace"]), facts.name_of(self.pod)
        try:
            # Listed: whoever may watch pods may do that. A refusal is one of a server that has just started.
            found = cluster.patient(0).get(path, fieldSelector=f"metadata.name={name}")["items"]
        except LauncherError:
            return UNKNOWN
        return self.state(found[0] if found else None)


@dataclass(frozen=True)
class Place:
    """Where the log has come to: what another follower needs to resume from here, but for the archive's part.

    Args:
        read: ids of runs of containers whose log has been read to its end: uids of pods, with a number where a pod had several.
        pod: the same of the one whose log is being read.
        mark: the place in its log.
    """

    read: tuple[str, ...]
    pod: str
    mark: Mark


def instances(pods: Iterable[Object]) -> list[Instance]:
    """Return the runs of the containers of pods, oldest first."""
    return [Instance(pod, number) for pod in pods for number in range(facts.starts(pod))]
