"""The follower of one container against a kubelet that breaks off, rotates, answers late and whose clock jumps: nothing lost unsaid."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_launch.clients.host import Host
from mlops_launch.clients.refusals import Disconnected
from mlops_launch.commands.cluster.follow.container import ENDED, RUNNING, Container
from mlops_launch.commands.cluster.follow.follower import Follower
from mlops_launch.core.log import stream as logstream
from mlops_launch.core.log.pieces import Mark, Piece
from tests.unit.logs import WRITES, Clock, judge

FIRST = ("write", [(0, b"the first line, which is read before anything happens")])
PLAN = st.lists(
    st.one_of(
        st.tuples(st.just("write"), WRITES),
        st.tuples(st.just("rotate"), st.integers(0, 9)),
        st.tuples(st.just("away"), st.integers(0, 6)),
        st.tuples(st.sampled_from(["break", "end early", "refuse", "no answer", "time"]), st.none()),
    ),
    max_size=30,
)


class Now(threading.Event):
    """An event that nobody waits for: waiting lets the clock go."""

    def __init__(self, host: FastHost) -> None:
        super().__init__()
        self.host = host

    def wait(self, timeout: float | None = None) -> bool:
        self.host.time += timeout or 0.0
        return self.is_set()


class FastHost(Host):
    """A machine whose clock goes only when somebody waits."""

    def __init__(self) -> None:
        self.time = 1000.0

    def monotonic(self) -> float:
        return self.time

    def event(self) -> threading.Event:
        return Now(self)


@dataclass
class Kubelet:
    """Stands for the cluster; goes on with its plan whenever a follower waits for more."""

    plan: Iterator[tuple[str, Any]]
    size: int  # bytes in a chunk
    host: FastHost = field(default_factory=FastHost)
    state: str = RUNNING
    clock: Clock = field(default_factory=Clock)
    written: list[bytes] = field(default_factory=list)
    file: list[bytes] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)  # to the next requests

    def happen(self) -> tuple[str, Any]:
        """Do what comes next in the plan; return that, for a write its lines."""
        action, argument = next(self.plan, ("finish", None))
        if action == "write":
            argument = self.clock.lines(argument)
            self.written += argument
            self.file += argument
        elif action == "rotate":
            self.file = self.file[argument:]
        elif action == "time":
            self.host.time += 60.0
        elif action == "finish":
            self.state = ENDED
        elif action in ("refuse", "no answer"):
            self.answers.append(action)
        return action, argument

    def patient(self, seconds: float) -> Kubelet:
        return self

    def path(self, *words: str) -> str:
        return "/".join(words)

    def open(self, path: str, read_s: float, **query: str) -> Connection:
        answer = self.answers.pop() if self.answers else ""
        if answer == "no answer":
            raise Disconnected("no answer")
        if answer == "refuse":
            return Connection(self, b"unable to retrieve container logs for containerd://1\n", follow=False)
        return Connection(self, b"".join(self.file), query.get("follow") == "true")


@dataclass
class Connection:
    """One answer: the file, and with `follow` what is written behind it."""

    kubelet: Kubelet
    data: bytes
    follow: bool

    def read(self) -> bytes:
        while not self.data:
            if not self.follow or self.kubelet.state == ENDED:
                return b""
            action, argument = self.kubelet.happen()
            if action == "away":  # things happen until it is noticed that the connection is dead
                for _ in range(argument):
                    self.kubelet.happen()
            if action in ("break", "away"):
                raise Disconnected("the connection broke")
            if action == "end early":
                return b""
            if action == "write":
                self.data = b"".join(argument)
        found, self.data = self.data[: self.kubelet.size], self.data[self.kubelet.size :]
        return found

    def close(self) -> None:
        """Nothing more is read."""


@settings(deadline=None, max_examples=200)
@given(PLAN, st.integers(1, 300), st.sampled_from([60, 200, logstream.LONG]))
def test_each_line_comes_once_and_in_order_or_lies_in_a_reported_gap(plan: list[tuple[str, Any]], size: int, long: int) -> None:
    original = logstream.LONG, logstream.KEY
    logstream.LONG, logstream.KEY = long, 48  # type: ignore[misc]
    try:
        kubelet = Kubelet(iter([FIRST, *plan]), size)
        follower = Follower(kubelet, Container("pod", "training", "team"), lambda: kubelet.state, watch_rotation=False)  # type: ignore[arg-type]
        got: list[Piece] = [piece for piece in follower.pieces() if not isinstance(piece, Mark)]
        judge(kubelet.written, got, late=False)
        text = b"".join(piece for piece in got if isinstance(piece, bytes))
        assert [piece for piece in kubelet.file if piece.partition(b" ")[2] not in text] == [], "what can be had is read"
    finally:
        logstream.LONG, logstream.KEY = original  # type: ignore[misc]


@settings(deadline=None, max_examples=100)
@given(PLAN, PLAN, st.integers(1, 300))
def test_another_follower_resumes_at_any_mark(plan: list[tuple[str, Any]], more: list[tuple[str, Any]], size: int) -> None:
    kubelet = Kubelet(iter([FIRST, ("time", None), *plan, ("time", None), *more]), size)

    def follower(begin: Mark | None) -> Iterator[Piece | Mark]:
        return Follower(
            kubelet,
            Container("pod", "training", "team"),
            lambda: kubelet.state,
            watch_rotation=False,
            begin=begin,  # type: ignore[arg-type]
        ).pieces()

    got: list[Piece] = []
    mark, archived = None, 0
    for piece in follower(None):
        if not isinstance(piece, Mark):
            got.append(piece)
            continue
        mark, archived = piece, len(got)
        if len(got) > 3:
            break  # it is killed
    got = got[:archived] + [piece for piece in follower(mark) if not isinstance(piece, Mark)]
    judge(kubelet.written, got, late=False)
