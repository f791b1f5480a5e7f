"""Follow a training on the cluster: wait for its start, read its log to its end, gather what it leaves."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from functools import partial
from typing import Final

from mlops_launch.clients.cluster import Cluster
from mlops_launch.clients.refusals import ApiError
from mlops_launch.commands.cluster.follow.container import ENDED, GONE, RUNNING, Container
from mlops_launch.commands.cluster.follow.ending import Ending
from mlops_launch.commands.cluster.follow.follower import Follower
from mlops_launch.commands.cluster.follow.instances import Instance, Place, instances
from mlops_launch.commands.cluster.follow.startup import Startup
from mlops_launch.commands.cluster.follow.stopping import ask_to_stop
from mlops_launch.commands.cluster.follow.watch import Observer
from mlops_launch.commands.cluster.follow.workers import WorkerLogs
from mlops_launch.commands.cluster.jobs import related_events
from mlops_launch.commands.cluster.limits import PATIENCE_S
from mlops_launch.commands.runs.archive import ArchivedRun
from mlops_launch.commands.runs.console import Console
from mlops_launch.commands.runs.loop import TIME_IS_UP, Stop
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube import outcome as ends
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.kube.outcome import MemoryKill, Outcome
from mlops_launch.core.log.pieces import Gap, Mark, Piece
from mlops_launch.core.log.stream import LogStream
from mlops_launch.core.record import BY_DETACHING
from mlops_launch.core.workload import state
from mlops_launch.core.workload.model import Workload
from mlops_launch.errors import LauncherError, as_launcher_error

TICK_S: Final = 0.2
LINES_S: Final = 10.0  # for the workers' last lines
QUEUED: Final = 64  # chunks that may wait to be shown

Item = Piece | Mark | LauncherError | None  # None: the log has ended


class TrainingFollower:
    """Follows one workload with one uid.

    Args:
        cluster: where; patient.
        workload: what was rendered.
        run: its record names the namespace and the uid; its other pods' logs and its events go there.
        stop: why the user, or the clock, wants it to stop.
        console: gets talk.
        again: another one has followed it before; it resumes from where that has come to.
    """

    def __init__(self, cluster: Cluster, workload: Workload, run: ArchivedRun, stop: Stop, console: Console, again: bool = False) -> None:
        self.outcome: Outcome | None = None  # how it ended; None when the user has left before
        self.unreadable = False  # this user may not read a log
        self._cluster, self._workload, self._run, self._stop, self._console = cluster, workload, run, stop, console
        record = run.read()
        self._namespace = str(record.namespace)
        self._again, self._position = again, run.read_position() if again else None
        self._observer = Observer(cluster, workload, self._namespace, str(record.uid))
        self._workers = WorkerLogs(cluster, self._namespace, run, again)
        self._items: queue.Queue[Item] = cluster.host.queue(QUEUED)
        self._following: str | None = None  # the id of the run whose log is being read
        self._read: set[str] = set(self._position.read if self._position else ())  # ids of those read to their end
        self._ending = Ending(workload, self._observer, cluster.host)
        self._torn = False  # the last line has no end

    @property
    def memory_kill(self) -> MemoryKill | None:
        """Who was killed for memory in the newest try, or None."""
        return ends.memory_kill(self._observer.pods, self.main_pods, self._workers.memory_lines)

    @property
    def main_pods(self) -> list[Object]:
        """The pods whose log is the training's and that have started, oldest first."""
        return [pod for pod in self._observer.main_pods if facts.starts(pod)]

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
        if self._again and self.workload is not None and state.finished(self.workload):
            return  # how it ended says all
        startup = Startup(self._cluster, self._workload, self._namespace, self._observer, self._console)
        while not self._leaves() and not startup.look(limit):
            self._pause()

    def pieces(self) -> Iterator[Piece | Place]:
        """Yield the log as it comes, gaps in it, and now and then a place, until the training has ended or the user leaves.

        Raises:
            LauncherError: the cluster has not answered for a long time, or the reader of the log has died.
        """
        while not self._leaves():
            self._workers.follow(self._observer.other_pods, self._look)
            yield from self._follow_newest()
            yield from self._come()
            found = self._ending.look()
            if found is not None and self._following is None and self._all_read() and self._ending.is_sure(self._console):
                if not self._read and found.reason != ends.DELETED:
                    yield Gap(None, None)  # its pod went before anybody saw it run
                self.outcome = found
                return

    def gather(self) -> None:
        """Wait for the workers' last lines, or keep what pods have said that never trained; write the events, which may explain the end."""
        self._workers.end(LINES_S, () if self.main_pods else self._observer.pods, self._look)
        for pod, reason in self._workers.failures.items():
            self._console.warn(f"the log of pod {pod} is not whole in the archive: {reason}")
        workload, pods = self._observer.workload, self._observer.pods
        owner = workload or self._workload.manifest
        if workload is None:
            owner = {**owner, "metadata": {**owner["metadata"], "uid": self._observer.uid}}
        try:
            events = related_events(self._cluster, self._namespace, owner, pods)
            self._run.write_events(events)
            self.outcome = self.outcome and ends.explained(self.outcome, events)
        except LauncherError as error:
            self._console.warn(f"the events are not in the archive: {error.message}")
        self._observer.stop()

    def leave(self) -> None:
        """Stop following."""
        self._observer.stop()
        self._workers.end(0)

    def _leaves(self) -> bool:
        """Look at the user's wishes and the clock; return whether to stop following."""
        if self._stop.reason == BY_DETACHING:
            return True
        if self._stop.is_due(self._cluster.host.monotonic()):
            self._console.info(TIME_IS_UP)
            try:
                ask_to_stop(self._cluster, self._workload, self._namespace, self._observer.uid, self._observer.pods)
            except LauncherError as error:
                self._console.warn(f"cannot stop the training: {error.message}")
        failure = self._observer.failure(PATIENCE_S)
        if failure is not None:
            raise failure
        return False

    def _pause(self) -> None:
        with self._observer.changed:
            self._observer.changed.wait(TICK_S)

    def _follow_newest(self) -> Iterator[Piece]:
        """Begin with the log of the oldest run that was not read yet."""
        if self._following is not None:
            return
        runs, position = instances(self.main_pods), self._position
        self._position = None
        if position is not None and position.pod not in [run.id for run in runs]:
            yield Gap(LogStream(position.mark).last, None)
        for run in runs:
            if run.id not in self._read:
                self._following = run.id
                self._workers.begin_try()
                mark = position.mark if position is not None and position.pod == run.id else None
                if self._torn:
                    self._torn = False  # also when nothing comes of the next log
                    yield b"\n"
                self._cluster.host.start_thread("log", partial(self._read_log, self._follower(run, mark)))
                return

    def _follower(self, run: Instance, mark: Mark | None) -> Follower:
        pod, started = run.pod, run.started if mark is None else None
        again = facts.starts_again(pod)
        container = Container(facts.name_of(pod), facts.container(pod), self._namespace, started, watched=not self._again, restarts=again)
        look = partial(run.look, self._cluster, partial(self._observer.pod, facts.uid_of(pod)))
        return Follower(self._cluster, container, look, begin=mark)

    def _read_log(self, follower: Follower) -> None:
        """Put the pieces of a log into the queue, in a thread: whoever waits for them watches the clock and the signals too."""
        end: Item = None
        try:
            for piece in follower.pieces():
                self._items.put(piece)
        except ApiError as error:
            self._items.put(error)
        except BaseException as error:  # the run must not wait for a reader that is dead
            end = as_launcher_error(error)
        finally:
            self._items.put(end)

    def _come(self) -> Iterator[Piece | Place]:
        """Yield what has come, for a moment: no more than the queue holds, since the clock and the signals are watched in between."""
        text: list[bytes] = []  # joined: an API server sends a chunk per line, and each piece costs those who take it
        for number in range(QUEUED):
            try:
                item = self._items.get_nowait() if number else self._items.get(timeout=TICK_S)
            except queue.Empty:
                break
            if isinstance(item, bytes):
                text.append(item)
                continue
            yield from self._joined(text)
            assert self._following is not None
            match item:
                case None:
                    self._read.add(self._following)
                    self._following = None
                    return
                case Mark():
                    yield Place(tuple(self._read), self._following, item)
                case ApiError():
                    self.unreadable = True
                    self._console.warn(f"the log cannot be read: {item.message}")
                case LauncherError():
                    raise item
                case _:
                    yield item
        yield from self._joined(text)

    def _joined(self, text: list[bytes]) -> Iterator[Piece]:
        """Yield what is in `text` as one piece, and empty it."""
        if text:
            piece, text[:] = b"".join(text), []
            self._torn = not piece.endswith(b"\n")
            yield piece

    def _look(self, uid: str) -> str:
        pod = self._observer.pod(uid)
        if pod is None:
            return GONE
        return ENDED if facts.has_ended(pod) else RUNNING

    def _all_read(self) -> bool:
        """Return whether nothing is left to be read: of a pod that has started, and of the queue."""
        return self._items.empty() and all(run.id in self._read for run in instances(self.main_pods))
