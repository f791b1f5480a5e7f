"""`run` on a cluster: the exit code is the training's, its log is stdout and the archive's, nothing is left unsaid."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import Call, archived, run_folders
from tests.cluster.sim.nodes import OOM, Script
from tests.cluster.sim.scripts import ENDLESS, LINES, TRAINS, fails
from tests.cluster.sim.world import GOLDEN, MULTI, SINGLE, World

RENDERED = yaml.safe_load_all((GOLDEN / f"{MULTI.replace('/', '.')}.yaml").read_text())
APPLIED = sorted(f"{item['kind']} {item['metadata']['name']}" for item in RENDERED)


@pytest.mark.parametrize("overlay", [MULTI, SINGLE])
def test_a_training_that_succeeds(call: Call, world: World, folder: Path, overlay: str) -> None:
    ended = call("run", overlay)
    assert (ended.exit_code, ended.stdout.splitlines()) == (0, LINES)
    assert "succeeded after" in ended.stderr and "Warning" not in ended.stderr
    [record] = archived(folder, "resnet50v1-5" if overlay == MULTI else "resnet50v1-5-training")
    assert (record["engine"], record["namespace"], record["context"], record["host"]) == ("cluster", "team", "test", "laptop")
    assert (record["exit_code"], record["exit_name"], record["stopped_by"], record["gaps"]) == (0, "success", None, [])
    assert (record["step"]["step"], record["result"]["top1"]) == (4, 0.9)
    assert record["uid"] == world.api.all("MPIJob" if overlay == MULTI else "Pod")[0]["metadata"]["uid"]


def test_the_archive_has_the_plan_the_log_the_workers_logs_and_the_events(call: Call, world: World, folder: Path) -> None:
    call("run", MULTI)
    [run] = run_folders(folder)
    files = sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())
    workers = [f"pods/resnet50v1-5-worker-{n}.log" for n in (0, 1)]
    assert files == ["events.jsonl", "plan.yaml", *workers, "result.json", "training.log"]
    assert (run / "training.log").read_text().splitlines() == LINES
    assert [(run / name).read_text() for name in workers] == ["sshd listens on port 2222\n"] * 2


def test_what_was_applied_stays_when_it_has_ended(call: Call, world: World) -> None:
    call("run", MULTI)
    world.host.run(60)
    assert set(APPLIED) <= set(world.names())
    assert [name for name in world.names("Pod") if "worker" in name] == []


def test_the_last_line_may_have_no_end(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [Script([(0.5, "start comm=x"), (0.5, "result top1=1.0")], whole=False)]
    assert call("run", MULTI).stdout.splitlines() == ["start comm=x", "result top1=1.0"]


@pytest.mark.parametrize("overlay", [MULTI, SINGLE])
@pytest.mark.parametrize("code", [1, 64, 66, 74, 78, 126, 139, 143, 255])
def test_the_exit_code_is_the_trainings(call: Call, world: World, folder: Path, overlay: str, code: int) -> None:
    world.kubelet.scripts = [fails(code)]
    ended = call("run", overlay)
    assert (ended.exit_code, ended.stdout.splitlines()) == (code, LINES[:2])
    assert f"exit code {code}:" in ended.stderr
    [record] = archived(folder, "resnet50v1-5" if overlay == MULTI else "resnet50v1-5-training")
    assert (record["exit_code"], record["out_of_memory"]) == (code, False)


def test_a_training_whose_start_a_late_watch_has_not_shown_is_not_deleted(call: Call, world: World) -> None:
    world.api.lag, world.times.pull = 20.0, 5.0
    # The worker's end is shown 4 s before the launcher's start, and both after they have happened.
    world.host.after(7.0, lambda: world.kubelet.evict(world.api.get("Pod", "resnet50v1-5-worker-0") or {}))
    ended = call("run", MULTI)
    assert (ended.exit_code, ended.stdout.splitlines()) == (0, LINES)
    assert world.api.get("MPIJob", "resnet50v1-5") is not None


def test_only_the_result_is_printed_when_asked(call: Call) -> None:
    assert call("run", MULTI, "--quiet").stdout == LINES[-1] + "\n"


def test_a_dry_run_asks_the_cluster_nothing(call: Call, world: World, folder: Path) -> None:
    ended = call("run", MULTI, "--dry-run")
    assert ended.exit_code == 0
    assert "# 4. apply MPIJob resnet50v1-5 in namespace team of context test" in ended.stdout.splitlines()
    assert (world.api.requests, (folder / ".mlops").exists()) == ([], False)


def test_the_context_and_the_namespace_of_the_command_line_are_used(call: Call, world: World, folder: Path) -> None:
    world.api.create({"kind": "Namespace", "metadata": {"name": "other"}}, None)
    for claim in ("datasets", "outputs"):
        world.api.create({"kind": "PersistentVolumeClaim", "metadata": {"name": claim}}, "other")
    assert call("run", MULTI, "--context", "prod", "-n", "other").exit_code == 0
    assert world.contexts == [("prod", "other")]
    assert [job["metadata"]["namespace"] for job in world.api.all("MPIJob")] == ["other"]
    assert [(record["context"], record["namespace"]) for record in archived(folder)] == [("prod", "other")]


def test_an_overlay_with_a_namespace_of_its_own_cannot_be_sent_elsewhere(call: Call, world: World) -> None:
    world.programs.changes = {"  name: mlops\n": "  name: mlops\n  namespace: mine\n"}
    ended = call("run", MULTI, "-n", "other")
    assert (ended.exit_code, world.api.requests) == (2, [])
    assert "mine" in ended.stderr


@pytest.mark.parametrize("overlay", [MULTI, SINGLE])
def test_a_trainer_without_a_result_has_not_succeeded(call: Call, world: World, folder: Path, overlay: str) -> None:
    world.kubelet.scripts = [Script([(1.0, LINES[0])], code=0)]
    ended = call("run", overlay, "--retries", "2")
    assert (ended.exit_code, "exit code 76: no result" in ended.stderr) == (76, True)


def test_a_script_of_ones_own_needs_no_result(call: Call, world: World, folder: Path) -> None:
    for script in (folder / "quickstart").glob("*.sh"):
        script.write_text("#!/bin/sh\necho hello\n")
    world.kubelet.scripts = [Script([(1.0, "hello")], code=0)]
    assert call("run", MULTI).exit_code == 0


# Tries


def test_another_try_begins_when_the_first_may_be_retried(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [fails(255), TRAINS]
    ended = call("run", MULTI, "--retries", "2")
    assert (ended.exit_code, ended.stdout.splitlines()) == (0, [*LINES[:2], *LINES])
    assert [(record["try"], record["exit_code"]) for record in archived(folder)] == [(1, 255), (2, 0)]
    assert len(world.api.all("MPIJob")) == 1


@pytest.mark.parametrize("code", [1, 66, 127])
def test_what_is_permanent_is_not_retried(call: Call, world: World, folder: Path, code: int) -> None:
    world.kubelet.scripts = [fails(code), TRAINS]
    assert call("run", MULTI, "--retries", "2").exit_code == code
    assert len(archived(folder)) == 1


def test_the_last_try_decides(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [fails(255), fails(143), fails(137)]
    assert call("run", MULTI, "--retries", "2").exit_code == 137
    assert [record["exit_code"] for record in archived(folder)] == [255, 143, 137]


def test_a_launcher_killed_for_memory_is_not_retried(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [Script([(1.0, LINES[0])], code=137, reason=OOM), TRAINS]
    ended = call("run", MULTI, "--retries", "2")
    assert ended.exit_code == 137
    [record] = archived(folder)
    assert (record["out_of_memory"], record["exit_name"]) == (True, "out of memory")
    assert "resnet50v1-5-launcher" in record["reason"] and "1Gi" in record["reason"]


@pytest.mark.parametrize("told_by", ["kubelet", "log"])
def test_a_worker_killed_for_memory_is_the_reason_of_a_lost_worker(call: Call, world: World, folder: Path, told_by: str) -> None:
    world.kubelet.scripts = [ENDLESS]
    line = "out-of-memory rank=1 limit=8589934592"
    lines = [(10.0, line)] if told_by == "log" else [(10.0, "bye")]
    script = Script(lines, code=137 if told_by == "kubelet" else 1, reason=OOM if told_by == "kubelet" else "Error")
    world.kubelet.workers["resnet50v1-5-worker-1"] = script
    ended = call("run", MULTI, "--retries", "2")
    [record] = archived(folder)
    assert (ended.exit_code, record["exit_code"], record["out_of_memory"]) == (137, 137, True)


def test_an_evicted_worker_is_named(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [ENDLESS]
    world.host.after(20, lambda: world.kubelet.evict(world.api.get("Pod", "resnet50v1-5-worker-0") or {}))
    ended = call("run", MULTI)
    assert ended.exit_code == 255
    [record] = archived(folder)
    assert record["exit_code"] == 255


def test_a_worker_evicted_for_what_it_wrote_is_not_tried_again_though_its_own_status_comes_too_late(
    call: Call, world: World, folder: Path
) -> None:
    """The ranks hear of it first and end the run; the operator deletes the worker before the kubelet has marked it."""
    said = 'Usage of EmptyDir volume "tmp" exceeds the limit "1Gi". '

    def evict() -> None:
        world.api.event(world.api.get("Pod", "resnet50v1-5-worker-1") or {}, "Evicted", said)
        launcher = next(running for running in world.kubelet.running.values() if world.kubelet.is_main(running.pod))
        world.kubelet.exit(launcher, 143)

    world.kubelet.scripts = [ENDLESS]
    world.host.after(20, evict)
    ended = call("run", MULTI, "--retries", "2")
    reason = f"pod resnet50v1-5-worker-1: Evicted: {said.strip()}"
    [record] = archived(folder)
    assert (ended.exit_code, record["exit_code"], record["reason"]) == (143, 143, reason)
    assert f"\nreason: {reason}\n\nhint: raise the emptyDir's sizeLimit" in ended.stderr


def test_an_evicted_pod_says_so(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [ENDLESS]
    world.host.after(20, lambda: world.kubelet.evict(world.api.all("Pod")[0]))
    assert call("run", SINGLE).exit_code == 137
    [record] = archived(folder, "resnet50v1-5-training")
    assert "low on resource: memory" in record["reason"]


def test_a_second_launcher_of_the_same_job_is_read_too(call: Call, world: World, folder: Path) -> None:
    world.programs.changes = {"    backoffLimit: 0\n": "    backoffLimit: 1\n"}
    world.operator.retries = 1
    world.kubelet.scripts = [fails(255), TRAINS]
    ended = call("run", MULTI)
    assert (ended.exit_code, ended.stdout.splitlines()) == (0, [*LINES[:2], *LINES])


# The end


def test_a_job_that_somebody_deletes_has_ended_and_is_not_retried(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [ENDLESS]
    world.host.after(30, lambda: world.api.delete(world.api.all("MPIJob")[0]))
    ended = call("run", MULTI, "--retries", "2")
    assert ended.exit_code == 143
    assert [record["reason"] for record in archived(folder)] == ["it was deleted"]


def test_the_container_is_believed_when_the_operator_is_away(call: Call, world: World, folder: Path) -> None:
    world.host.after(8, lambda: setattr(world.operator, "alive", False))
    world.kubelet.scripts = [Script([(10.0, LINES[0])], code=66)]
    assert call("run", MULTI).exit_code == 66
    assert world.host.monotonic() < 1000 + 120


def test_the_time_limit_saves_and_stops(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [ENDLESS]
    ended = call("run", MULTI, "--timeout", "60")
    [record] = archived(folder)
    assert (ended.exit_code, record["exit_code"], record["stopped_by"]) == (124, 143, "timeout")
    assert "time limit" in ended.stderr


def test_the_time_limit_ends_a_pod_and_a_job_that_waits(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [ENDLESS]
    assert call("run", SINGLE, "--timeout", "60").exit_code == 124
    world.kubelet.stays = lambda pod: {"phase": "Pending"}
    ended = call("run", MULTI, "--timeout", "60")
    assert (ended.exit_code, world.names("MPIJob")) == (124, [])


def test_a_training_that_succeeds_at_the_time_limit_has_succeeded(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [Script([(1.0, LINES[-1])], code=0)]
    world.operator.times.operator = 20.0
    assert call("run", MULTI, "--timeout", "43").exit_code == 0


# Leaving


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_leaves_it_running_and_says_how_to_come_back(call: Call, world: World, folder: Path, number: int) -> None:
    world.kubelet.scripts = [ENDLESS]
    world.host.after(30, lambda: world.host.interrupt(number))
    ended = call("run", MULTI)
    [record] = archived(folder)
    assert (ended.exit_code, record["exit_code"], record["stopped_by"]) == (130, None, "detached")
    assert "mlops-launch logs -f resnet50v1-5 -n team --context test" in ended.stderr
    assert "mlops-launch delete resnet50v1-5 -n team --context test" in ended.stderr
    assert len(world.names("Pod")) == 3


def test_an_interrupt_during_the_wait_leaves_too(call: Call, world: World, folder: Path) -> None:
    world.kubelet.stays = lambda pod: {"phase": "Pending"}
    world.host.after(30, world.host.interrupt)
    assert call("run", MULTI).exit_code == 130
    assert world.names("MPIJob") == ["MPIJob resnet50v1-5"]


def test_an_interrupt_saves_stops_and_deletes_when_asked(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [ENDLESS]
    world.host.after(30, world.host.interrupt)
    ended = call("run", MULTI, "--delete-on-interrupt")
    world.host.run(300)
    [record] = archived(folder)
    assert (ended.exit_code, record["exit_code"], record["stopped_by"]) == (130, 143, "signal")
    assert world.names() == []


def test_a_second_interrupt_leaves_at_once(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [Script(ENDLESS.lines, code=None, saves=100.0)]
    world.host.after(30, world.host.interrupt)
    world.host.after(40, world.host.interrupt)
    assert call("run", MULTI, "--delete-on-interrupt").exit_code == 130
    assert world.host.monotonic() < 1000 + 45


def test_detached_from_the_start(call: Call, world: World, folder: Path) -> None:
    ended = call("run", MULTI, "--detach")
    [record] = archived(folder)
    assert (ended.exit_code, ended.stdout, record["stopped_by"]) == (0, "", "detached")
    assert world.names() == APPLIED
