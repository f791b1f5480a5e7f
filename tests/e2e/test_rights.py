"""A person with the rights of k8s/rbac and no more, in a namespace with the quota of k8s/quota, trains, looks and deletes."""

import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_launch.clients.cluster import Cluster
from mlops_launch.clients.refusals import ApiError
from mlops_launch.contract import ExitCode, LauncherExitCode
from tests.e2e import workloads
from tests.e2e.cluster.cluster import Cluster as OwnCluster
from tests.e2e.cluster.kubectl import Kubectl
from tests.e2e.cluster.settings import REPOSITORY
from tests.e2e.launching import Launcher
from tests.e2e.overlays import MULTI_NODE, QUICK, SINGLE_NODE, Site
from tests.e2e.test_logs import numbers, paced
from tests.manifests.tools import edit

pytestmark = pytest.mark.usefixtures("small_image", "mpi_operator")

PERSON = "somebody"


def edited(folder: Path, kustomization: str, namespace: str, *changes: tuple[str, str, str]) -> Path:
    """A copy of a folder of k8s/ with the edits that its README asks for, and others: (file, old, new)."""
    made = Path(shutil.copytree(REPOSITORY / kustomization, folder / kustomization))
    for file, old, new in (("kustomization.yaml", "namespace: default", f"namespace: {namespace}"), *changes):
        edit(made / file, old, new)
    return made


@pytest.fixture
def rights(kubectl: Kubectl, namespace: str, tmp_path: Path) -> Path:
    """k8s/rbac is applied for the group of a person's token; its folder."""
    folder = edited(
        tmp_path / "edited", "k8s/rbac", namespace, ("rolebinding.yaml", "name: team-a", f"name: system:serviceaccounts:{namespace}")
    )
    kubectl("apply", "-k", str(folder))
    return folder


@pytest.fixture
def person(kubectl: Kubectl, rights: Path, namespace: str, tmp_path: Path) -> Kubectl:
    """kubectl of a person who has nothing but these rights."""
    kubectl("-n", namespace, "create", "serviceaccount", PERSON)
    token = kubectl("-n", namespace, "create", "token", PERSON).stdout
    config = json.loads(kubectl("config", "view", "--raw", "--flatten", "-o", "json").stdout)
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    path = tmp_path / "kubeconfig-of-a-person"
    path.write_text(json.dumps(config))
    return replace(kubectl, kubeconfig=path)


@pytest.fixture
def launch(person: Kubectl, namespace: str, tmp_path: Path) -> Iterator[Launcher]:
    with Launcher(tmp_path, person, namespace) as launcher:
        yield launcher


def listing(kubectl: Kubectl, namespace: str) -> list[str]:
    return Launcher(Path(), kubectl, namespace).listing()


def test_both_overlays_train_within_the_quota(site: Site, kubectl: Kubectl, launch: Launcher, tmp_path: Path) -> None:
    kubectl("apply", "-k", str(edited(tmp_path / "edited", "k8s/quota", site.namespace)))
    before = listing(kubectl, site.namespace)
    for overlay in (MULTI_NODE, SINGLE_NODE):
        site.set(overlay, **QUICK)
        ended = launch("run", overlay)
        assert ended.code == 0, ended.stderr
        name = launch.record()["name"]
        assert launch("logs", name, "--context", "mlops-e2e").stdout == ended.stdout
        assert json.loads(launch("status", name, "--json").stdout)["state"] == "succeeded"
        assert name in launch("ls", "--cluster").stdout
        deleted = launch("delete", name)
        assert deleted.code == 0, deleted.stderr
        assert deleted.stderr.splitlines()[1:] == ["Warning: not checked, you are not allowed to list: Secret"]
        assert listing(kubectl, site.namespace) == before


def test_a_namespace_of_others_is_refused_in_one_line(launch: Launcher) -> None:
    launch.namespace = "kube-system"
    ended = launch("ls", "--cluster")
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: not allowed: mpijobs.kubeflow.org is forbidden: ")
    assert ended.stderr.endswith("\n\nhint: ask for the right, or choose another `--namespace` or `--context`\n")


@pytest.mark.parametrize("make", [workloads.pod, workloads.mpi_job])
def test_a_quota_that_is_used_up_is_named(
    kubectl: Kubectl, launch: Launcher, namespace: str, tmp_path: Path, make: Callable[[Path, str], Path]
) -> None:
    spec = {"hard": {"pods": "0"}}
    kubectl.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team", "namespace": namespace}, "spec": spec})
    reason = refused(kubectl, launch, make(tmp_path / "overlay", "print('done')"))
    assert "the namespace's quota is used up: " in reason
    assert "exceeded quota: team, requested: pods=1, used: pods=0, limited: pods=0" in reason


@pytest.mark.parametrize("make", [workloads.pod, workloads.mpi_job])
def test_a_quota_that_demands_requests_and_limits_is_named(
    kubectl: Kubectl, launch: Launcher, namespace: str, tmp_path: Path, make: Callable[[Path, str], Path]
) -> None:
    kubectl("apply", "-k", str(edited(tmp_path / "edited", "k8s/quota", namespace)))
    reason = refused(kubectl, launch, make(tmp_path / "overlay", "print('done')"))
    assert "the namespace's quota demands requests and limits: " in reason
    assert "must specify limits.memory for: " in reason


def refused(kubectl: Kubectl, launch: Launcher, overlay: Path) -> str:
    """Runs what may not run; returns the error. Nothing is left of it."""
    before = listing(kubectl, launch.namespace)
    ended = launch("run", str(overlay), "--start-timeout", "6")
    assert ended.code == LauncherExitCode.LAUNCHER_FAILED, ended.stderr
    assert listing(kubectl, launch.namespace) == before
    return next(line for line in ended.stderr.splitlines() if line.startswith("Error: "))


@pytest.mark.usefixtures("outputs")
def test_an_archive_is_completed_by_exec(kubectl: Kubectl, launch: Launcher, tmp_path: Path) -> None:
    before, lines = listing(kubectl, launch.namespace), 60_000
    overlay = workloads.pod(tmp_path / "overlay", paced(lines, 10_000), outputs=True)
    run = launch.start("run", str(overlay))
    run.wait_for("^010000 ")
    run.kill()
    time.sleep(3)  # at this pace the kubelet rotates twice meanwhile
    ended = launch("logs", "-f", "small-training")
    assert ended.code == 0, ended.stderr
    assert re.search("the archived log is whole: [1-9][0-9]* lines of it came from", ended.stderr), ended.stderr
    assert numbers((launch.archives()[0] / "training.log").read_text()) == list(range(lines))
    assert launch("delete", str(overlay)).code == 0
    assert listing(kubectl, launch.namespace) == before


def test_rights_that_are_gone_for_a_moment_cost_no_line(
    cluster: OwnCluster, kubectl: Kubectl, launch: Launcher, rights: Path, tmp_path: Path
) -> None:
    """As after a restart of the API server: it answers 403 until it has read the Roles."""
    lines = 200
    program = f"""
        import time
        for number in range({lines}):
            print(number, flush=True)
            time.sleep(0.1)
    """
    run = launch.start("run", str(workloads.pod(tmp_path / "overlay", program)))
    run.wait_for("^20$")
    shut_out(cluster, launch, rights)
    time.sleep(4)
    beside = launch("logs", "small-training", "--context", "mlops-e2e")
    assert (beside.code, "Error: not allowed: " in beside.stderr) == (1, True)
    kubectl("apply", "-k", str(rights))
    ended = run.end()
    assert ended.code == ExitCode.SUCCESS, ended.stderr
    assert ended.stdout.split() == [str(number) for number in range(lines)]
    assert (launch.archives()[0] / "training.log").read_text() == ended.stdout
    assert launch.record()["gaps"] == []


def test_whoever_is_shut_out_leaves_a_training_that_can_be_followed_again(
    cluster: OwnCluster, kubectl: Kubectl, launch: Launcher, rights: Path, tmp_path: Path
) -> None:
    """As when a login expires overnight; the launcher's patience of ten minutes is cut to seconds."""
    lines = 600
    overlay = workloads.pod(tmp_path / "overlay", paced(lines, 20))
    hurry = """
from mlops_launch.commands.cluster import limits
limits.PATIENCE_S = 3.0  # before any module takes it from there
from mlops_launch.cli.main import main
main()
"""
    run = launch.start("run", str(overlay), program=("-c", hurry))
    run.wait_for("^000040 ")
    beside = launch.start("logs", "-f", "small-training", program=("-c", hurry))
    beside.wait_for("^000040 ")
    shut_out(cluster, launch, rights)
    left_out = beside.end()
    assert (left_out.code, left_out.stderr.splitlines()[-3][:20]) == (1, "Error: not allowed: "), left_out.stderr
    ended = run.end()
    assert ended.code == LauncherExitCode.LAUNCHER_FAILED, ended.stderr
    assert "follow:   mlops-launch logs -f small-training " in ended.stderr
    assert ended.stderr.splitlines()[-3].startswith("Error: not allowed: ")
    kubectl("apply", "-k", str(rights))
    followed = launch("logs", "-f", "small-training")
    assert followed.code == 0, followed.stderr
    assert numbers(followed.stdout) == list(range(lines))
    assert (launch.record()["exit_code"], launch.record()["gaps"]) == (0, [])


def shut_out(cluster: OwnCluster, launch: Launcher, rights: Path) -> None:
    """Takes the rights away, and ends the connections that were allowed before."""
    cluster.kubectl("delete", "-f", str(rights / "rolebinding.yaml"), "-n", launch.namespace)
    cluster.restart("kube-apiserver", "KILL")
    cluster.wait_ready()


def test_a_login_that_cannot_be_renewed_is_named_with_what_its_plugin_says(
    kubectl: Kubectl, person: Kubectl, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads(person.kubeconfig.read_text())
    status = {"token": config["users"][0]["user"]["token"], "expirationTimestamp": "2026-01-01T00:00:00Z"}  # asked for again every time
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    plugin, expired = tmp_path / "plugin.py", tmp_path / "expired"
    plugin.write_text(f"import os, sys\nos.path.exists({str(expired)!r}) and sys.exit('log in again')\nprint({json.dumps(answer)!r})")
    command = {"apiVersion": answer["apiVersion"], "command": sys.executable, "args": [str(plugin)], "interactiveMode": "Never"}
    config["users"] = [{"name": user["name"], "user": {"exec": command}} for user in config["users"]]
    person.kubeconfig.write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(person.kubeconfig))
    known = Cluster.connect(namespace=namespace)
    pods = known.path("v1", "Pod")
    assert known.list(pods) == []
    expired.touch()
    kubectl("-n", namespace, "delete", "serviceaccount", PERSON)
    until = time.monotonic() + 30  # the API server remembers a token for ten seconds
    with pytest.raises(ApiError, match="^the cluster does not know this user: Unauthorized: exec: process returned 1. log in again\n"):
        while time.monotonic() < until:
            known.list(pods)
            time.sleep(1)
