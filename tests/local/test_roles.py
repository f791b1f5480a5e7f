"""A JobSet on this machine: each pod is a process, they find each other, and end together."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.local.conftest import REPOSITORY

NAME = "all-reduce"
OVERLAY = Path("quickstart/k8s/mlops/all-reduce")
QUICK = ("--env", "STEPS=4", "--env", "PAUSE_S=0.05")
SLOW = ("--env", "STEPS=2000", "--env", "PAUSE_S=0.05")
LINES = [*(f"step={n}/4 sum={3 * n}" for n in range(1, 5)), "result sum=12 step=4"]


@pytest.fixture
def package(tmp_path):
    """A copy of the overlay and its program that a test may edit."""
    shutil.copytree(REPOSITORY / "quickstart", tmp_path / "package/quickstart")
    for part in ("common", "models"):
        (tmp_path / "package" / part).mkdir()
    return tmp_path / "package"


def replace(path, *pairs):
    text = path.read_text()
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text)


def others(run):
    """The archived logs of the processes beside the coordinator."""
    return {path.stem: path.read_text().splitlines() for path in (run.archives()[-1] / "pods").glob("*.log")}


def programs(run):
    return [process.pid for process in run.processes() if "all_reduce.py" in process.command]


def test_the_workers_find_each_other_and_each_has_its_log(run_local, package):
    run = run_local(package / OVERLAY, *QUICK)
    assert run.wait() == 0, run.errors
    assert run.lines[0].startswith("start comm=sockets world_size=2 ranks=0:")
    assert (run.lines[1:], others(run)) == (LINES, {f"{NAME}-worker-1-0": LINES})
    record = run.result()
    assert (record["kind"], record["exit_code"], record["step"]["step"]) == ("JobSet", 0, 4)
    assert not (run.archives()[-1] / "scratch").exists()
    assert {path.stat().st_mode & 0o777 for path in (run.archives()[-1] / "pods").glob("*.log")} == {0o600}


def test_the_next_run_resumes(run_local, package):
    assert run_local(package / OVERLAY, *QUICK).wait() == 0
    run = run_local(package / OVERLAY, "--env", "STEPS=6", "--env", "PAUSE_S=0.05")
    assert run.wait() == 0
    assert run.lines[1:] == ["step=5/6 sum=15", "step=6/6 sum=18", "result sum=18 step=6"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_stops_all_of_them(run_local, package, number):
    run = run_local(package / OVERLAY, *SLOW)
    run.wait_for_line("^step=3/")
    assert len(programs(run)) == 2
    run.signal(number)
    assert run.wait() == 143
    assert run.processes() == []
    assert run.result()["stopped_by"] == "signal"


def test_a_worker_that_is_lost_ends_the_others(run_local, package):
    run = run_local(package / OVERLAY, *SLOW)
    run.wait_for_line("^step=3/")
    os.kill(programs(run)[-1], signal.SIGKILL)
    code = run.wait()
    # Whoever is seen first: the killed one, or the one that has lost it.
    assert code in (137, 255)
    assert code == 255 or f"{NAME}-worker-1-0 ended with exit code 137: the others are stopped" in run.lines
    run.wait_until_gone()


def test_a_permanent_failure_of_another_worker_is_the_runs(run_local, package):
    fails = "        if RANK == 1:\n            return 3\n        while step < STEPS:\n"
    slow = "            time.sleep(PAUSE_S + 5)\n"
    replace(package / "quickstart/all_reduce.py", ("        while step < STEPS:\n", fails), ("            time.sleep(PAUSE_S)\n", slow))
    run = run_local(package / OVERLAY, *SLOW, "--retries", "2")
    assert run.wait() == 3
    assert (len(run.archives()), run.result()["exit_code"]) == (1, 3)
    assert run.lines[-1] == f"{NAME}-worker-1-0 ended with exit code 3: the others are stopped"


def test_nothing_survives_a_launcher_that_is_killed(run_local, package):
    run = run_local(package / OVERLAY, *SLOW)
    run.wait_for_line("^step=3/")
    run.signal(signal.SIGKILL)
    run.wait_until_gone()


SERVERS = """\
import json, os, signal, sys, time
print(json.dumps({name: value for name, value in os.environ.items() if name in ("TF_CONFIG", "MASTER_ADDR", "RANK", "POD")}), flush=True)
if os.environ["POD"].startswith("all-reduce-ps-"):
    if os.environ.get("DEAF"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
time.sleep(2)
"""
CODES = ", ".join(map(str, range(1, 128)))
ROLE = """\
  - name: ps
    replicas: 2
    template:
      spec:
        backoffLimit: 0
        completions: 1
        parallelism: 1
        podFailurePolicy:
          rules:
          - action: FailJob
            onExitCodes: {operator: In, values: [CODES]}
        template:
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: 1
            securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
            automountServiceAccountToken: false
            containers:
            - name: ps
              image: registry.example.com/mlops/mlops-launch:0.1.0
              command: [python3, $(MODEL_DIR)/quickstart/all_reduce.py]
              securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
              resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi}}
              envFrom: [{configMapRef: {name: mlops-env}}]
              env:
              - {name: TF_CONFIG, value: ""}
              - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
              volumeMounts:
              - {name: outputs, mountPath: /outputs}
              - {name: passwd, mountPath: /etc/passwd, subPath: passwd, readOnly: true}
            volumes:
            - {name: outputs, persistentVolumeClaim: {claimName: outputs}}
            - {name: passwd, configMap: {name: passwd}}
"""


@pytest.fixture
def servers(package):
    """The overlay with two parameter servers that never end by themselves; every process prints what it was told."""
    (package / "quickstart/all_reduce.py").write_text(SERVERS)
    patch = package / OVERLAY / "jobset-patch.yaml"
    names = "              env:\n              - {name: TF_CONFIG, value: ''}\n"
    names += "              - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}\n"
    replace(patch, ("            - name: worker\n", f"            - name: worker\n{names}"))
    patch.write_text(patch.read_text() + ROLE.replace("CODES", CODES))
    return package / OVERLAY


@pytest.mark.parametrize("deaf", [False, True])
def test_servers_end_with_the_workers_and_all_are_told_the_same_cluster(run_local, servers, deaf):
    run = run_local(servers, *(["--env", "DEAF=1"] if deaf else []))
    run.wait_for_line("TF_CONFIG")
    assert run.wait() == 0, run.errors
    assert run.processes() == []
    told = {f"{NAME}-worker-0-0": json.loads(run.lines[0]), **{name: json.loads(lines[0]) for name, lines in others(run).items()}}
    assert sorted(told) == [f"{NAME}-{role}-{index}-0" for role in ("ps", "worker") for index in range(2)]
    configs = {name: json.loads(each["TF_CONFIG"]) for name, each in told.items()}
    [cluster] = {json.dumps(config["cluster"]) for config in configs.values()}
    addresses = [address for role in json.loads(cluster).values() for address in role]
    assert {role: len(found) for role, found in json.loads(cluster).items()} == {"ps": 2, "worker": 2}
    assert {address.split(":")[0] for address in addresses} == {"127.0.0.1"}
    assert len(set(addresses)) == 4
    assert {name: config["task"] for name, config in configs.items()} == {
        f"{NAME}-{role}-{index}-0": {"type": role, "index": index} for role in ("ps", "worker") for index in range(2)
    }
    assert {each["POD"] for each in told.values()} == set(told)
    assert told[f"{NAME}-worker-0-0"]["MASTER_ADDR"] == "127.0.0.1"
