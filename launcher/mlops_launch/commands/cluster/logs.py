"""Print the log of a job in a cluster, once or to its end; of all its pods if asked."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from mlops_launch.clients.cluster import Cluster, Json
from mlops_launch.clients.refusals import ApiError, Disconnected
from mlops_launch.commands.cluster.follow.container import Container
from mlops_launch.commands.cluster.follow.ended import EndedLog
from mlops_launch.commands.cluster.follow.follower import Follower
from mlops_launch.commands.cluster.follow.instances import Instance, instances
from mlops_launch.commands.cluster.jobs import pods_of, workload_of
from mlops_launch.commands.cluster.limits import PATIENCE_S
from mlops_launch.commands.runs.console import Console
from mlops_launch.commands.runs.streams import Output
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.log.lines import LineReader, headed
from mlops_launch.core.log.pieces import Gap, Mark, Piece, gap_text
from mlops_launch.core.workload import state
from mlops_launch.core.workload.kinds import lookup, main_pods
from mlops_launch.core.workload.model import Workload
from mlops_launch.errors import LauncherError, UsageError, as_launcher_error

POLL_S = 1.0
QUEUED = 64


@dataclass(frozen=True)
class Asked:
    """What is wanted of a log, and where it goes.

    Args:
        out: gets the lines, with `POD: ` in front when they are of all pods.
        console: gets gaps.
        follow: until the job has ended.
        everything: all its pods, not only the one that prints for the ranks.
        role: only its pods of that role, whatever the case of its letters.
        index: of them only that one.
        since: only lines from that time on, RFC 3339.
        tail: of each pod only that many lines of what there is now, and all that follow.
    """

    out: Output
    console: Console
    follow: bool = False
    everything: bool = False
    role: str | None = None
    index: int | None = None
    since: str | None = None
    tail: int | None = None


def show_logs(cluster: Cluster, workload: Workload, found: Json, asked: Asked) -> None:
    """Print a job's log.

    Args:
        cluster: where, with its namespace.
        workload: the job as a shape.
        found: the same as it is in the cluster.
        asked: what of it.

    Raises:
        LauncherError: there is no log to read.
    """
    pods = pods_of(cluster, found, cluster.namespace)
    if asked.role is not None:
        pods = _of_role(workload, pods, asked.role, asked.index)
    elif not asked.everything:
        pods = main_pods(found, pods)
        while asked.follow and not (pods and facts.starts(pods[-1])) and state.finished(found) is None:
            cluster.host.sleep(POLL_S)
            workload, found = workload_of(cluster.patient(PATIENCE_S), workload.name)
            pods = main_pods(found, pods_of(cluster, found, cluster.namespace))
        pods = pods[-1:]
    started = [pod for pod in pods if facts.starts(pod)]
    if not started:
        raise LauncherError(f"no log yet: {workload.kind} {workload.name} has not started", "`mlops-launch status` says what it waits for")
    if len(started) == 1:
        _one(cluster, started[0], asked)
    else:
        _several(cluster, started, asked)


def _of_role(workload: Workload, pods: list[Object], role: str, index: int | None) -> list[Object]:
    """Return the pods of a role, or the one with an index.

    Raises:
        UsageError: there is no such role.
    """
    kind, known = lookup(workload.kind), [each.name for each in workload.roles]
    if role.lower() not in [name.lower() for name in known]:
        raise UsageError(f"no role of that name in {workload.kind} {workload.name}: {role}", f"known: {', '.join(known)}")
    return [pod for pod in pods if kind.role_of(pod).lower() == role.lower() and index in (None, kind.index_of(pod))]


def _one(cluster: Cluster, pod: Object, asked: Asked) -> None:
    for piece in _pieces(cluster, pod, asked):
        match piece:
            case bytes():
                asked.out.write(piece)
                asked.out.flush()
            case Gap():
                asked.console.warn(gap_text(piece))


def _several(cluster: Cluster, pods: list[Object], asked: Asked) -> None:
    """Print whole lines of several pods as they come, each with its pod's name in front."""
    width = max(len(facts.name_of(pod)) for pod in pods)
    items: queue.Queue[tuple[str, Piece | Mark | LauncherError | None]] = cluster.host.queue(QUEUED)

    def read(pod: Object) -> None:
        name = facts.name_of(pod)
        try:
            for piece in _pieces(cluster, pod, asked):
                items.put((name, piece))
        except BaseException as error:  # the loop below must not wait for a reader that is dead
            items.put((name, as_launcher_error(error)))
        finally:
            items.put((name, None))

    for pod in pods:
        cluster.host.start_thread(f"log {facts.name_of(pod)}", partial(read, pod))
    readers = {facts.name_of(pod): LineReader(wait=True) for pod in pods}
    while readers:
        name, piece = items.get()
        lines: list[bytes] = []
        match piece:
            case bytes():
                lines = readers[name].feed(piece).parts
            case None:
                lines = readers.pop(name).end().parts
            case Gap():
                asked.console.warn(f"{gap_text(piece)}: pod {name}")
            case LauncherError():
                asked.console.warn(f"the log of pod {name} cannot be read: {piece.message}")
        asked.out.write(headed(f"{name + ':':<{width + 1}} ".encode(), lines))
        asked.out.flush()


def _pieces(cluster: Cluster, pod: Object, asked: Asked) -> Iterator[Piece | Mark]:
    run, read = instances([pod])[-1], 0
    if facts.has_ended(pod) and asked.since is None and asked.tail is None:
        log = EndedLog(cluster, _container(run, asked))
        if (yield from log.pieces()):
            return
        read = log.read
    follower = _follower(cluster, run, asked)
    if asked.tail == 0:
        follower.skip_now()
    if asked.follow:
        yield from _behind(read, follower.pieces())
    elif asked.tail != 0:
        yield from _behind(read, follower.pieces_now())
    while asked.follow and (following := _next(cluster, run)) is not None:
        run = following
        yield from _follower(cluster, run, replace(asked, tail=None)).pieces()


def _behind(read: int, pieces: Iterator[Piece | Mark]) -> Iterator[Piece | Mark]:
    """Yield what follows the first `read` bytes of a text; a gap at its beginning was told before them."""
    told = read > 0
    for piece in pieces:
        if isinstance(piece, bytes) and read:
            piece, read = piece[read:], max(0, read - len(piece))
        if not (told and isinstance(piece, Gap) and piece.after is None) and piece != b"":
            yield piece


def _next(cluster: Cluster, run: Instance) -> Instance | None:
    """Wait until a container is started again, and return that run of it; None when it is not."""
    while (pod := _find(cluster, run.pod)) is not None and facts.uid_of(pod) == facts.uid_of(run.pod):
        if facts.starts(pod) > run.number + 1:
            return Instance(pod, run.number + 1)
        if facts.has_ended(pod):
            break
        cluster.host.sleep(POLL_S)
    return None


def _follower(cluster: Cluster, run: Instance, asked: Asked) -> Follower:
    return Follower(cluster, _container(run, asked), lambda: run.state(_find(cluster, run.pod)))


def _container(run: Instance, asked: Asked) -> Container:
    pod = run.pod
    started = run.started if asked.since is None and asked.tail is None else None
    tail = None if asked.tail is None else max(1, asked.tail)  # of none, one: what follows it is found again
    again, namespace = facts.starts_again(pod), pod["metadata"]["namespace"]
    return Container(facts.name_of(pod), facts.container(pod), namespace, started, asked.since, restarts=again, tail=tail)


def _find(cluster: Cluster, pod: Object) -> Object | None:
    """Return a pod as it is now, None when it is gone; patient with a server that is away."""
    path = cluster.path(*facts.POD, facts.name_of(pod), pod["metadata"]["namespace"])
    until = cluster.host.monotonic() + PATIENCE_S
    while True:
        try:
            return cluster.find(path)
        except (ApiError, Disconnected):
            if cluster.host.monotonic() > until:
                raise
            cluster.host.sleep(POLL_S)
