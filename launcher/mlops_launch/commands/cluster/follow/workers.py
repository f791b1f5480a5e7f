"""The logs of a training's other pods: kept while they run, because the operator removes them when the training ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from mlops_launch.clients.cluster import Cluster
from mlops_launch.commands.cluster.follow.container import ENDED, GONE, Container
from mlops_launch.commands.cluster.follow.follower import Follower
from mlops_launch.commands.runs.archive import ArchivedRun
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube import outcome as ends
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.log.lines import LineReader
from mlops_launch.core.log.pieces import Gap, gap_text
from mlops_launch.errors import as_launcher_error

MOST: Final = 64  # pods followed at a time: each takes a connection; their logs are short, and rank output goes to the launcher


class WorkerLogs:
    """Writes each worker's log to the archive and looks for lines on memory.

    Args:
        cluster: where.
        namespace: the workers'.
        run: gets the logs.
        again: others have written them before: pods that are there are read once more, from their beginning.
    """

    def __init__(self, cluster: Cluster, namespace: str, run: ArchivedRun, again: bool = False) -> None:
        self.memory_lines: list[dict[str, str]] = []  # of the newest try
        self.failures: dict[str, str] = {}  # pod → why its log in the archive is not whole
        self._cluster, self._namespace, self._run, self._again = cluster, namespace, run, again
        self._threads: dict[str, threading.Thread] = {}
        self._seen: set[str] = set()  # names
        self._stop = cluster.host.event()

    def follow(self, pods: Sequence[Object], look: Callable[[str], str]) -> None:
        """Begin with workers that have started since the last call.

        Args:
            pods: the run's pods beside the main ones.
            look: returns the state of the pod with a uid.
        """
        for pod in pods:
            uid = facts.uid_of(pod)
            if uid in self._threads or facts.started_at(pod) is None:
                continue
            if sum(thread.is_alive() for thread in self._threads.values()) >= MOST:
                return
            container = Container(facts.name_of(pod), facts.container(pod), self._namespace)
            if self._again and container.pod not in self._seen:
                self._run.remove_pod_log(container.pod)
            self._seen.add(container.pod)
            write = partial(self._write, container, container.pod, partial(look, uid))
            self._threads[uid] = self._cluster.host.start_thread(f"log {container.pod}", write)

    def begin_try(self) -> None:
        """A main container has begun; where others were before it, the workers are the same ones."""
        self.memory_lines = []

    def end(self, seconds: float, pods: Sequence[Object] = (), look: Callable[[str], str] = lambda uid: GONE) -> None:
        """Wait that long for the logs' ends, then stop.

        Args:
            seconds: for all of them together.
            pods: of a run that has not started: what their containers have said so far is kept too, since they are about to be deleted.
            look: as above.
        """
        there = sorted((pod for pod in pods if look(facts.uid_of(pod)) != GONE), key=lambda pod: facts.phase(pod) != facts.FAILED)
        # Of a worker that is followed, its thread has the log.
        found = [
            (pod, name)
            for pod in there
            for name in facts.with_log(pod)
            if name != facts.container(pod) or facts.uid_of(pod) not in self._threads
        ]
        for pod, name in found[:MOST]:
            container = Container(facts.name_of(pod), name, self._namespace)
            log = log_name(container.pod, name, facts.container(pod))
            write = partial(self._write, container, log, partial(_as_it_is, look, facts.uid_of(pod)))
            self._threads[f"{facts.uid_of(pod)} {name}"] = self._cluster.host.start_thread(f"log {log}", write)
        until = self._cluster.host.monotonic() + seconds
        for thread in self._threads.values():
            thread.join(max(0.0, until - self._cluster.host.monotonic()))
        self._stop.set()

    def _write(self, container: Container, log: str, look: Callable[[], str]) -> None:
        reader = LineReader()
        follower = Follower(self._cluster, container, look, self._stop, watch_rotation=False)
        try:
            with self._run.open_pod_log(log) as file:
                for piece in follower.pieces():
                    match piece:
                        case bytes():
                            file.write(piece)
                            self.memory_lines += [dict(found) for line in reader.feed(piece).parts if (found := ends.memory_line(line))]
                        case Gap():
                            file.write(f"Warning: {gap_text(piece)}\n".encode())
        except Exception as error:  # not allowed, the disk is full, a defect of ours: the run is worth more
            reason = error.strerror if isinstance(error, OSError) else as_launcher_error(error).message
            self.failures[log] = str(reason)


def log_name(pod: str, container: str, main: str) -> str:
    """Return the name in the archive of a container's log; the one of the container that trains has its pod's."""
    return pod if container == main else f"{pod}.{container}"


def _as_it_is(look: Callable[[str], str], uid: str) -> str:
    """Return a state by which what there is of a log is read, and nothing waited for."""
    return GONE if look(uid) == GONE else ENDED
