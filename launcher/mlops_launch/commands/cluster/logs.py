"""Print the log of a training in a cluster, once or to its end; of all its pods if asked."""

from __future__ import annotations

import queue
from collections.abc import Callable
from functools import partial

from mlops_launch.clients.cluster import Cluster
from mlops_launch.clients.refusals import ApiError, Disconnected
from mlops_launch.commands.cluster.follow.container import ENDED, GONE, RUNNING, Container, Follower, gap_text
from mlops_launch.commands.cluster.jobs import pods_of, workload_of
from mlops_launch.commands.cluster.limits import PATIENCE_S
from mlops_launch.commands.runs.streams import Output
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.log.lines import LineReader
from mlops_launch.core.log.stream import Gap
from mlops_launch.core.workload import state
from mlops_launch.core.workload.kinds import main_pods
from mlops_launch.errors import LauncherError

POLL_S = 1.0
QUEUED = 64


def show_logs(
    cluster: Cluster, name: str | None, out: Output, say: Callable[[str], None], follow: bool, everything: bool, since: str | None
) -> None:
    """Print a training's log.

    Args:
        cluster: where, with its namespace.
        name: of the workload; None is the newest.
        out: gets the lines, with `POD: ` in front when they are of all pods.
        say: gets gaps.
        follow: go on until the training has ended.
        everything: all its pods, not only the one that prints for the ranks.
        since: only lines from that time on, RFC 3339.

    Raises:
        LauncherError: there is no such training, or no log to read.
    """
    workload, found = workload_of(cluster, name)
    pods = pods_of(cluster, found, cluster.namespace)
    if not everything:
        pods = main_pods(found, pods)
        while follow and not (pods and facts.started_at(pods[-1])) and state.finished(found) is None:
            cluster.host.sleep(POLL_S)
            workload, found = workload_of(cluster.patient(PATIENCE_S), workload.name)
            pods = main_pods(found, pods_of(cluster, found, cluster.namespace))
        pods = pods[-1:]
    started = [pod for pod in pods if facts.started_at(pod) is not None]
    if not started:
        raise LauncherError(f"no log yet: {workload.kind} {workload.name} has not started", "`mlops-launch status` says what it waits for")
    if len(started) == 1:
        _one(cluster, started[0], out, say, follow, since)
    else:
        _several(cluster, started, out, say, follow, since)


def _one(cluster: Cluster, pod: Object, out: Output, say: Callable[[str], None], follow: bool, since: str | None) -> None:
    def take(piece: bytes | Gap) -> None:
        if isinstance(piece, Gap):
            out.flush()
            say(gap_text(piece))
        else:
            out.write(piece)
            out.flush()

    follower = _follower(cluster, pod, take, since)
    follower.run() if follow else follower.read()


def _several(cluster: Cluster, pods: list[Object], out: Output, say: Callable[[str], None], follow: bool, since: str | None) -> None:
    """Print whole lines of several pods as they come, each with its pod's name in front."""
    width = max(len(facts.name_of(pod)) for pod in pods)
    items: queue.Queue[tuple[str, bytes | Gap | None]] = cluster.host.queue(QUEUED)

    def read(pod: Object) -> None:
        name = facts.name_of(pod)
        try:
            follower = _follower(cluster, pod, lambda piece: items.put((name, piece)), since)
            follower.run() if follow else follower.read()
        except LauncherError as error:
            say(f"Warning: the log of pod {name} cannot be read: {error.message}")
        items.put((name, None))

    for pod in pods:
        cluster.host.start_thread(f"log {facts.name_of(pod)}", partial(read, pod))
    readers = {facts.name_of(pod): LineReader(wait=True) for pod in pods}
    left = len(pods)
    while left:
        name, piece = items.get()
        if isinstance(piece, Gap):
            say(f"{name}: {gap_text(piece)}")
            continue
        cut = readers[name].end() if piece is None else readers[name].feed(piece)
        out.write(b"".join(f"{name + ':':<{width + 1}} ".encode() + line + b"\n" for line in cut.parts))
        out.flush()
        left -= piece is None


def _follower(cluster: Cluster, pod: Object, take: Callable[[bytes | Gap], None], since: str | None) -> Follower:
    path = cluster.path(*facts.POD, facts.name_of(pod), pod["metadata"]["namespace"])
    uid = facts.uid_of(pod)

    def look() -> str:
        until = cluster.host.monotonic() + PATIENCE_S
        while True:
            try:
                found = cluster.find(path)
            except (ApiError, Disconnected):
                if cluster.host.monotonic() > until:
                    raise
                cluster.host.sleep(POLL_S)
                continue
            if found is None or facts.uid_of(found) != uid:
                return GONE
            return ENDED if facts.has_ended(found) else RUNNING

    container = Container(facts.name_of(pod), facts.container(pod), pod["metadata"]["namespace"], None if since else facts.started_at(pod))
    return Follower(cluster, container, look, take, since)
