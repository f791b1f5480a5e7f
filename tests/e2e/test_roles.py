"""The all-reduce overlay on a cluster with JobSet's controller: ranks find each other, failures end or restart the set, nothing is left."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_launch.core.workload.contracts import Address, Member, torchrun
from tests.e2e.cluster import images
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.kubectl import Kubectl
from tests.e2e.cluster.settings import REPOSITORY
from tests.e2e.launching import Launcher
from tests.e2e.overlays import UID

NAME = "all-reduce"
OVERLAY = "quickstart/k8s/mlops/all-reduce"
IMAGE = "registry.example.com/mlops/mlops-launch:roles"
STEPS = 12
RESULT = f"result sum={3 * STEPS} step={STEPS}"
ROLE = "jobset.sigs.k8s.io/replicatedjob-name"


@pytest.fixture
def launch(cluster: Cluster, kubectl: Kubectl, jobset: None, namespace: str, outputs: Path, tmp_path: Path) -> Iterator[Launcher]:
    """`mlops-launch` in a folder with the overlay, edited as a person must; the image holds Python and the program alone."""
    shutil.copytree(REPOSITORY / "quickstart", tmp_path / "quickstart")
    package = {"/workspace/quickstart": REPOSITORY / "quickstart"}
    cluster.load_image(images.small(cluster.settings.cache, package, IMAGE), IMAGE)
    with Launcher(tmp_path, kubectl, namespace) as launcher:
        values = ("IMAGE_TAG=roles", "OUTPUT_DIR=/outputs/run", f"STEPS={STEPS}", "PAUSE_S=0.5")
        ended = launcher("set", OVERLAY, "--user", str(UID), *values)
        assert ended.code == 0, ended.stderr
        yield launcher


def restarts(launch: Launcher) -> int:
    return int(launch.kubectl("-n", launch.namespace, "get", "jobset", NAME, "-o", "jsonpath={.status.restarts}").stdout or 0)


def pods(launch: Launcher) -> list[str]:
    return launch.kubectl("-n", launch.namespace, "get", "pods", "-o", "name").stdout.split()


def test_the_ranks_find_each_other_and_every_log_is_kept(launch: Launcher) -> None:
    ended = launch("run", OVERLAY)
    assert ended.code == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0] == f"start comm=sockets world_size=2 ranks=0:{NAME}-worker-0-0,1:{NAME}-worker-1-0"
    assert lines[-1] == RESULT
    [log] = (launch.archives()[0] / "pods").iterdir()
    assert (log.name.startswith(f"{NAME}-worker-1-0-"), log.read_text().splitlines()) == (True, lines[1:])
    assert (restarts(launch), launch.record()["exit_code"], launch.record()["gaps"]) == (0, 0, [])
    status = json.loads(launch("status", NAME, "--json").stdout)
    assert (status["kind"], status["state"], status["exit_code"]) == ("JobSet", "succeeded", 0)
    assert launch("logs", NAME, "--role", "worker", "--index", "1").stdout.splitlines() == lines[1:]
    assert launch("delete", OVERLAY).code == 0
    claims = [f"persistentvolumeclaim/{name}" for name in ("datasets", "outputs")]
    assert launch.listing() == ["configmap/kube-root-ca.crt", *claims, "serviceaccount/default"]


def test_kubectl_alone_gives_the_pods_what_the_contract_says(launch: Launcher) -> None:
    launch.kubectl("-n", launch.namespace, "apply", "-k", str(launch.folder / OVERLAY))
    launch.kubectl("-n", launch.namespace, "wait", f"jobset/{NAME}", "--for=condition=Completed", "--timeout=120s")
    found = json.loads(launch.kubectl("-n", launch.namespace, "get", "pods", "-l", f"{ROLE}=worker", "-o", "json").stdout)["items"]
    keys = {
        "RANK": ("labels", "job-global-index"),
        "WORLD_SIZE": ("labels", "global-replicas"),
        "MASTER_ADDR": ("annotations", "coordinator"),
    }
    told = [{name: pod["metadata"][part][f"jobset.sigs.k8s.io/{key}"] for name, (part, key) in keys.items()} for pod in found]
    group = {"worker": [Address(f"{NAME}-worker-{index}-0.{NAME}", 29500) for index in range(2)]}
    wanted = [torchrun(group, Member("worker", index)) for index in range(2)]
    assert sorted(told, key=lambda each: str(each["RANK"])) == [{name: each[name] for name in keys} for each in wanted]
    assert {pod["spec"]["securityContext"]["runAsUser"] for pod in found} == {UID}
    assert restarts(launch) == 0


def test_a_permanent_failure_of_another_worker_ends_the_run_at_once(launch: Launcher) -> None:
    patch = launch.folder / OVERLAY / "jobset-patch.yaml"
    command = "sh, -c, 'test $RANK = 0 || exit 3; exec python3 /workspace/quickstart/all_reduce.py'"
    text = patch.read_text()
    assert "            - name: worker\n" in text
    patch.write_text(text.replace("            - name: worker\n", f"            - name: worker\n              command: [{command}]\n"))
    ended = launch("run", OVERLAY, "--retries", "2")
    assert ended.code == 3, ended.stderr
    record = launch.record()
    assert (len(launch.archives()), restarts(launch)) == (1, 0)
    assert record["reason"].startswith(f"pod {NAME}-worker-1-0-") and record["reason"].endswith(" ended with exit code 3")


@pytest.mark.parametrize("worker", [0, 1])
def test_a_deleted_pod_starts_the_set_again_from_its_checkpoint(launch: Launcher, worker: int) -> None:
    started = launch.start("run", OVERLAY)
    started.wait_for("^step=3/")
    [pod] = [name for name in pods(launch) if f"{NAME}-worker-{worker}-0-" in name]
    launch.kubectl("-n", launch.namespace, "delete", pod, "--wait=false")
    ended = started.end(seconds=180)
    assert ended.code == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert (lines[-1], restarts(launch)) == (RESULT, 1)
    steps = [int(line.split("=")[1].split("/")[0]) for line in lines if line.startswith("step=")]
    # A line that was about to be printed may be missing: its step was saved.
    assert steps == sorted(set(steps)) and len(steps) >= STEPS - 1
    logs = sorted(path.name for path in (launch.archives()[0] / "pods").iterdir())
    assert [name.rsplit("-", 1)[0] for name in logs] == [f"{NAME}-worker-1-0"] * 2


def test_a_time_limit_stops_all_pods(launch: Launcher) -> None:
    assert launch("set", OVERLAY, "STEPS=1000").code == 0
    ended = launch("run", OVERLAY, "--timeout", "15")
    assert ended.code == 124, ended.stderr
    assert launch.record()["stopped_by"] == "timeout"
    launch.kubectl("-n", launch.namespace, "wait", "--for=delete", "pod", "-l", f"{ROLE}=worker", "--timeout=60s")
