"""A streamed answer over a real connection: all that was sent comes, in order; its end, a break and silence are told apart."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from mlops_launch.clients.chunks import Chunks
from mlops_launch.clients.refusals import Disconnected
from mlops_launch.clients.stream import Stream

Send = Callable[[socket.socket], None]


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    return b"%x%s\r\n%s\r\n" % (len(data), extension, data)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.sampled_from([b"", b";a=b"]))), st.integers(1, 50), st.booleans())
def test_chunks_hold_what_was_sent_wherever_the_stream_is_cut(sent: list[tuple[bytes, bytes]], size: int, ends: bool) -> None:
    stream = b"".join(chunk(data, extension) for data, extension in sent) + (b"0\r\n\r\n" if ends else b"")
    chunks = Chunks()
    found = [chunks.feed(stream[begin : begin + size]) for begin in range(0, len(stream), size)]
    assert b"".join(found) == b"".join(data for data, _ in sent)
    assert chunks.ended == ends


def test_a_chunk_comes_as_far_as_it_has_come() -> None:
    chunks = Chunks()
    assert [chunks.feed(data) for data in (b"5", b"\r\nab", b"c", b"de", b"\r", b"\n1\r\nx\r\n")] == [b"", b"ab", b"c", b"de", b"", b"x"]


@pytest.mark.parametrize("data", [b"x\r\n", b"-5\r\nabc", b"\r\n", b"3\r\nabcd\r\nefgh\r\n", b"1" * 10_000])
def test_what_is_not_chunked_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        Chunks().feed(data)


@pytest.fixture
def answered() -> Iterator[Callable[[Send, float], Stream]]:
    """Asks a server, which says that its answer is chunked and then sends what it is told to."""
    pool, server = urllib3.PoolManager(), socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def ask(send: Send, read_s: float = 30.0) -> Stream:
        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                send(connection)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        port = server.getsockname()[1]
        timeout = urllib3.Timeout(connect=10.0, read=read_s)
        return Stream(pool.request("GET", f"http://127.0.0.1:{port}/", preload_content=False, retries=False, timeout=timeout))

    yield ask
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    server.close()
    pool.clear()


Ask = Callable[..., Stream]


def silent(done: threading.Event) -> None:
    assert done.wait(30)


def rest_of(stream: Stream) -> bytes:
    return b"".join(iter(stream.read, b""))


LINES = [b"%06d %s\n" % (number, b"x" * 90) for number in range(20_000)]


def test_lines_that_come_quickly_come_together_and_in_order(answered: Ask) -> None:
    def send(connection: socket.socket) -> None:
        for line in LINES:
            connection.sendall(chunk(line))
        connection.sendall(b"0\r\n\r\n")

    stream = answered(send)
    pieces = list(iter(stream.read, b""))
    assert b"".join(pieces) == b"".join(LINES)
    assert len(pieces) < len(LINES) / 20
    assert stream.read() == b"", "the end is the end"
    stream.close()


def test_a_line_comes_while_nothing_follows_it(answered: Ask) -> None:
    done = threading.Event()

    def send(connection: socket.socket) -> None:
        connection.sendall(chunk(b"one\n"))
        assert done.wait(30)
        connection.sendall(chunk(b"two\n") + b"0\r\n\r\n")

    stream = answered(send)
    assert stream.read() == b"one\n"
    done.set()
    assert rest_of(stream) == b"two\n"
    stream.close()


@pytest.mark.parametrize("last", [b"", b"4\r\nth", b"4\r\nthr\n", b"4"])
def test_a_connection_that_breaks_is_no_end_and_what_had_come_is_kept(answered: Ask, last: bytes) -> None:
    stream = answered(lambda connection: connection.sendall(chunk(b"one\n") + chunk(b"two\n") + last))
    found = b""
    with pytest.raises(Disconnected):
        while True:
            found += stream.read()
    assert found == b"one\ntwo\n" + last[3:7]
    stream.close()


def test_silence_ends_after_its_time(answered: Ask) -> None:
    done = threading.Event()
    stream = answered(lambda connection: silent(done), 0.1)
    with pytest.raises(Disconnected, match="timed out"):
        stream.read()
    done.set()
    stream.close()


def test_a_read_that_waits_returns_when_another_thread_closes_the_stream(answered: Ask) -> None:
    done, ended = threading.Event(), threading.Event()
    stream = answered(lambda connection: silent(done))

    def read() -> None:
        with pytest.raises(Disconnected):
            stream.read()
        ended.set()

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(0.2)
    stream.close()
    assert ended.wait(10)
    done.set()
    reader.join()
