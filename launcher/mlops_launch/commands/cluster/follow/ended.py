"""The log of a container that has ended for good, read at once: nothing is added to it any more, and nothing rotated away.

It is asked for without timestamps, and without `follow`: with them a kubelet and an API server take longer for each line.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from mlops_launch.clients.cluster import READ_S, Cluster
from mlops_launch.clients.stream import Stream
from mlops_launch.commands.cluster.follow.container import Container, head_is_missing
from mlops_launch.commands.cluster.follow.rotation import first_stamp
from mlops_launch.core.kube.objects import POD
from mlops_launch.core.log.lines import HELD
from mlops_launch.core.log.pieces import Gap, Piece
from mlops_launch.errors import LauncherError

REFUSED: Final = b"unable to retrieve container logs"  # the kubelet's own words, in place of the log


class EndedLog:
    """The log of one container.

    Args:
        cluster: where.
        container: which.
    """

    def __init__(self, cluster: Cluster, container: Container) -> None:
        self._cluster, self._container = cluster.patient(0), container
        self._path = f"{cluster.path(*POD, container.pod, container.namespace)}/log"
        self.read = 0  # bytes handed on

    def pieces(self) -> Generator[Piece, None, bool]:
        """Yield its text, and a gap in front where its beginning is missing; return whether that was all of it."""
        head = first_stamp(self._cluster, self._path, self._container.name)
        if head is None:
            return False
        try:
            stream = self._cluster.open(self._path, READ_S, container=self._container.name)
        except LauncherError:
            return False
        try:
            first = self._first_line(stream)
            if first.startswith(REFUSED):
                return False
            if head_is_missing(str(self._container.started), head, first):
                yield Gap(None, head)
            chunk = first
            while chunk:
                self.read += len(chunk)
                yield chunk
                chunk = stream.read()
        except LauncherError:
            return False
        finally:
            stream.close()
        return True

    def _first_line(self, stream: Stream) -> bytes:
        """Return what comes first, at least a line or as much of it as says something."""
        found = b""
        while b"\n" not in found and len(found) < HELD and (chunk := stream.read()):
            found += chunk
        return found
