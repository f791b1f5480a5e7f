"""`mlops-launch delete` and `gc`: nothing stays but claims, data and what others use; and at 500 workers as fast as kubectl."""

import json
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import workloads
from tests.e2e.cluster import operators
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.kubectl import Kubectl
from tests.e2e.launching import Launcher

pytestmark = pytest.mark.usefixtures("small_image", "mpi_operator")

SLEEP = "import time; print('here', flush=True); time.sleep(600)"


@pytest.fixture
def launch(tmp_path: Path, kubectl: Kubectl, namespace: str) -> Iterator[Launcher]:
    with Launcher(tmp_path, kubectl, namespace) as launcher:
        yield launcher


def running(launch: Launcher, overlay: Path, name: str) -> None:
    assert launch("run", str(overlay), "--detach").code == 0
    follower = launch.start("logs", "-f", name)
    follower.wait_for("^here$")
    follower.kill()


def test_a_running_job_goes_whole_with_older_config_maps_and_claims_stay(launch: Launcher, kubectl: Kubectl, tmp_path: Path) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}, "storageClassName": "none"}
    labels = {"app.kubernetes.io/part-of": "mlops-launch", "app.kubernetes.io/instance": "small"}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "outputs", "labels": labels}, "spec": spec}
    kubectl.apply({**claim, "metadata": {**claim["metadata"], "namespace": launch.namespace}})  # type: ignore[dict-item]
    before = launch.listing()
    overlay = workloads.mpi_job(tmp_path / "overlay", "print('old')")
    assert launch("run", str(overlay)).code == 0
    (overlay / "program.py").write_text(SLEEP)
    running(launch, overlay, "small")
    assert len([name for name in launch.listing() if name.startswith("configmap/package-")]) == 2
    deleted = launch("delete", "small")
    assert deleted.code == 0, deleted.stderr
    kinds = [line.split()[1] for line in deleted.stdout.splitlines()]
    assert sorted(kinds) == ["ConfigMap", "ConfigMap", "ConfigMap", "MPIJob", "ServiceAccount"]
    assert launch.listing() == before


def test_what_another_running_training_uses_stays_until_that_one_goes(launch: Launcher, tmp_path: Path) -> None:
    before = launch.listing()
    first, second = (workloads.pod(tmp_path / name, SLEEP, name=name) for name in ("one", "two"))
    running(launch, first, "one")
    running(launch, second, "two")
    deleted = launch("delete", str(second))
    assert deleted.code == 0
    assert "kept, another job uses it: ServiceAccount mlops" in deleted.stderr
    assert json.loads(launch("status", "one", "--json").stdout)["state"] == "running"
    assert launch("delete", str(first)).code == 0
    assert launch.listing() == before


def test_a_running_training_of_another_kind_and_the_same_name_stays(launch: Launcher, kubectl: Kubectl, tmp_path: Path) -> None:
    before = launch.listing()
    job, single = workloads.mpi_job(tmp_path / "job", SLEEP), workloads.pod(tmp_path / "single", "pass", name="small")
    running(launch, job, "small")
    stays = launch.listing()
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full", "namespace": launch.namespace}}
    kubectl.apply({**quota, "spec": {"hard": {"pods": "3"}}})
    refused = launch("run", str(single))
    assert (refused.code, "the namespace's quota is used up" in refused.stderr) == (125, True)
    kubectl("-n", launch.namespace, "delete", "quota", "full")
    assert launch.listing() == stays
    assert launch("run", str(single)).code == 0
    time.sleep(2)
    assert launch("gc", "--older-than", "1s").stdout == f"deleted Pod small in namespace {launch.namespace}\n"
    assert launch.listing() == stays
    assert launch("delete", str(job)).code == 0
    assert launch.listing() == before


def test_what_does_not_go_away_is_listed_and_the_exit_code_is_1(launch: Launcher, kubectl: Kubectl, tmp_path: Path) -> None:
    running(launch, workloads.pod(tmp_path / "overlay", SLEEP, terminationGracePeriodSeconds=1), "small-training")
    held = ("-n", launch.namespace, "patch", "pod", "small-training", "--type=merge", "-p")
    kubectl(*held, '{"metadata": {"finalizers": ["e2e.local/held"]}}')
    deleted = launch("delete", "small-training", "--wait-seconds", "5")
    assert deleted.code == 1
    assert deleted.stdout.splitlines()[-1] == "still there: Pod small-training"
    kubectl(*held, '{"metadata": {"finalizers": null}}')


def test_a_name_that_is_not_there(launch: Launcher, tmp_path: Path) -> None:
    ended = launch("delete", "nothing")
    assert ended.code == 1
    assert f"Error: no job of that name in namespace {launch.namespace}: nothing" in ended.stderr
    assert launch("delete", str(workloads.pod(tmp_path / "overlay", SLEEP))).code == 0


def test_gc_takes_what_has_ended_long_ago_and_nothing_else(launch: Launcher, tmp_path: Path) -> None:
    assert launch("run", str(workloads.mpi_job(tmp_path / "ended", "pass"))).code == 0
    before = launch.listing()
    running(launch, workloads.pod(tmp_path / "runs", SLEEP, name="runs"), "runs")
    assert launch("gc", "--older-than", "1h").stderr == "no job ended more than 1h ago\n"
    time.sleep(2)
    assert launch("gc", "--older-than", "1s", "--dry-run").stdout == f"would delete MPIJob small in namespace {launch.namespace}\n"
    assert "mpijob.kubeflow.org/small" in launch.listing()
    assert launch("gc", "--older-than", "1s").stdout == f"deleted MPIJob small in namespace {launch.namespace}\n"
    assert json.loads(launch("ls", "--json").stdout)["trainings"][0]["name"] == "runs"
    assert launch("delete", "runs").code == 0
    assert [name for name in before if "small" in name and name in launch.listing()] == []


@pytest.mark.full
def test_500_workers_are_shown_and_deleted_as_fast_as_kubectl_does(cluster: Cluster, launch: Launcher, tmp_path: Path) -> None:
    operators.start_kwok(cluster, nodes=10)
    try:
        overlay = workloads.mpi_job(tmp_path / "overlay", SLEEP, workers=500)
        put_workers_on_paper(overlay / "objects.yaml")
        submit(cluster, launch, overlay)
        compare(launch, ["status", "small"], ["get", "mpijobs,pods", "-o", "name"])
        compare(launch, ["ls"], ["get", "mpijobs,pods", "-l", "app.kubernetes.io/part-of=mlops-launch", "-o", "wide"])
        assert len(pods(launch)) == 501
        launch_s = clock(lambda: launch("delete", "small"))
        assert pods(launch) == []
        submit(cluster, launch, overlay)
        # Foreground: like `mlops-launch delete`, it waits until what the MPIJob owns is gone.
        kubectl_s = clock(lambda: launch.kubectl("-n", launch.namespace, "delete", "-k", str(overlay), "--cascade=foreground"))
        assert pods(launch) == []
        print(f"delete: {launch_s:.1f} s, kubectl {kubectl_s:.1f} s")
        assert launch_s <= 1.5 * kubectl_s + 0.4
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"largest program: {memory:.0f} MiB")
        assert memory < 150
    finally:
        operators.stop_kwok(cluster)


def put_workers_on_paper(objects: Path) -> None:
    """Workers on simulated nodes; a launcher on the real one that waits, else the job would end and its workers with it."""
    account, job = map(json.loads, objects.read_text().split("\n---\n"))
    launcher, worker = (job["spec"]["mpiReplicaSpecs"][role]["template"]["spec"] for role in ("Launcher", "Worker"))
    worker |= {"nodeSelector": {"type": "kwok"}, "tolerations": [{"key": "type", "operator": "Exists"}]}
    launcher["terminationGracePeriodSeconds"] = 1
    launcher["containers"][0]["command"][:0] = ["bash", "-c", "sleep 3600"]
    objects.write_text("\n---\n".join(map(json.dumps, (account, job))))


def submit(cluster: Cluster, launch: Launcher, overlay: Path) -> None:
    begun = time.monotonic()
    assert launch("run", str(overlay), "--detach").code == 0
    cluster.wait(lambda: len(pods(launch)) >= 500, "500 workers", 300)
    print(f"submit to all pods created: {time.monotonic() - begun:.0f} s")
    active = ("-n", launch.namespace, "get", "mpijob", "small", "-o", "jsonpath={.status.replicaStatuses.Worker.active}")
    cluster.wait(lambda: launch.kubectl(*active).stdout == "500", "the operator's word on 500 running workers", 120)


def compare(launch: Launcher, ours: list[str], theirs: list[str]) -> None:
    """Demands at most 1.5 times kubectl's time and 0.4 s, medians of three."""
    kubectl_s = statistics.median(clock(lambda: launch.kubectl("-n", launch.namespace, *theirs)) for _ in range(3))
    launch_s = statistics.median(clock(lambda: launch(*ours)) for _ in range(3))
    print(f"{ours[0]}: {launch_s:.2f} s, kubectl {kubectl_s:.2f} s")
    assert launch_s <= 1.5 * kubectl_s + 0.4


def pods(launch: Launcher) -> list[str]:
    return launch.kubectl("-n", launch.namespace, "get", "pods", "-o", "name").stdout.split()


def clock(call: Callable[[], object]) -> float:
    begun = time.monotonic()
    call()
    return time.monotonic() - begun
