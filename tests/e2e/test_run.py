"""`mlops-launch run` on a cluster: the training's exit code, the launcher's own, and what is kept of each try."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import workloads
from tests.e2e.cluster.kubectl import Kubectl
from tests.e2e.launching import Launcher

pytestmark = pytest.mark.usefixtures("small_image", "mpi_operator")

# Ranks of a real mpirun: each says where it is, and all end with one code.
RANKS = """
    import socket, sys
    from mpi4py import MPI
    world = MPI.COMM_WORLD
    told = world.gather(f"rank={world.rank} host={socket.gethostname()}")
    if told:
        print("\\n".join(told), flush=True)
    world.Barrier()
    sys.exit(%d)
"""
# As a training does: goes on until it is asked to save.
ENDLESS = """
    import signal, sys, time
    asked = []
    for number in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, lambda number, frame: asked.append(number))
    step = 0
    while not asked:
        step += 1
        print(f"step={step}/9999 loss=1.0", flush=True)
        time.sleep(0.2)
    print(f"saved step={step}", flush=True)
    sys.exit(143)
"""


@pytest.fixture
def launch(tmp_path: Path, kubectl: Kubectl, namespace: str) -> Iterator[Launcher]:
    with Launcher(tmp_path, kubectl, namespace) as launcher:
        yield launcher


@pytest.mark.parametrize("code", [0, 66])
def test_the_exit_code_of_the_ranks_is_that_of_run(launch: Launcher, tmp_path: Path, code: int) -> None:
    ended = launch("run", str(workloads.mpi_job(tmp_path / "overlay", RANKS % code)))
    assert ended.code == code, ended.stderr
    # mpirun may add a warning of its own, and ranks do not wait for each other.
    ranks = sorted(line for line in ended.stdout.splitlines() if line.startswith("rank="))
    assert ranks == ["rank=0 host=small-worker-0", "rank=1 host=small-worker-1"]
    (archive,) = launch.archives()
    assert sorted(path.name for path in archive.iterdir()) == ["events.jsonl", "plan.yaml", "pods", "result.json", "training.log"]
    assert (archive / "training.log").read_text() == ended.stdout
    assert sorted(path.name for path in (archive / "pods").iterdir()) == ["small-worker-0.log", "small-worker-1.log"]
    reasons = {json.loads(line)["reason"] for line in (archive / "events.jsonl").read_text().splitlines()}
    assert {"MPIJobCreated", "Scheduled", "Started"} <= reasons
    record = launch.record()
    assert (record["exit_code"], record["engine"], record["namespace"], record["try"]) == (code, "cluster", launch.namespace, 1)
    assert record["gaps"] == []


def test_a_pod_ends_run_with_its_code_too(launch: Launcher, tmp_path: Path) -> None:
    ended = launch("run", str(workloads.pod(tmp_path / "overlay", "print('hello')\nraise SystemExit(70)")))
    assert (ended.code, ended.stdout) == (70, "hello\n")
    assert "exit code 70: diverged" in ended.stderr


def test_a_time_limit_saves_and_exits_with_124(launch: Launcher, tmp_path: Path) -> None:
    ended = launch("run", str(workloads.pod(tmp_path / "overlay", ENDLESS)), "--timeout", "6")
    assert ended.code == 124
    assert ended.stdout.splitlines()[-1].startswith("saved step=")
    record = launch.record()
    assert (record["exit_code"], record["stopped_by"]) == (143, "timeout")


def test_an_image_that_is_not_there_is_named_and_nothing_stays(launch: Launcher, tmp_path: Path) -> None:
    overlay = workloads.mpi_job(tmp_path / "overlay", RANKS % 0, worker={"image": "e2e.local/missing:1"})
    before = launch.listing()
    ended = launch("run", str(overlay), "--start-timeout", "12")
    assert ended.code == 125
    assert "the image cannot be pulled for pod small-worker-0: e2e.local/missing:1" in ended.stderr
    assert "hint: correct REGISTRY and IMAGE_TAG" in ended.stderr
    assert launch.record()["exit_code"] == 125
    assert launch.listing() == before


def test_pods_that_may_not_be_made_are_explained_at_once(launch: Launcher, tmp_path: Path) -> None:
    overlay = workloads.mpi_job(tmp_path / "overlay", RANKS % 0, worker={"securityContext": {}})
    ended = launch("run", str(overlay))
    assert ended.code == 125
    assert "Pod Security refuses the pods" in ended.stderr


def test_a_namespace_or_a_claim_that_is_missing_is_named_before_anything_is_applied(launch: Launcher, tmp_path: Path) -> None:
    volumes = [{"name": "outputs", "persistentVolumeClaim": {"claimName": "outputs"}}]
    with_claim = workloads.pod(tmp_path / "claim", "pass")
    objects = (with_claim / "objects.yaml").read_text()
    (with_claim / "objects.yaml").write_text(objects.replace('"volumes": [', f'"volumes": [{json.dumps(volumes[0])}, '))
    before = launch.listing()
    ended = launch("run", str(with_claim))
    assert (ended.code, ended.stderr.splitlines()[0]) == (125, f"Error: no such claim in namespace {launch.namespace}: outputs")
    launch.namespace, own = "nowhere", launch.namespace
    ended = launch("run", str(workloads.pod(tmp_path / "overlay", "pass")))
    assert (ended.code, ended.stderr.splitlines()[0]) == (125, "Error: no such namespace: nowhere")
    launch.namespace = own
    assert launch.listing() == before
    assert launch.archives() == []


def test_a_rank_killed_for_memory_is_named_with_pod_and_limit_and_not_tried_again(launch: Launcher, tmp_path: Path) -> None:
    program = """
        from mpi4py import MPI
        world = MPI.COMM_WORLD
        world.Barrier()
        if world.rank == 1:
            held = bytearray(400 << 20)
            held[::4096] = b"x" * len(held[::4096])
        world.Barrier()
    """
    overlay = workloads.mpi_job(tmp_path / "overlay", program, worker={"resources": {"limits": {"memory": "200Mi"}}})
    ended = launch("run", str(overlay), "--retries", "2")
    assert ended.code == 137, ended.stderr
    assert "exit code 137: out of memory" in ended.stderr
    assert "pod small-worker-1 was killed for memory at its limit of 200Mi" in ended.stderr
    assert len(launch.archives()) == 1
    assert launch.record()["out_of_memory"] is True


def test_a_rank_that_was_killed_is_tried_again_and_each_try_is_kept(launch: Launcher, tmp_path: Path) -> None:
    overlay = workloads.mpi_job(tmp_path / "overlay", "import os; os.kill(os.getpid(), 9)")
    ended = launch("run", str(overlay), "--retries", "1")
    assert ended.code == 137
    assert [json.loads((folder / "result.json").read_text())["try"] for folder in launch.archives()] == [1, 2]
    assert "retrying: attempt 2" in ended.stderr


def test_ctrl_c_leaves_the_training_alone_and_says_how_to_come_back(launch: Launcher, tmp_path: Path) -> None:
    before = launch.listing()
    run = launch.start("run", str(workloads.pod(tmp_path / "overlay", ENDLESS)))
    run.wait_for("^step=3/")
    ended = run.end(signal.SIGINT, 5)
    assert ended.code == 130
    assert f"follow:   mlops-launch logs -f small-training -n {launch.namespace}" in ended.stderr
    assert f"delete:   mlops-launch delete small-training -n {launch.namespace}" in ended.stderr
    status = json.loads(launch("status", "small-training", "--json").stdout)
    assert (status["state"], status["exit_code"]) == ("running", None)
    follower = launch.start("logs", "-f", "small-training")
    last = follower.wait_for("^step=2[0-9]/")
    assert launch("delete", "small-training").code == 0
    followed = follower.end()
    assert followed.code == 0
    assert last in followed.stdout
    steps = [line.partition("/")[0] for line in followed.stdout.splitlines() if line.startswith("step=")]
    assert steps == [f"step={number}" for number in range(1, len(steps) + 1)]
    assert launch.listing() == before


def test_ctrl_c_deletes_when_asked_to(launch: Launcher, tmp_path: Path) -> None:
    before = launch.listing()
    run = launch.start("run", str(workloads.pod(tmp_path / "overlay", ENDLESS)), "--delete-on-interrupt")
    run.wait_for("^step=3/")
    assert run.end(signal.SIGINT).code == 130
    assert launch.listing() == before


def test_a_running_training_is_not_run_over_unless_asked_and_a_finished_one_is_run_again(launch: Launcher, tmp_path: Path) -> None:
    overlay = workloads.pod(tmp_path / "overlay", ENDLESS)
    detached = launch("run", str(overlay), "--detach")
    assert (detached.code, detached.stdout) == (0, "")
    again = launch("run", str(overlay))
    assert (again.code, again.stderr.splitlines()[-3]) == (
        125,
        f"Error: already running: Pod small-training in namespace {launch.namespace}",
    )
    (overlay / "program.py").write_text("print('anew')")
    replaced = launch("run", str(overlay), "--replace")
    assert (replaced.code, replaced.stdout) == (0, "anew\n")
    (overlay / "program.py").write_text("print('once more')")
    finished = launch("run", str(overlay))
    assert (finished.code, finished.stdout) == (0, "once more\n")
    assert "removing the finished Pod small-training" in finished.stderr
