"""Follow the log of one container to its end, through connections that break. When it has ended the pod says, never the stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from typing import Final

from mlops_launch.clients.cluster import READ_S, Cluster
from mlops_launch.clients.refusals import ApiError
from mlops_launch.clients.stream import Stream
from mlops_launch.commands.cluster.follow.container import ENDED, GONE, REPLACED, RUNNING, UNKNOWN, Container, head_is_missing
from mlops_launch.commands.cluster.follow.rotation import RotationWatch
from mlops_launch.core.kube.objects import POD
from mlops_launch.core.kube.times import moment
from mlops_launch.core.log.pieces import Gap, Mark, Piece
from mlops_launch.core.log.stream import LogStream
from mlops_launch.errors import LauncherError

NOT_FOUND: Final = 404
LATE_S: Final = 5.0  # from a container's start to the first answer
LAST_TRIES_S: Final = 60.0  # to read the end of a log for sure
EMPTY: Final = 3  # answers without a line, when it has ended: it was rotated after its last line; one answer may have been cut off
AGAIN_S: Final = 1.0  # after which a pod's status tells of a start that the kubelet knows of
LONGEST_PAUSE_S: Final = 2.0
MARK_S: Final = 1.0  # between two marks
SEARCH_S: Final = 30.0  # to find the last known line in a file; a file of 10 MiB takes less than a second


class Follower:
    """Reads the log of one container, piece by piece.

    Args:
        cluster: where.
        container: which.
        look: returns whether it is RUNNING, ENDED, REPLACED, GONE, or that this is UNKNOWN.
        stop: ends it early.
        watch_rotation: look for rotations while attached, too; costs a small request every second or two.
        begin: where another follower has come to.
    """

    def __init__(
        self,
        cluster: Cluster,
        container: Container,
        look: Callable[[], str],
        stop: threading.Event | None = None,
        watch_rotation: bool = True,
        begin: Mark | None = None,
    ) -> None:
        self._cluster = cluster.patient(0)
        self._host = cluster.host
        self._container = container
        self._look = look
        self._tail = container.tail
        self._stop = stop or cluster.host.event()
        self._watch_rotation = watch_rotation
        self._log = LogStream(begin)
        self._headless = container.started is not None  # no line has come, and the first one may not be the log's first
        self._early = False  # the newest answer came soon after the container's start
        self._marked_at = 0.0
        self._allowed = begin is not None  # to read this log; what refuses it later may be a server that has just started
        self._path = f"{cluster.path(*POD, container.pod, container.namespace)}/log"
        self._rotations = RotationWatch(self._cluster, self._path, container.name)

    def pieces(self) -> Iterator[Piece | Mark]:
        """Yield the text of new lines as it comes, gaps, and now and then where it has come to, until the log has ended.

        Raises:
            ApiError: not allowed.
        """
        try:
            yield from self._follow()
        finally:
            self._rotations.stop()

    def pieces_now(self) -> Iterator[Piece | Mark]:
        """Yield what there is now.

        Raises:
            LauncherError: it cannot be read.
        """
        yield from self._connection(RUNNING, follow=False, strict=True)
        yield from self._with_gaps(self._log.end())

    def skip_now(self) -> None:
        """Take what there is now as known: only what follows is handed on.

        Raises:
            LauncherError: it cannot be read.
        """
        for _ in self._connection(RUNNING, follow=False, strict=True):
            pass
        self._tail = None  # where there was nothing, all that comes is new

    def _follow(self) -> Iterator[Piece | Mark]:
        pause, last_try, empty = 0.1, float("inf"), 0
        ends = 0  # of so many connections, the newest ones, that came to the log's end; somebody in between can close one, too
        while not self._stop.is_set():
            before, unsure = self._log.last, self._log.unsure
            state = self._look()  # first, so that what was written before the end is read for sure
            if state == RUNNING and self._watch_rotation:  # the log of one that has ended is rotated no more
                self._rotations.start()
            if state == GONE:
                ends -= 1  # the last one may have been closed in between, when nobody could ask any more
                break
            if state == UNKNOWN:
                self._stop.wait(pause := min(2 * pause, LONGEST_PAUSE_S))
                continue
            read = yield from self._connection(state, follow=state == RUNNING and not unsure)
            if read is not None:
                ends = ends + 1 if read and self._log.synced else 0
            if state in (ENDED, REPLACED):
                last_try = min(last_try, self._host.monotonic() + LAST_TRIES_S)
                # An answer that is looked at twice lies there for a second: somebody may have closed it before its first line was read.
                nothing = self._log.empty or self._container.restarts and self._log.first is None
                empty = empty + 1 if read and nothing else 0
                if read and ends and not nothing or empty == EMPTY or self._host.monotonic() > last_try:
                    break
            pause = 0.1 if self._log.last != before else min(2 * pause, LONGEST_PAUSE_S)
            if self._log.unsure == unsure and not (ends and self._look() != RUNNING):
                self._stop.wait(pause)
        if not self._stop.is_set():
            pieces = [] if empty == EMPTY and self._log.said_all else self._log.end(ends > 0)
            lost = not pieces and self._log.first is None and self._headless and not self._early
            yield from self._with_gaps([Gap(None, None)] if lost else pieces)

    def _connection(self, state: str, follow: bool, strict: bool = False) -> Generator[Piece | Mark, None, bool | None]:
        """Read until the stream ends; return whether it ended properly, None when there is no log any more.

        Args:
            state: of the container, just now.
            follow: wait for what is still to be written.
            strict: say why it failed.

        Raises:
            ApiError: not allowed.
            LauncherError: it failed, and `strict`.
        """
        query = {"container": self._container.name, "timestamps": "true"}
        query |= {"follow": "true"} if follow else {}
        query |= {"previous": "true"} if state == REPLACED else {}
        query |= {"sinceTime": self._container.since} if self._container.since else {}
        query |= {"tailLines": str(self._tail)} if self._tail is not None and self._log.last is None else {}
        try:
            stream = self._cluster.open(self._path, READ_S, **query)
        except LauncherError as error:
            if strict or isinstance(error, ApiError) and error.status in (401, 403) and not self._allowed:
                raise
            # A pod that is not there any more has no more lines; what was written while nothing could be asked is not known.
            return None if isinstance(error, ApiError) and error.status == NOT_FOUND else False
        # Nothing that is known of its log tells it from the next one's.
        if self._may_be_anothers(state, AGAIN_S if self._log.last is None else 0.0):
            stream.close()
            return False
        self._allowed, self._early = True, self._is_early()
        self._log.begin()
        begun = self._host.monotonic()
        try:
            while not self._stop.is_set():
                chunk = self._read(stream, strict)
                if chunk is None:
                    return False
                if not chunk:
                    if not follow and not self._log.synced and self._may_be_anothers(state, AGAIN_S):
                        return False
                    if not follow:
                        yield from self._with_gaps(self._log.settle())
                    return None if self._log.refused else True
                yield from self._with_gaps(self._log.feed(chunk))
                if follow and not self._log.synced and self._host.monotonic() > begun + SEARCH_S:
                    self._log.unsure = True
                if follow and self._log.unsure:
                    return False
        finally:
            stream.close()
        return False

    def _may_be_anothers(self, state: str, after: float = 0.0) -> bool:
        """Return whether an answer may be the log of another run of the container: it was started again after `state` was seen."""
        if not self._container.restarts:
            return False
        self._stop.wait(after)
        return self._look() != state

    def _is_early(self) -> bool:
        """Return whether an answer that begins now has the log's beginning for sure: it comes soon after the container's start."""
        if not self._container.watched or self._container.started is None:
            return False
        return (self._host.now() - moment(self._container.started)).total_seconds() <= LATE_S

    def _read(self, stream: Stream, strict: bool) -> bytes | None:
        """Return what has come; nothing at the stream's proper end; None when the connection broke.

        Raises:
            LauncherError: it broke, and `strict`.
        """
        try:
            return stream.read()
        except LauncherError:
            if strict:
                raise
            return None

    def _with_gaps(self, pieces: list[Piece]) -> Iterator[Piece | Mark]:
        """Yield pieces, the gaps that they alone do not show, and now and then a mark."""
        for piece in pieces:
            if self._headless and isinstance(piece, bytes):
                self._headless = False
                if not self._early and head_is_missing(str(self._container.started), self._log.first, piece):
                    yield Gap(None, self._log.first)
            yield piece
        for head in list(self._rotations.heads):
            gaps = self._log.places.rotated(head)
            if gaps is not None:
                self._rotations.heads.remove(head)
                yield from gaps
        mark = self._log.mark if pieces and self._host.monotonic() > self._marked_at + MARK_S else None
        if mark is not None:
            self._marked_at = self._host.monotonic()
            yield mark
