"""The wire: the real client's requests reach the server in memory, and answers come back as urllib3's own responses."""

from __future__ import annotations

import io
from functools import lru_cache
from http.client import IncompleteRead
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import urllib3
from kubernetes import client

from tests.cluster.sim.api import AGAIN, Answer, ApiServer, Source, Watch
from tests.cluster.sim.clock import Simulation

ADDRESS = "https://cluster.example.com:6443"


class Wire:
    """Stands where urllib3's pool of connections stands.

    Args:
        api: answers.
        faults: what goes wrong: `before` may raise, or answer in the server's place.
    """

    def __init__(self, host: Simulation, api: ApiServer, faults: Faults | None = None) -> None:
        self.host, self.api, self.faults = host, api, faults or Faults()
        self.bodies: list[Body] = []  # that have not ended
        self.cut: int | None = None  # bytes of an answer that come together, at most

    def client(self) -> client.ApiClient:
        """The `kubernetes` client over this wire."""
        settings = client.Configuration()
        settings.host, settings.retries = ADDRESS, False
        found = client.ApiClient(settings)
        found.rest_client.pool_manager = self
        return found

    def request(self, method: str, url: str, timeout: Any = None, headers: Any = None, body: Any = None, **more: Any) -> Any:
        path, query = split(url)
        read_s = timeout.read_timeout if timeout is not None else None
        self.host.sleep(self.faults.delay())
        answer = self.faults.before(method, path, query, read_s)
        if answer is None:
            answer = self.api.handle(method, path, query, body, headers.get("Content-Type", ""))
        body = Body(self.host, answer.body, read_s, self.cut)
        if not isinstance(answer.body, bytes):
            self.bodies = [other for other in self.bodies if not other.over] + [body]
        return response(body, answer)

    def hit(self, blow: Exception | str, watches: bool = False) -> None:
        """Let something happen to all answers under way, or to the watches among them: an error, an `end`, a `stall`."""
        for body in self.bodies:
            if not watches or isinstance(body.source, Watch):
                body.blow = blow

    def clear(self) -> None:
        """Called when the client is closed."""


def split(url: str) -> tuple[str, dict[str, str]]:
    """Return the path and the parameters of a URL."""
    path, query = _split(url)
    return path, dict(query)


@lru_cache(maxsize=1024)
def _split(url: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    parts = urlsplit(url)
    return parts.path, tuple(parse_qsl(parts.query))


class Faults:
    """A wire without any: what else there is inherits from it."""

    def delay(self) -> float:
        """Seconds until the server hears of a request."""
        return 0.003

    def before(self, method: str, path: str, query: dict[str, str], read_s: float | None) -> Answer | None:
        return None


def response(body: Body, answer: Answer) -> urllib3.HTTPResponse:
    """An answer as urllib3 hands it out."""
    body.cut = int(answer.headers.pop("X-Cut", 0))
    connection: Any = SimpleNamespace(close=body.close)
    return urllib3.HTTPResponse(
        body=body, headers=answer.headers, status=answer.status, preload_content=False, connection=connection, sock_shutdown=body.shutdown
    )  # type: ignore[arg-type]


class Body(io.RawIOBase):
    """A body as http.client has it: `read` and `read1` wait for what comes.

    Args:
        content: all of it, or what it comes from.
        read_s: seconds without a byte until a read gives up.
        cut: bytes that come together, at most; None is chance.
    """

    def __init__(self, host: Simulation, content: bytes | Source, read_s: float | None, cut: int | None = None) -> None:
        self._host, self._read_s, self._cut = host, read_s, cut
        self.source = None if isinstance(content, bytes) else content
        self._rest = content if isinstance(content, bytes) else b""
        self.over = isinstance(content, bytes)
        self.blow: Exception | str | None = None
        self._shut = False
        self.cut = 0  # bytes that the head has announced and that do not come

    def readable(self) -> bool:
        return True

    def shutdown(self, how: int) -> None:
        self._shut = True

    def read1(self, size: int = -1) -> bytes:
        until = float("inf") if self._read_s is None else self._host.monotonic() + self._read_s
        while not self._rest and not self.over:
            if not self._ready() and not self._host.wait(self._ready, until - self._host.monotonic()):
                raise TimeoutError("The read operation timed out")
            if self._shut or self.blow == "end":
                self.over = True
            elif isinstance(self.blow, Exception):
                self.over = True
                raise self.blow
            else:
                assert self.source is not None
                found = self.source.take()
                if found != AGAIN:
                    self._rest, self.over = found, not found
        size = len(self._rest) if size is None or size < 0 else size
        if self.source is not None and len(self._rest) > 1:  # as TCP cuts it
            size = min(size, self._cut or self._host.random.choice((len(self._rest), self._host.random.randint(1, len(self._rest)))))
        data, self._rest = self._rest[:size], self._rest[size:]
        if not data and self.cut:
            raise IncompleteRead(b"", self.cut)
        return data

    def _ready(self) -> bool:
        if self._shut or self.blow not in (None, "stall"):
            return True
        return self.blow is None and self.source is not None and self.source.ready()

    def read(self, size: int | None = -1) -> bytes:  # type: ignore[override]
        found = []
        while data := self.read1(-1 if size is None else size):
            found.append(data)
            if size is not None and size >= 0:
                break
        return b"".join(found)
