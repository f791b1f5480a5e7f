"""The wire: the real client's requests reach the server in memory, and answers come back as urllib3's own responses."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import urllib3
from kubernetes import client

from tests.cluster.sim.api import AGAIN, Answer, ApiServer, Source
from tests.cluster.sim.clock import Simulation

ADDRESS = "https://cluster.example.com:6443"


class Wire:
    """Stands where urllib3's pool of connections stands.

    Args:
        api: answers.
        faults: what goes wrong: `before` may raise, or answer in the server's place; `body` may change a body's bytes.
    """

    def __init__(self, host: Simulation, api: ApiServer, faults: Faults | None = None) -> None:
        self.host, self.api, self.faults = host, api, faults or Faults()

    def client(self) -> client.ApiClient:
        """The `kubernetes` client over this wire."""
        settings = client.Configuration()
        settings.host, settings.retries = ADDRESS, False
        found = client.ApiClient(settings)
        found.rest_client.pool_manager = self
        return found

    def request(self, method: str, url: str, timeout: Any = None, headers: Any = None, body: Any = None, **more: Any) -> Any:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        read_s = timeout.read_timeout if timeout is not None else None
        self.host.sleep(self.faults.delay())
        answer = self.faults.before(method, parts.path, query, read_s)
        if answer is None:
            answer = self.api.handle(method, parts.path, query, body, headers.get("Content-Type", ""))
        return response(self.host, answer, read_s, self.faults.body(method, parts.path, query))

    def clear(self) -> None:
        """Called when the client is closed."""


class Faults:
    """A wire without any: what else there is inherits from it."""

    def delay(self) -> float:
        """Seconds until the server hears of a request."""
        return 0.003

    def before(self, method: str, path: str, query: dict[str, str], read_s: float | None) -> Answer | None:
        return None

    def body(self, method: str, path: str, query: dict[str, str]) -> Damage | None:
        return None


class Damage:
    """What happens to one body: called for each piece; may raise as a broken connection does, return less, or nothing."""

    def __call__(self, data: bytes) -> bytes:
        return data


def response(host: Simulation, answer: Answer, read_s: float | None, damage: Callable[[bytes], bytes] | None) -> urllib3.HTTPResponse:
    """An answer as urllib3 hands it out."""
    body = Body(host, answer.body, read_s, damage)
    connection: Any = SimpleNamespace(close=body.close)
    return urllib3.HTTPResponse(
        body=body, headers=answer.headers, status=answer.status, preload_content=False, connection=connection, sock_shutdown=body.shutdown
    )  # type: ignore[arg-type]


class Body(io.RawIOBase):
    """A body as http.client has it: `read` and `read1` wait for what comes."""

    def __init__(self, host: Simulation, content: bytes | Source, read_s: float | None, damage: Callable[[bytes], bytes] | None) -> None:
        self._host, self._source, self._read_s, self._damage = host, content, read_s, damage
        self._rest = b""
        self._over = False
        self._shut = False
        if isinstance(content, bytes):
            self._rest, self._over = content, True

    def readable(self) -> bool:
        return True

    def shutdown(self, how: int) -> None:
        self._shut = True

    def _ready(self) -> bool:
        return self._shut or self._source.ready()  # type: ignore[union-attr]

    def read1(self, size: int = -1) -> bytes:
        until = None if self._read_s is None else self._host.monotonic() + self._read_s
        while not self._rest and not self._over:
            left = None if until is None else until - self._host.monotonic()
            if not self._ready() and not self._host.wait(self._ready, left):
                raise TimeoutError("The read operation timed out")
            if self._shut:
                return b""
            found = self._source.take()  # type: ignore[union-attr]
            if found == AGAIN:
                continue
            self._rest, self._over = found, not found
        size = len(self._rest) if size is None or size < 0 else size
        data, self._rest = self._rest[:size], self._rest[size:]
        if self._damage is not None and data:
            kept = self._damage(data)
            if not kept:
                self._over, self._rest = True, b""
            return kept
        return data

    def read(self, size: int | None = -1) -> bytes:  # type: ignore[override]
        found = []
        while data := self.read1(-1 if size is None else size):
            found.append(data)
            if size is not None and size >= 0:
                break
        return b"".join(found)
