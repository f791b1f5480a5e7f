"""Notice when the kubelet begins a new file for a container's log: the first line that the API serves is another one."""

from __future__ import annotations

from typing import Final

from mlops_launch.clients.cluster import Cluster
from mlops_launch.core.log.stamps import STAMP
from mlops_launch.errors import LauncherError

LOOK_S: Final = 1.5  # the kubelet rotates every 3 s at most
HEAD_BYTES: Final = 64  # of the file: a timestamp is in it


class RotationWatch:
    """Looks at the head of one container's log, again and again.

    Args:
        cluster: where.
        path: of the pod's log.
        container: its name.
    """

    def __init__(self, cluster: Cluster, path: str, container: str) -> None:
        self.heads: list[str] = []  # timestamps of the first lines of new files, to be taken away by the reader
        self._cluster, self._path, self._container = cluster, path, container
        self._last: str | None = None
        self._begun = False
        self._ended = cluster.host.event()

    def start(self) -> None:
        """Look in the background, from the first call on."""
        if self._begun:
            return
        self._begun = True
        self._cluster.host.start_thread(f"rotation {self._path}", self._run)

    def stop(self) -> None:
        """End the thread, soon."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            head = first_stamp(self._cluster, self._path, self._container)
            if head is not None:
                if self._last not in (None, head):
                    self.heads.append(head)
                self._last = head
            self._ended.wait(LOOK_S)


def first_stamp(cluster: Cluster, path: str, container: str) -> str | None:
    """Return the timestamp of the first line of a log; None when there is none, or the log cannot be had.

    Args:
        cluster: where.
        path: of the pod's log.
        container: its name.
    """
    try:
        stream = cluster.open(path, container=container, timestamps="true", limitBytes=str(HEAD_BYTES))
    except LauncherError:
        return None
    try:
        stamp, space, _ = stream.read().decode(errors="replace").partition(" ")
        return stamp if space and STAMP.match(f"{stamp} ".encode()) else None
    except LauncherError:
        return None
    finally:
        stream.close()
