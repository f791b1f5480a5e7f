"""One try on the cluster: wait for its start, follow its log to its end, gather what it leaves."""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from mlops_launch.clients.cluster import Cluster
from mlops_launch.clients.refusals import ApiError
from mlops_launch.commands.cluster.follow.container import ENDED, GONE, RUNNING, Container, Follower
from mlops_launch.commands.cluster.follow.startup import Startup
from mlops_launch.commands.cluster.follow.watch import Observer
from mlops_launch.commands.cluster.follow.workers import WorkerLogs
from mlops_launch.commands.cluster.jobs import related_events
from mlops_launch.commands.cluster.limits import PATIENCE_S
from mlops_launch.commands.local.process import Stop
from mlops_launch.commands.runs.archive import ArchivedRun, Position
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube import outcome as ends
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.kube.outcome import MemoryKill, Outcome
from mlops_launch.core.log.stream import Gap, LogStream, Mark
from mlops_launch.core.record import BY_DETACHING, BY_TIMEOUT
from mlops_launch.core.workload import kinds, state
from mlops_launch.core.workload.model import Workload
from mlops_launch.errors import LauncherError, as_launcher_error

TICK_S: Final = 0.2
MARK_S: Final = 30.0  # from the container's end to the operator's word on it
LINES_S: Final = 10.0  # for the workers' last lines
QUEUED: Final = 64  # chunks that may wait to be shown

Item = bytes | Gap | Mark | LauncherError | None  # None: the log has ended


@dataclass(frozen=True)
class Listener:
    """Who hears of a session.

    Args:
        take: gets the training's log.
        gap: is told where lines of it may be missing.
        mark: is told now and then what else is needed to go on from here: the pods that were read to their end, the uid
            of the one that is being read, and its mark.
        say: gets talk.
    """

    take: Callable[[bytes], None]
    gap: Callable[[Gap], None]
    mark: Callable[[tuple[str, ...], str, Mark], None]
    say: Callable[[str], None]


class Session:
    """Follows one workload with one uid.

    Args:
        cluster: where; patient.
        workload: what was rendered.
        namespace: where its objects are.
        uid: the applied object's.
        run: where its other pods' logs and its events go.
        stop: why the user, or the clock, wants it to stop.
        listener: hears of it.
        again: whether another session has followed it before.
        position: where that one has come to; None when it has not come far.
    """

    def __init__(
        self, cluster: Cluster, workload: Workload, namespace: str, uid: str, run: ArchivedRun, stop: Stop, listener: Listener,
        again: bool = False, position: Position | None = None,
    ) -> None:  # fmt: skip
        self._cluster, self._workload, self._namespace, self._run, self._stop = cluster, workload, namespace, run, stop
        self._listener, self._say, self._again, self._position = listener, listener.say, again, position
        self._observer = Observer(cluster, workload, namespace, uid)
        self._workers = WorkerLogs(cluster, namespace, run, again)
        self._items: queue.Queue[Item] = cluster.host.queue(QUEUED)
        self._following: str | None = None  # the uid of the pod whose log is being read
        # uids of pods whose log has been read to its end
        self._read: set[str] = set(position.read if position else ())
        self._ended_at: float | None = None
        self._asked_to_stop = False

    @property
    def memory_kill(self) -> MemoryKill | None:
        """Who was killed for memory, or None."""
        return ends.memory_kill(self._observer.pods, self._workers.memory_lines)

    @property
    def main_pods(self) -> list[Object]:
        """The pods whose log is the training's and that have started, oldest first."""
        mains = kinds.main_pods(self._workload.manifest, self._observer.pods)
        return [pod for pod in mains if facts.started_at(pod) is not None]

    @property
    def workload(self) -> Object | None:
        """The workload as it is now; None when it is gone."""
        return self._observer.workload

    def wait_for_start(self, limit: float) -> None:
        """Return when the training's container runs, when it has ended, or when the user wants to leave.

        Raises:
            NotStarted: it cannot start, or not within `limit` seconds.
            LauncherError: the cluster does not answer.
        """
        self._observer.start()
        startup = Startup(self._cluster, self._workload, self._namespace, self._observer, self._say)
        while not self._leaves() and not startup.look(limit):
            self._pause()

    def follow(self) -> Outcome | None:
        """Follow the log until the training has ended; None when the user has left before.

        Raises:
            LauncherError: the cluster has not answered for a long time.
        """
        while not self._leaves():
            self._workers.follow(kinds.other_pods(self._workload.manifest, self._observer.pods), self._look)
            self._follow_newest()
            self._show()
            found = self._outcome()
            if found is not None and self._following is None and self._all_read():
                return found
        return None

    def gather(self) -> None:
        """Wait for the workers' last lines; write the events."""
        self._workers.end(LINES_S)
        workload, pods = self._observer.workload, self._observer.pods
        owner = workload or self._workload.manifest
        if workload is None:
            owner = {**owner, "metadata": {**owner["metadata"], "uid": self._observer.uid}}
        try:
            self._run.write_events(related_events(self._cluster, self._namespace, owner, pods))
        except LauncherError as error:
            self._say(f"Warning: the events are not in the archive: {error.message}")
        self._observer.stop()

    def leave(self) -> None:
        """Stop following."""
        self._observer.stop()
        self._workers.end(0)

    def stop_training(self) -> None:
        """Have the training save and stop: delete the pod that trains, with its grace period, or a workload that has not started."""
        mains = [pod for pod in kinds.main_pods(self._workload.manifest, self._observer.pods) if not facts.has_ended(pod)]
        manifest, kind = self._workload.manifest, kinds.lookup(self._workload.kind)
        try:
            if mains and kind.ends_with_its_pod(manifest):
                self._cluster.delete(self._cluster.path(*facts.POD, facts.name_of(mains[-1]), self._namespace), facts.uid_of(mains[-1]))
            else:
                path = self._cluster.path(kind.api_version, kind.name, self._workload.name, self._namespace)
                self._cluster.delete(path, self._observer.uid, "Foreground")
        except LauncherError as error:
            self._say(f"Warning: cannot stop the training: {error.message}")

    def _leaves(self) -> bool:
        """Look at the user's wishes and the clock; return whether to stop following."""
        if self._stop.reason == BY_DETACHING:
            return True
        if self._cluster.host.monotonic() > self._stop.deadline and not self._asked_to_stop:
            self._asked_to_stop = True
            self._stop.reason = BY_TIMEOUT
            self._say("the time limit is reached: saving and stopping")
            self.stop_training()
        failure = self._observer.failure(PATIENCE_S)
        if failure is not None:
            raise failure
        return False

    def _pause(self) -> None:
        with self._observer.changed:
            self._observer.changed.wait(TICK_S)

    def _follow_newest(self) -> None:
        """Begin with the log of the oldest pod that trains and was not read yet."""
        if self._following is not None:
            return
        pods, position = self.main_pods, self._position
        self._position = None
        if position is not None and position.pod not in map(facts.uid_of, pods):
            self._listener.gap(Gap(LogStream(position.mark).last, None))
        for pod in pods:
            uid = facts.uid_of(pod)
            if uid not in self._read:
                self._following = uid
                mark = position.mark if position is not None and position.pod == uid else None
                # One that has been followed from its start has its beginning.
                started = facts.started_at(pod) if self._again and mark is None else None
                container = Container(facts.name_of(pod), facts.container(pod), self._namespace, started)
                self._cluster.host.start_thread("log", partial(self._read_log, container, uid, mark))
                return

    def _read_log(self, container: Container, uid: str, mark: Mark | None) -> None:
        put = self._items.put
        end: Item = None
        try:
            Follower(self._cluster, container, lambda: self._look(uid), put, begin=mark, mark=put).run()
        except ApiError as error:
            put(error)
        except BaseException as error:  # the run must not wait for a reader that is dead
            end = as_launcher_error(error)
        finally:
            put(end)

    def _show(self) -> None:
        """Hand on what has come, for a moment."""
        try:
            item = self._items.get(timeout=TICK_S)
            while True:
                if item is None:
                    assert self._following is not None
                    self._read.add(self._following)
                    self._following = None
                    return
                if isinstance(item, bytes):
                    self._listener.take(item)
                elif isinstance(item, Gap):
                    self._listener.gap(item)
                elif isinstance(item, Mark):
                    assert self._following is not None
                    self._listener.mark(tuple(self._read), self._following, item)
                elif isinstance(item, ApiError):
                    self._say(f"Warning: the log cannot be read: {item.message}")
                else:
                    raise item
                item = self._items.get_nowait()
        except queue.Empty:
            pass

    def _look(self, uid: str) -> str:
        pod = self._observer.pod(uid)
        if pod is None:
            return GONE
        return ENDED if facts.has_ended(pod) else RUNNING

    def _all_read(self) -> bool:
        """Return whether nothing is left to be read: of a pod that has started, and of the queue."""
        return self._items.empty() and all(facts.uid_of(pod) in self._read for pod in self.main_pods)

    def _outcome(self) -> Outcome | None:
        pods: list[Object] = self._observer.pods
        workload = self._observer.workload
        found = state.outcome(self._workload.manifest, workload, pods)
        if found is not None:
            return found
        mains = kinds.main_pods(self._workload.manifest, pods)
        if not mains or not facts.has_ended(mains[-1]):
            self._ended_at = None
            return None
        self._ended_at = self._ended_at or self._cluster.host.monotonic()
        end = facts.container_end(mains[-1])
        # The operator may be away. What the container said is the training's end all the same.
        return Outcome(end.code) if end is not None and self._cluster.host.monotonic() - self._ended_at > MARK_S else None
