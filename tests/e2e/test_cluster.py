"""What every other e2e test stands on: the cluster is real, answers and runs restricted pods."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.cluster import images, operators
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.kubectl import Kubectl
from tests.e2e.cluster.settings import KUBERNETES, NODE, REPOSITORY

RESTRICTED = {"runAsNonRoot": True, "runAsUser": 4321, "runAsGroup": 4321, "fsGroup": 4321, "seccompProfile": {"type": "RuntimeDefault"}}
CONTAINER = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}


def pod_spec(image: str, *command: str) -> dict[str, object]:
    container = {"name": "main", "image": image, "command": list(command), "securityContext": CONTAINER}
    return {"restartPolicy": "Never", "securityContext": RESTRICTED, "terminationGracePeriodSeconds": 1, "containers": [container]}


def pod(namespace: str, name: str, image: str, *command: str, **labels: str) -> dict[str, object]:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec(image, *command)}


def wait_for(kubectl: Kubectl, namespace: str, what: str, condition: str, seconds: int = 60) -> None:
    kubectl("-n", namespace, "wait", what, f"--for={condition}", f"--timeout={seconds}s", timeout=seconds + 10)


def test_the_api_server_answers_with_the_pinned_version(cluster: Cluster) -> None:
    assert json.loads(cluster.kubectl("version", "-o", "json").stdout)["serverVersion"]["gitVersion"] == KUBERNETES


def test_the_one_node_with_a_kubelet_is_ready(cluster: Cluster) -> None:
    # Other tests may have nodes on paper meanwhile.
    ready = "{.metadata.name} {.status.conditions[?(@.type=='Ready')].status}{'\\n'}"
    path = f"jsonpath={{range .items[?(@.status.nodeInfo.kubeletVersion=='{KUBERNETES}')]}}{ready}{{end}}"
    assert cluster.kubectl("get", "nodes", "-o", path).stdout == f"{NODE} True\n"


def test_a_restricted_pod_runs_as_any_uid_and_its_log_comes_back(kubectl: Kubectl, small_image: str, namespace: str) -> None:
    program = "import os; print(os.getuid(), os.getgid(), os.access('/', os.W_OK))"
    kubectl.apply(pod(namespace, "who", small_image, "python3", "-c", program))
    wait_for(kubectl, namespace, "pod/who", "jsonpath={.status.phase}=Succeeded")
    assert kubectl("-n", namespace, "logs", "who").stdout == "4321 4321 False\n"


def test_a_pod_that_may_be_root_is_refused(kubectl: Kubectl, small_image: str, namespace: str) -> None:
    refused = kubectl("-n", namespace, "run", "root", f"--image={small_image}", check=False)
    assert refused.returncode == 1
    assert 'violates PodSecurity "restricted:latest"' in refused.stderr


def test_the_exit_code_of_a_pod_comes_back(kubectl: Kubectl, small_image: str, namespace: str) -> None:
    kubectl.apply(pod(namespace, "nine", small_image, "python3", "-c", "raise SystemExit(9)"))
    wait_for(kubectl, namespace, "pod/nine", "jsonpath={.status.phase}=Failed")
    path = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"
    assert kubectl("-n", namespace, "get", "pod", "nine", "-o", path).stdout == "9"


def test_a_service_is_found_by_name_and_reached_from_a_pod(kubectl: Kubectl, small_image: str, namespace: str) -> None:
    server = pod(namespace, "server", small_image, "python3", "-m", "http.server", "8000", app="server")
    ports = {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8000}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "server", "namespace": namespace}, "spec": ports}
    kubectl.apply(server, service)
    wait_for(kubectl, namespace, "pod/server", "condition=Ready")
    # kube-proxy learns of the ready pod a moment later.
    program = """
import time, urllib.request
for _ in range(100):
    try:
        print(urllib.request.urlopen("http://server/etc/hostname", timeout=5).read().decode(), end="")
        break
    except OSError:
        time.sleep(0.1)
"""
    kubectl.apply(pod(namespace, "client", small_image, "python3", "-c", program))
    wait_for(kubectl, namespace, "pod/client", "jsonpath={.status.phase}=Succeeded")
    assert kubectl("-n", namespace, "logs", "client").stdout == "server\n"


def test_mpi_operator_makes_workers_and_a_launcher_that_knows_them(
    kubectl: Kubectl, small_image: str, mpi_operator: None, namespace: str
) -> None:
    launcher = {"replicas": 1, "template": {"spec": pod_spec(small_image, "cat", "/etc/mpi/hostfile")}}
    worker = {"replicas": 2, "template": {"spec": pod_spec(small_image, "sleep", "600")}}
    spec = {
        "slotsPerWorker": 3,
        "sshAuthMountPath": "/home/mlops/.ssh",
        "launcherCreationPolicy": "WaitForWorkersReady",
        "runPolicy": {"cleanPodPolicy": "None"},
        "mpiReplicaSpecs": {"Launcher": launcher, "Worker": worker},
    }
    metadata = {"name": "two", "namespace": namespace}
    kubectl.apply({"apiVersion": "kubeflow.org/v2beta1", "kind": "MPIJob", "metadata": metadata, "spec": spec})
    wait_for(kubectl, namespace, "mpijob/two", "condition=Succeeded")
    path = "jsonpath={range .items[*]}{.metadata.name}{'\\n'}{end}"
    workers = kubectl("-n", namespace, "get", "pods", "-l", "training.kubeflow.org/job-role=worker", "-o", path).stdout
    assert workers == "two-worker-0\ntwo-worker-1\n"
    path = "jsonpath={.spec.template.spec.containers[0].args}"
    arguments = json.loads(kubectl("-n", "mpi-operator", "get", "deployment", "mpi-operator", "-o", path).stdout)
    limits = {"--kube-api-qps=50", "--kube-api-burst=100", "--controller-queue-rate-limit=200", "--controller-queue-burst=1000"}
    assert limits | {"--lock-namespace=mpi-operator"} <= set(arguments)
    log = kubectl("-n", namespace, "logs", "-l", "training.kubeflow.org/job-role=launcher").stdout
    assert log == f"two-worker-0.two.{namespace}.svc slots=3\ntwo-worker-1.two.{namespace}.svc slots=3\n"


# Instead of the training: says which rank runs where, then every rank ends with the code that the job gives.
RANKS = """
import os, socket
from mpi4py import MPI
world = MPI.COMM_WORLD
told = world.gather(f"rank={world.rank}/{world.size} host={socket.gethostname()} uid={os.getuid()}")
print("\\n".join(told or []), end="\\n" if told else "", flush=True)
world.Barrier()
raise SystemExit(int(os.environ["MLOPS_EXIT_CODE"]))
"""


@pytest.mark.parametrize("code", [0, 66])
def test_the_overlay_runs_ranks_on_two_workers_with_the_small_image(
    cluster: Cluster, mpi_operator: None, namespace: str, tmp_path: Path, code: int
) -> None:
    job, kubectl = "resnet50v1-5", cluster.kubectl
    shutil.copytree(REPOSITORY / "quickstart", tmp_path / "quickstart")
    shutil.copytree(REPOSITORY / "k8s" / "storage", tmp_path / "storage")
    (tmp_path / "main.py").write_text(RANKS)
    with (tmp_path / "quickstart/k8s/mlops/multi-node/mlops.env").open("a") as values:
        values.write(f"MLOPS_EXIT_CODE={code}\n")
    storage = tmp_path / "storage/hostpath/kustomization.yaml"
    storage.write_text(storage.read_text().replace("namespace: default", f"namespace: {namespace}"))
    package = {
        "/workspace/common": REPOSITORY / "common",
        "/workspace/quickstart": REPOSITORY / "quickstart",
        "/workspace/models/resnet50v1_5/main.py": tmp_path / "main.py",
    }
    image = "registry.example.com/mlops/mlops-launch:0.1.0"
    cluster.load_image(images.small(cluster.settings.cache, package, image), image)
    outputs = cluster.settings.srv / "mlops" / "outputs"
    outputs.mkdir(parents=True, exist_ok=True)
    os.chown(outputs, 1000, 1000)  # hostPath knows no fsGroup

    kubectl("apply", "-k", str(storage.parent))
    kubectl("-n", namespace, "apply", "-k", str(tmp_path / "quickstart/k8s/mlops/multi-node"))
    wait_for(kubectl, namespace, f"mpijob/{job}", "condition=Failed" if code else "condition=Succeeded")

    log = kubectl("-n", namespace, "logs", "-l", "training.kubeflow.org/job-role=launcher").stdout
    ranks = [line for line in log.splitlines() if line.startswith("rank=")]
    assert ranks == [f"rank=0/2 host={job}-worker-0 uid=1000", f"rank=1/2 host={job}-worker-1 uid=1000"]
    path = "jsonpath={.items[0].status.containerStatuses[0].state.terminated.exitCode}"
    assert kubectl("-n", namespace, "get", "pods", "-l", "training.kubeflow.org/job-role=launcher", "-o", path).stdout == str(code)
    copy = outputs / f"{job}-multi-node" / "launcher.log"
    assert copy.read_text() == log
    shutil.rmtree(copy.parent)
    kubectl("delete", "-k", str(storage.parent), "--wait=false")


def test_jobset_ends_parameter_servers_when_the_workers_are_done(kubectl: Kubectl, small_image: str, jobset: None, namespace: str) -> None:
    def replicated(name: str, *command: str) -> dict[str, object]:
        job = {"backoffLimit": 0, "template": {"spec": pod_spec(small_image, *command)}}
        return {"name": name, "template": {"spec": job}}

    spec = {
        "successPolicy": {"operator": "All", "targetReplicatedJobs": ["worker"]},
        "replicatedJobs": [replicated("server", "sleep", "600"), replicated("worker", "true")],
    }
    metadata = {"name": "psw", "namespace": namespace}
    kubectl.apply({"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": metadata, "spec": spec})
    wait_for(kubectl, namespace, "jobset/psw", "condition=Completed")
    wait_for(kubectl, namespace, "job/psw-server-0", "delete")


def test_kwok_runs_pods_on_simulated_nodes(cluster: Cluster, small_image: str, namespace: str) -> None:
    operators.start_kwok(cluster, nodes=3)
    try:
        placement = {"nodeSelector": {"type": "kwok"}, "tolerations": [{"key": "type", "operator": "Exists"}]}
        spec = {**pod_spec(small_image, "sleep", "600"), **placement}
        cluster.kubectl.apply({**pod(namespace, "paper", small_image), "spec": spec})
        wait_for(cluster.kubectl, namespace, "pod/paper", "condition=Ready")
    finally:
        operators.stop_kwok(cluster)
    assert cluster.kubectl("get", "nodes", "-l", "type=kwok", "-o", "name").stdout == ""


def test_a_component_can_be_ended_and_started_again(cluster: Cluster, kubectl: Kubectl) -> None:
    cluster.stop("kube-apiserver", "KILL")
    assert kubectl("get", "--raw", "/readyz", check=False).returncode == 1
    cluster.start("kube-apiserver")
    cluster.wait_ready()
    assert kubectl("get", "--raw", "/readyz").stdout == "ok"
