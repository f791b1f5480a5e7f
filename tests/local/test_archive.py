"""What a run leaves in .mlops/runs, and how `ls`, `status` and `logs` show it, also while it runs."""

from __future__ import annotations

import json
import stat
import subprocess
import sys

import yaml

FAST = ("--env", "MLOPS_TEST_STEPS=4", "--env", "MLOPS_TEST_STEP_S=0")


def test_plan_log_and_result_are_kept_for_their_owner_only(run_local, multi_node, tmp_path, output):
    run = run_local(multi_node, *FAST)
    assert run.wait() == 0, run.errors
    (folder,) = run.archives()
    assert sorted(path.name for path in folder.iterdir()) == ["plan.yaml", "result.json", "training.log"]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / ".mlops", folder, folder.parent, *folder.iterdir())}
    assert {path: mode for path, mode in modes.items() if mode & 0o077} == {}
    assert (folder / "training.log").read_bytes() == run.output == (output / "launcher.log").read_bytes()
    assert "MPIJob" in [item["kind"] for item in yaml.safe_load_all((folder / "plan.yaml").read_text())]
    record = run.result()
    moments = {key: record.pop(key) for key in ("started", "ended", "pid", "pid_started", "host")}
    assert moments["started"] < moments["ended"]
    assert record == {
        "schema": 1, "name": "resnet50v1-5", "kind": "MPIJob", "overlay": str(multi_node), "output": str(output), "try": 1,
        "exit_code": 0, "exit_name": "success", "stopped_by": None, "out_of_memory": False, "saved": False,
        "error": None, "error_hint": None, "engine": "local",
        "step": {"step": 4, "steps": 4, "epoch": 1, "loss": 0.5, "top1": 1.0, "lr": 0.1, "images_per_s": 12.5, "eta_s": 0},
        "evaluation": {}, "result": {"top1": 1.0, "step": 4, "world_size": 2},
    }  # fmt: skip


def test_git_ignores_the_archive(run_local, multi_node, tmp_path):
    assert run_local(multi_node, *FAST).wait() == 0
    assert (tmp_path / ".mlops" / ".gitignore").read_text() == "*\n"


def test_another_terminal_sees_a_run_while_it_runs(run_local, call, multi_node, environment, tmp_path):
    run = run_local(multi_node, "--env", "MLOPS_TEST_STEPS=60")
    run.wait_for_line("^step=3/")
    argv = [sys.executable, "-m", "mlops_launch", "logs", "-f"]
    follower = subprocess.Popen(argv, cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    status = call("status").stdout.splitlines()
    assert status[1].startswith("state:     running on ")
    assert [line for line in status if line.startswith("step:")][0].endswith("/60")
    assert json.loads(call("ls", "--json").stdout)["runs"][0]["state"] == "running"
    followed, _ = follower.communicate(timeout=60)
    assert follower.returncode == 0
    assert run.wait() == 0
    assert followed == run.output


def test_ls_status_and_logs_of_two_runs(run_local, call, multi_node):
    first, second = run_local(multi_node, *FAST, "--env", "MLOPS_TEST_EXIT=66"), None
    assert first.wait() == 66
    second = run_local(multi_node, *FAST)
    assert second.wait() == 0, second.errors
    times = [folder.name for folder in second.archives()]

    listed = call("ls").stdout.splitlines()
    assert [line.split()[:4] for line in listed] == [
        ["NAME", "RUN", "STATE", "EXIT"], ["resnet50v1-5", times[0], "failed", "66"], ["resnet50v1-5", times[1], "succeeded", "0"],
    ]  # fmt: skip
    assert call("logs").stdout == second.output.decode()
    assert call("logs", "resnet50v1-5", "--run", times[0]).stdout == first.output.decode()
    shown = json.loads(call("status", "--run", times[0], "--json").stdout)
    assert (shown["schema"], shown["run"], shown["state"], shown["exit_name"]) == (1, times[0], "failed", "no data")


def test_verbs_without_runs(call):
    listed = call("ls")
    assert (listed.returncode, listed.stdout, listed.stderr) == (0, "", "no runs in .mlops/runs\n")
    assert json.loads(call("ls", "--json").stdout) == {"schema": 1, "runs": []}
    for verb in ("status", "logs"):
        ended = call(verb)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr == "Error: no run in: .mlops/runs\n\nhint: `mlops-launch run OVERLAY --local` creates one\n"
