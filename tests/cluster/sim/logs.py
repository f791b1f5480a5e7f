"""The log of a container as the kubelet keeps it: the newest file only, lines with timestamps, followers that hang on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.cluster.sim.clock import Simulation


@dataclass
class ContainerLog:
    """What one container has written.

    Args:
        lines: timestamp and text, all there ever were.
        begin: the index in `lines` of the first line of the newest file.
        ended: nothing will be written any more.
        whole: the last line has its end.
    """

    host: Simulation
    lines: list[tuple[str, bytes]] = field(default_factory=list)
    begin: int = 0
    ended: bool = False
    whole: bool = True
    followers: list[LogSource] = field(default_factory=list)
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.host.monotonic()

    def write(self, text: str) -> None:
        """Write a line; two of the same moment have the same timestamp."""
        self.lines.append((f"{self.host.now():%Y-%m-%dT%H:%M:%S.%f}789Z", text.encode()))

    def rotate(self, lose: bool = False) -> None:
        """Begin a new file; with `lose`, followers miss what they have not been sent of the old one."""
        self.begin = len(self.lines)
        for follower in self.followers:
            if lose:
                follower.at = max(follower.at, self.begin)


class LogSource:
    """The body of one answer.

    Args:
        log: whose.
        query: of the request.
    """

    def __init__(self, log: ContainerLog, query: dict[str, str]) -> None:
        self.log, self.query = log, query
        self._stamps = query.get("timestamps") == "true"
        self._follow = query.get("follow") == "true"
        self._most = int(query["limitBytes"]) if "limitBytes" in query else None
        since = _second(query["sinceTime"]) if "sinceTime" in query else ""
        self.at = next((n for n in range(log.begin, len(log.lines)) if log.lines[n][0] >= since), len(log.lines))
        if "tailLines" in query:
            self.at = max(self.at, len(log.lines) - int(query["tailLines"]))
        self._end = len(log.lines)
        log.followers.append(self)

    def ready(self) -> bool:
        return self.at < len(self.log.lines) or not self._follow or self.log.ended

    def take(self) -> bytes:
        """Return what is there; nothing at the end."""
        log = self.log
        until = len(log.lines) if self._follow else self._end
        found = log.lines[self.at : until]
        self.at = max(self.at, until)
        data = b"".join((stamp.encode() + b" " if self._stamps else b"") + text + b"\n" for stamp, text in found)
        if data and log.ended and not log.whole and until == len(log.lines):
            data = data[:-1]
        if self._most is not None:
            data, self._most = data[: self._most], 0
        return data


def _second(stamp: str) -> str:
    """Return a time as the API server understands it: its second; in UTC."""
    return f"{datetime.fromisoformat(stamp[:19]):%Y-%m-%dT%H:%M:%S}"


def later(stamp: datetime, seconds: float) -> str:
    return f"{stamp + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"
