"""What goes wrong between a laptop and a cluster, by a schedule: windows in which requests fail, moments at which things break."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import urllib3

from tests.cluster.sim import words
from tests.cluster.sim.api import Answer
from tests.cluster.sim.wire import Faults

if TYPE_CHECKING:
    from tests.cluster.sim.world import World

REFUSALS: Final[dict[str, Callable[[], words.Refused]]] = {
    "401": words.unauthorized,
    "403": lambda: words.forbidden("get", "pods", "", "team"),
    "410": words.expired,
    "429": words.too_many,
    "500": words.internal,
    "502": words.proxy,
    "503": words.unavailable,
    "504": words.timeout,
}
YOUNG_S: Final = 7.0  # so soon no container has filled a file
# What happens to requests of a window.
ANSWERS: Final = (*REFUSALS, "login page", "no connection", "reset", "silence", "cut")
TARGETS: Final = ("all", "watch", "list", "log")
# What happens at a moment.
BLOWS: Final = ("streams break", "streams end", "streams stall", "history is forgotten", "log rotates", "log rotates with a loss")


@dataclass(frozen=True)
class Window:
    """From `begin` on, for `length` seconds, requests to `target` get `answer`. Seconds since the job was applied."""

    begin: float
    length: float
    target: str
    answer: str


@dataclass(frozen=True)
class Blow:
    """At that moment something happens to what is under way."""

    at: float
    what: str


class Scheduled(Faults):
    """The faults of a schedule; the clock of the schedule starts when the job has been applied."""

    def __init__(self, windows: Sequence[Window], blows: Sequence[Blow], slow: float = 0.003) -> None:
        self.windows, self.blows, self.slow = windows, blows, slow
        self.began: float | None = None
        self.now: Callable[[], float] = lambda: 0.0
        self.sleep: Callable[[float], None] = lambda seconds: None

    def begin(self, world: World) -> None:
        """Start the schedule's clock."""
        if self.began is not None:
            return
        self.now, self.sleep = world.host.monotonic, world.host.sleep
        self.began = self.now()
        for blow in self.blows:
            world.host.after(blow.at, lambda what=blow.what: strike(world, what))  # type: ignore[misc]

    def delay(self) -> float:
        return self.slow

    def before(self, method: str, path: str, query: dict[str, str], read_s: float | None) -> Answer | None:
        if self.began is None or method != "GET":
            return None
        target = "log" if path.endswith("/log") else "watch" if "watch" in query else "list"
        since = self.now() - self.began
        for window in self.windows:
            if window.begin <= since < window.begin + window.length and window.target in ("all", target):
                return self._fail(window.answer, read_s)
        return None

    def _fail(self, answer: str, read_s: float | None) -> Answer | None:
        connection: Any = SimpleNamespace(host="cluster.example.com", port=6443)
        if answer in REFUSALS:
            refusal = REFUSALS[answer]()
            return Answer(refusal.status, refusal.body, dict(refusal.headers))
        if answer == "login page":
            return Answer(200, words.LOGIN_PAGE, {"Content-Type": "text/html"})
        if answer == "no connection":
            raise urllib3.exceptions.NewConnectionError(connection, "Failed to establish a new connection: [Errno 111] Connection refused")
        if answer == "reset":
            raise urllib3.exceptions.ProtocolError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer"))
        if answer == "silence":
            self.sleep(read_s or 60.0)
            raise urllib3.exceptions.ReadTimeoutError(connection, "/", f"Read timed out. (read timeout={read_s})")
        assert answer == "cut", answer
        return Answer(200, b'{"kind":"PodList","apiVersion":"v1","meta', {"Content-Type": "application/json", "X-Cut": "4711"})


def strike(world: World, what: str) -> None:
    """Let something happen now."""
    if what == "streams break":
        world.wire.hit(ConnectionResetError(104, "Connection reset by peer"))
    elif what == "streams end":
        world.wire.hit("end")
    elif what == "streams stall":
        world.wire.hit("stall")
    elif what == "history is forgotten":
        world.api.forget()
        world.wire.hit("end", watches=True)
    else:
        for log in world.api.logs.values():
            if world.host.monotonic() - log.began > YOUNG_S:
                log.rotate(lose="loss" in what)
