"""Faults during a real training under `mlops-launch run --retries 2`: what may be retried ends by itself, as if nothing had been."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlops_launch.contract import ExitCode, parse_fields
from tests.e2e.cluster.operators import MPI_OPERATOR
from tests.e2e.launching import Launcher, Started
from tests.e2e.overlays import MULTI_NODE, QUICK, UID, Site

STEPS, CHECKPOINT_STEPS = 400, 10
TRAINING = QUICK | {
    "MLOPS_MAX_STEPS": str(STEPS),
    "MLOPS_EPOCHS": "100",
    "MLOPS_EVALUATION_EPOCHS": "0",
    "MLOPS_LOG_STEPS": "1",
    "MLOPS_CHECKPOINT_STEPS": str(CHECKPOINT_STEPS),
}
OUTPUT = "resnet50v1-5-multi-node"
KILL = "import os, pathlib; from common.entrypoint.worker import ranks; [os.kill(pid, 9) for pid in ranks(pathlib.Path('/proc'))]"

Fault = tuple[Callable[[Site, str], None], str, set[int]]
"""What happens, to which pod, and the exit codes that the try it happens to may have."""
SAVED = {int(ExitCode.INTERRUPTED)}
# mpirun hears of the killed rank, or of the connection that the other one has lost, first.
LOST = {int(ExitCode.KILLED), int(ExitCode.WORKER_LOST)}
GOES_ON = {int(ExitCode.SUCCESS)}


def name(site: Site, part: str) -> str:
    """The name of the pod whose name contains `part`."""
    pod = site.pod(part)
    assert pod is not None
    return str(pod["metadata"]["name"])


def delete(site: Site, part: str) -> None:
    site.cluster.kubectl("-n", site.namespace, "delete", "pod", name(site, part), "--wait=false")


def evict(site: Site, part: str) -> None:
    """As `kubectl drain` does."""
    pod = name(site, part)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": site.namespace}}
    path = f"/api/v1/namespaces/{site.namespace}/pods/{pod}/eviction"
    site.cluster.kubectl("create", "--raw", path, "-f", "-", text=json.dumps(eviction))


def kill_rank(site: Site, part: str) -> None:
    """SIGKILL to the one rank of a worker."""
    words = ("env", "PYTHONPATH=/workspace", "python3", "-c", KILL)
    site.cluster.kubectl("-n", site.namespace, "exec", name(site, part), "--", *words)


def restart(site: Site, namespace: str) -> None:
    """Deletes the operator's pod; its Deployment makes another."""
    site.cluster.kubectl("-n", namespace, "delete", "pods", "--all", "--wait=false")


def take_api_server_away(site: Site, _: str) -> None:
    """For half a minute."""
    site.cluster.stop("kube-apiserver", "KILL")
    try:
        time.sleep(30)
    finally:
        site.cluster.start("kube-apiserver")
        site.cluster.wait_ready()


LAUNCHER: list[Fault] = [(delete, "launcher", SAVED), (evict, "launcher", SAVED)]
WORKER: list[Fault] = [(evict, "worker-1", SAVED), (delete, "worker-0", SAVED), (take_api_server_away, "", GOES_ON)]
RANK: list[Fault] = [(kill_rank, "worker-1", LOST), (restart, MPI_OPERATOR.namespace, GOES_ON)]


@pytest.mark.parametrize(
    "faults",
    [LAUNCHER, WORKER, RANK],
    ids=["launcher-deleted-then-evicted", "worker-evicted-deleted-then-no-api-server", "rank-killed-then-operator-restarted"],
)
def test_tries_add_up_to_an_undisturbed_run(site: Site, site_launcher: Launcher, faults: list[Fault]) -> None:
    site.set(MULTI_NODE, **TRAINING)
    before = site_launcher.listing()
    run = site_launcher.start("run", MULTI_NODE, "--retries", "2")
    for number, (strike, target, _) in enumerate(faults, 1):
        wait_for_steps(site, run, number)
        strike(site, target)
    ended = run.end(seconds=180)
    assert ended.code == ExitCode.SUCCESS, ended.stderr

    records = [json.loads((archive / "result.json").read_text()) for archive in site_launcher.archives()]
    codes = [record["exit_code"] for record in records]
    allowed = [fault[2] for fault in faults if fault[2] != GOES_ON] + [GOES_ON]
    assert len(codes) == len(allowed)
    assert all(code in known for code, known in zip(codes, allowed, strict=True)), codes
    assert [record["try"] for record in records] == list(range(1, len(codes) + 1))
    assert [record["gaps"] for record in records] == [[]] * len(codes)
    logs = [(archive / "training.log").read_text() for archive in site_launcher.archives()]
    assert "".join(logs) == (site.outputs / OUTPUT / "launcher.log").read_text()
    # The log of a pod that is deleted goes with it: its end may come from the output volume, and was not seen on the terminal then.
    if "the archived log is whole" not in ended.stderr:
        assert "".join(logs) == ended.stdout
    for code, log, following in zip(codes, logs, logs[1:], strict=False):
        saved, done = resumed(following), steps(log)[-1]
        # Asked to stop, the ranks save where they are; killed, they lose the steps since the newest checkpoint.
        assert saved == done if code in SAVED else done - CHECKPOINT_STEPS <= saved <= done
        assert steps(following)[0] == saved + 1
    assert trained(site.outputs) == list(range(1, STEPS + 1))

    deleted = site_launcher("delete", MULTI_NODE)
    assert deleted.code == 0, deleted.stderr
    assert site_launcher.listing() == before
    site.cluster.kubectl("-n", MPI_OPERATOR.namespace, "rollout", "status", "deployment", "--timeout=90s")


def test_a_full_output_volume_is_not_tried_again_and_what_was_saved_is_of_use(site: Site, site_launcher: Launcher) -> None:
    site.set(MULTI_NODE, **TRAINING | {"MLOPS_KEEP_CHECKPOINTS": "1000"})
    before = site_launcher.listing()
    with small_volume(site, "1m") as (outputs, enlarge):
        ended = site_launcher.start("run", MULTI_NODE, "--retries", "2").end(seconds=180)
        assert ended.code == ExitCode.IO_ERROR, ended.stderr
        (archive,) = site_launcher.archives()
        assert site_launcher.record()["exit_code"] == ExitCode.IO_ERROR
        log = (archive / "training.log").read_text()
        assert log == ended.stdout
        error = next(line for line in log.splitlines() if line.startswith("error: "))
        assert error.endswith("No space left on device")
        newest = max((outputs / OUTPUT / "checkpoints").glob("step-*"))
        enlarge("64m")
        again = site_launcher.start("run", MULTI_NODE).end(seconds=180)
        assert again.code == ExitCode.SUCCESS, again.stderr
        assert newest.name == f"step-{resumed(again.stdout):08d}.safetensors"
        assert trained(outputs) == list(range(1, STEPS + 1))
        assert site_launcher("delete", MULTI_NODE).code == 0
    assert site_launcher.listing() == before


@contextmanager
def small_volume(site: Site, size: str) -> Iterator[tuple[Path, Callable[[str], None]]]:
    """Puts a file system of that size behind the claim `outputs`; gives its folder, and what changes its size."""
    sandbox = site.cluster.sandbox
    inside = f"/srv/mlops/{site.namespace}/outputs"
    sandbox.enter(["mount", "-t", "tmpfs", "-o", f"size={size},uid={UID},gid={UID},mode=755", "tmpfs", inside])
    try:
        enlarge = lambda size: sandbox.enter(["mount", "-o", f"remount,size={size}", inside])  # noqa: E731
        yield Path(f"/proc/{sandbox.pid}/root{inside}"), enlarge
    finally:
        sandbox.enter(["umount", "--lazy", inside])


def wait_for_steps(site: Site, run: Started, number: int) -> None:
    """Waits until the training that was started for the `number`-th time has taken steps beyond a checkpoint of its own."""
    copy = site.outputs / OUTPUT / "launcher.log"

    def look() -> bool:
        assert run.process.poll() is None, run.err.read_text()
        starts = copy.read_text().split("start comm=") if copy.exists() else []
        return len(starts) > number and len(steps(starts[number])) > 2 * CHECKPOINT_STEPS

    site.wait(look, f"steps of try {number}", 120)


def steps(log: str) -> list[int]:
    """The steps that a log tells."""
    return [int(line[5:].split("/")[0]) for line in log.splitlines() if line.startswith("step=")]


def resumed(log: str) -> int:
    """The step that a training went on from."""
    return int(parse_fields(next(line for line in log.splitlines() if line.startswith("resume ")))["step"])


def trained(outputs: Path) -> list[int]:
    """The steps in metrics.jsonl, in their order."""
    records = map(json.loads, (outputs / OUTPUT / "metrics.jsonl").read_text().splitlines())
    return [record["step"] for record in records if record["kind"] == "train"]
