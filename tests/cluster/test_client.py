"""The client of the API server: pages, kinds that it has to ask for, refusals in words, patience, streams that end and break."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any

import pytest
import urllib3

from mlops_launch.clients.cluster import Cluster
from mlops_launch.clients.host import Host
from mlops_launch.clients.process import Processes
from mlops_launch.clients.refusals import ApiError, Disconnected
from mlops_launch.errors import LauncherError, ProcessError
from tests.cluster.sim import words
from tests.cluster.sim.api import Kind
from tests.cluster.sim.wire import Faults
from tests.cluster.sim.world import World

PODS = "/api/v1/namespaces/team/pods"


@pytest.fixture
def cluster(world: World) -> Cluster:
    return world.connect()


def fill(world: World, count: int) -> None:
    for number in range(count):
        world.api.create({"kind": "ConfigMap", "metadata": {"name": f"c{number:04d}"}})


def test_a_list_comes_in_pages(world: World, cluster: Cluster) -> None:
    fill(world, 1201)
    found = cluster.list("/api/v1/namespaces/team/configmaps")
    assert [item["metadata"]["name"] for item in found] == [f"c{number:04d}" for number in range(1201)]
    assert len(world.api.requests) == 3


def test_a_kind_is_asked_for_once(world: World, cluster: Cluster) -> None:
    world.api.kinds.append(Kind("jobset.x-k8s.io/v1alpha2", "JobSet", "jobsets"))
    assert [cluster.path("jobset.x-k8s.io/v1alpha2", "JobSet", "x") for _ in range(2)] == [
        "/apis/jobset.x-k8s.io/v1alpha2/namespaces/team/jobsets/x"
    ] * 2
    assert cluster.path("v1", "Namespace", "x") == "/api/v1/namespaces/x"
    assert len(world.api.requests) == 2
    assert (cluster.knows("jobset.x-k8s.io/v1alpha2", "JobSet"), cluster.knows("v1", "Poodle"), cluster.knows("x.y/v1", "Z")) == (
        True, False, False,
    )  # fmt: skip


def test_a_delete_of_another_object_or_of_none_deletes_nothing(world: World, cluster: Cluster) -> None:
    fill(world, 1)
    path = "/api/v1/namespaces/team/configmaps/c0000"
    assert (cluster.delete(path, "another"), cluster.delete(f"{path}9")) == (False, False)
    assert (cluster.delete(path), cluster.find(path)) == (True, None)


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (words.unauthorized(), "does not know this user|not authenticated"),
        (words.forbidden("list", "pods", "", "team"), 'User "dev" cannot list resource "pods"'),
        (words.not_found("pods", "", "x"), 'not found: pods "x" not found'),
        (words.invalid("Pod", "", "x", "spec: Required"), 'refuses the object: Pod "x" is invalid'),
        (words.expired(), "answered 410"),
        (words.too_many(), "answered 429: Too many requests"),
        (words.internal(), "answered 500: Internal error occurred"),
        (words.proxy(), "answered 502: <html>"),
        (words.timeout(), "answered 504: Timeout"),
        (words.plain(403, b""), f"{PODS}"),
        (words.quota("x"), "quota is used up"),
        (words.quota_demands("x"), "quota demands"),
        (words.pod_security("x"), "Pod Security"),
    ],
)
def test_a_refusal_says_what_the_server_says(world: World, cluster: Cluster, refusal: words.Refused, message: str) -> None:
    world.api.admission.append(lambda request: refusal)
    with pytest.raises(ApiError, match=f"(?s){message}" if "|" in message else re.escape(message)) as caught:
        cluster.get(PODS)
    assert caught.value.status == refusal.status
    assert "\n" not in caught.value.message


def test_a_busy_server_is_asked_again_for_twenty_seconds_and_others_as_long_as_patience_lasts(world: World, cluster: Cluster) -> None:
    world.api.admission.append(lambda request: words.too_many())
    with pytest.raises(ApiError):
        cluster.get(PODS)
    assert 1000 + 15 < world.host.monotonic() < 1000 + 21
    world.api.admission[0] = lambda request: words.internal() if world.host.monotonic() < 1300 else None
    assert cluster.patient(600).get(PODS)["items"] == []


class Broken(Faults):
    """Every request fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def before(self, method: str, path: str, query: dict[str, str], read_s: float | None) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (urllib3.exceptions.SSLError("certificate verify failed: unable to get local issuer certificate"), "certificate verify failed"),
        (urllib3.exceptions.ProtocolError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer")), "aborted"),
        (urllib3.exceptions.NewConnectionError(None, "x: [Errno 111] Connection refused"), "Connection refused"),  # type: ignore[arg-type]
        (ssl.SSLError("bad"), "bad"),
        (OSError(101, "Network is unreachable"), "Network is unreachable"),
    ],
)
def test_a_server_that_cannot_be_reached(world: World, cluster: Cluster, error: Exception, message: str) -> None:
    world.wire.faults = Broken(error)
    with pytest.raises(Disconnected, match=f"cannot reach the cluster at https://cluster.example.com:6443: .*{re.escape(message)}"):
        cluster.get(PODS)


@pytest.mark.parametrize("body", [words.LOGIN_PAGE, b"", b"[1]", b'"text"', b"\xff\xfe"])
def test_an_answer_that_is_not_an_api_servers_says_so(world: World, cluster: Cluster, body: bytes) -> None:
    world.api.admission.append(lambda request: words.plain(200, body))
    with pytest.raises(Disconnected, match="the answer is not an API server's: /api/v1/namespaces/team/pods"):
        cluster.get(PODS)


def test_a_stream_ends_breaks_and_can_be_closed(world: World, cluster: Cluster) -> None:
    stream = cluster.open(PODS, 30.0, watch="1", resourceVersion=str(world.api.version), timeoutSeconds="20")
    assert stream.read() == b""
    stream = cluster.open(PODS, 30.0, watch="1", resourceVersion=str(world.api.version))
    world.host.after(5, lambda: world.wire.hit(ConnectionResetError(104, "Connection reset by peer")))
    with pytest.raises(Disconnected, match="the connection broke"):
        stream.read()
    stream = cluster.open(PODS, 30.0, watch="1", resourceVersion=str(world.api.version))
    world.host.after(5, stream.close)
    try:
        assert stream.read() == b""
    except Disconnected:
        pass
    stream.close()
    with pytest.raises(Disconnected):
        cluster.open(PODS, 30.0, watch="1", resourceVersion=str(world.api.version)).read()


def test_the_machine_itself(tmp_path: Path) -> None:
    """What the simulated machine stands for."""
    host = Host()
    event, queue, began = host.event(), host.queue(1), host.monotonic()
    thread = host.start_thread("test", lambda: (queue.put(host.name()), event.set()) and None)  # type: ignore[func-returns-value]
    assert (event.wait(10), queue.get(timeout=10), thread.join(10)) == (True, host.name(), None)
    with host.condition() as condition:
        assert condition is True or condition is None
    host.sleep(0.01)
    assert 0 < host.monotonic() - began < 10
    pid, started = host.own_process()
    assert (host.process_started(pid), host.process_started(2**22 + 1)) == (started, None)
    assert host.memory_kills() >= 0 and host.shared_memory().name == f"mlops-launch-{pid}"
    host.remove_left_memory()


def test_other_programs(tmp_path: Path) -> None:
    processes = Processes()
    sh = processes.find("sh", "")
    with pytest.raises(LauncherError, match="program not found on PATH: `no-such-program`"):
        processes.find("no-such-program", "install it")
    assert processes.run([sh, "-c", "cat; exit 3"], input="x", check=False).stdout == "x"
    with pytest.raises(ProcessError, match="`.*sh` ended with exit code 3: bad"):
        processes.run([sh, "-c", "echo bad >&2; exit 3"])
    assert [done.stdout for done in processes.run_together([sh, "-c", "echo 1"], [sh, "-c", "echo 2"])] == ["1\n", "2\n"]
    with (tmp_path / "out").open("wb") as out:
        processes.run_into(out, [sh, "-c", "echo here"])
        assert out.tell() == 5
        with pytest.raises(ProcessError):
            processes.run_into(out, [sh, "-c", "exit 1"])
    with pytest.raises(LauncherError, match="cannot start"):
        processes.start([str(tmp_path / "nothing")], env={}, cwd=tmp_path)
    running = processes.start([sh, "-c", "sleep 60"], env={}, cwd=tmp_path)
    assert running.pid in processes.session(running.pid)
    processes.kill([*processes.session(running.pid), 2**22 + 1])
    assert running.wait(10) == -9
    assert running.stdout is not None
    running.stdout.close()
