"""`status`, `ls`, `delete` and `gc` of jobs in a cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cluster.conftest import Call, archived
from tests.cluster.sim import words
from tests.cluster.sim.api import MPIJOB
from tests.cluster.sim.nodes import OOM, Script
from tests.cluster.sim.scripts import ENDLESS, fails
from tests.cluster.sim.world import MULTI, SINGLE, World

NAME, POD = "resnet50v1-5", "resnet50v1-5-training"


def status(call: Call, name: str = NAME) -> dict[str, object]:
    ended = call("status", name, "-n", "team", "--json")
    assert ended.exit_code == 0, ended.stderr
    return dict(json.loads(ended.stdout))


def test_a_job_from_waiting_to_its_end(call: Call, world: World, folder: Path) -> None:
    world.kubelet.stays = lambda pod: {"phase": "Pending"}
    call("run", MULTI, "--detach")
    world.host.run(5)
    found = status(call)
    assert (found["state"], found["exit_code"], bool(found["waiting_for"])) == ("waiting", None, True)
    world.kubelet.stays = lambda pod: None
    world.kubelet.scripts = [Script([(10.0, "a")], code=66)]
    world.host.run(8)
    found = status(call)
    assert (found["state"], found["waiting_for"]) == ("running", [])
    world.host.run(60)
    found = status(call)
    assert (found["state"], found["exit_code"], found["exit_name"]) == ("failed", 66, "no data")
    assert "exit code: 66 (no data)" in call("status", NAME, "-n", "team").stdout


def test_a_pod_killed_for_memory_and_a_suspended_job(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [Script([(1.0, "a")], code=137, reason=OOM)]
    call("run", SINGLE, "--detach")
    world.host.run(30)
    assert status(call, POD)["exit_name"] == "out of memory"
    assert "was killed at its limit" in call("status", POD, "-n", "team").stdout
    world.programs.changes = {"    backoffLimit: 0\n": "    backoffLimit: 0\n    suspend: true\n"}
    call("run", MULTI, "--detach")
    world.host.run(5)
    assert status(call)["state"] == "suspended"


def test_watching_ends_with_the_job(call: Call, world: World, folder: Path) -> None:
    call("run", MULTI, "--detach")
    ended = call("status", NAME, "-n", "team", "--watch")
    assert (ended.exit_code, ended.stdout.count("succeeded") >= 1) == (0, True)


def test_the_state_says_something_though_events_may_not_be_listed(call: Call, world: World, folder: Path) -> None:
    world.kubelet.stays = lambda pod: {"phase": "Pending"}
    world.api.denied.add(("list", "events"))
    call("run", MULTI, "--detach")
    world.host.run(5)
    assert status(call)["state"] == "waiting"


def test_all_jobs_are_listed(call: Call, world: World, folder: Path) -> None:
    assert "no " in call("ls", "--cluster").stderr and "no " in call("ls", "-A").stderr
    world.kubelet.scripts = [fails(78), ENDLESS]
    call("run", MULTI, "--detach")
    world.host.run(30)
    call("run", SINGLE, "--detach")
    world.host.run(300)
    rows = [line.split() for line in call("ls", "-n", "team").stdout.splitlines()]
    assert rows[0] == ["NAMESPACE", "NAME", "KIND", "STATE", "EXIT", "AGE"]
    assert [row[1:5] for row in rows[1:]] == [[NAME, "MPIJob", "failed", "78"], [POD, "Pod", "running", "-"]]
    assert len(json.loads(call("ls", "-A", "--json").stdout).popitem()[1]) == 2


def test_a_cluster_without_the_operator_has_pods(call: Call, world: World, folder: Path) -> None:
    call("run", SINGLE, "--detach")
    world.api.kinds.remove(MPIJOB)
    assert POD in call("ls", "--cluster").stdout


@pytest.mark.parametrize("target", [MULTI, NAME])
def test_everything_goes_but_claims(call: Call, world: World, folder: Path, target: str) -> None:
    world.kubelet.scripts = [ENDLESS]
    call("run", MULTI, "--detach")
    world.host.run(20)
    ended = call("delete", target, *(("-n", "team") if target == NAME else ()))
    assert (ended.exit_code, world.names()) == (0, [])
    assert "deleted MPIJob resnet50v1-5" in ended.stdout.splitlines()
    assert len(world.api.all("PersistentVolumeClaim")) == 2


def test_a_name_leads_to_the_place_of_its_newest_run(call: Call, world: World, folder: Path) -> None:
    call("run", MULTI, "--context", "prod")
    ended = call("delete", NAME)
    assert (ended.exit_code, world.contexts[-1]) == (0, ("prod", "team"))


def test_what_is_not_there(call: Call, world: World, folder: Path) -> None:
    ended = call("delete", MULTI)
    assert (ended.exit_code, "nothing" in ended.stderr) == (0, True)
    assert call("delete", "nobody").exit_code == 1


def test_what_another_job_uses_stays(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [ENDLESS]
    call("run", MULTI, "--detach")
    call("run", SINGLE, "--detach")
    world.host.run(20)
    ended = call("delete", NAME, "-n", "team")
    assert (ended.exit_code, "ServiceAccount mlops" in ended.stderr) == (0, True)
    assert "ServiceAccount mlops" in world.names()


def test_what_does_not_go_is_named_after_the_grace_period(call: Call, world: World, folder: Path) -> None:
    world.kubelet.scripts = [ENDLESS]
    call("run", MULTI, "--detach")
    world.host.run(20)
    world.kubelet.alive = False
    ended = call("delete", NAME, "-n", "team")
    assert (ended.exit_code, "MPIJob resnet50v1-5" in ended.stdout) == (1, True)
    assert world.host.monotonic() >= 1000 + 60
    assert call("delete", NAME, "-n", "team", "--wait-seconds", "1").exit_code == 1


def test_kinds_that_may_not_be_listed_are_named(call: Call, world: World, folder: Path) -> None:
    call("run", MULTI)
    world.api.denied.add(("list", "secrets"))
    ended = call("delete", NAME, "-n", "team")
    assert (ended.exit_code, "Secret" in ended.stderr) == (0, True)


def test_a_kind_that_rights_given_earlier_do_not_know_hides_no_other(call: Call, world: World, folder: Path) -> None:
    call("run", SINGLE)
    world.api.denied.add(("list", "mpijobs"))
    assert POD in call("ls", "-A").stdout
    assert status(call, POD)["state"] == "succeeded"
    assert call("delete", POD, "-n", "team").exit_code == 0
    ended = call("ls", "-A")
    assert (ended.exit_code, 'cannot list resource "mpijobs"' in ended.stderr) == (1, True)


def test_old_jobs_are_collected(call: Call, world: World, folder: Path) -> None:
    call("run", MULTI)
    call("run", SINGLE)
    assert "ended more than 1h ago" in call("gc", "--older-than", "1h", "-n", "team").stderr
    world.host.run(7200)
    shown = call("gc", "--older-than", "1h", "-A", "--dry-run")
    assert [line.split()[2:4] for line in shown.stdout.splitlines()] == [["MPIJob", NAME], ["Pod", POD]]
    ended = call("gc", "--older-than", "1h", "-A")
    assert (ended.exit_code, world.names("Pod", "MPIJob", "ConfigMap")) == (0, [])
    assert call("gc", "--older-than", "old").exit_code == 2


def test_a_refusal_is_the_servers(call: Call, world: World, folder: Path) -> None:
    call("run", MULTI)
    world.api.denied.add(("delete", "mpijobs"))
    ended = call("delete", NAME, "-n", "team")
    assert (ended.exit_code, 'cannot delete resource "mpijobs"' in ended.stderr) == (1, True)
    assert len(archived(folder)) == 1
    world.api.admission.append(lambda request: words.internal())
    ended = call("status", NAME, "-n", "team")
    assert (ended.exit_code, "etcdserver: leader changed" in ended.stderr) == (1, True)
