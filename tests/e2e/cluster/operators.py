"""mpi-operator, JobSet and kwok: the project's own kustomizations, with what comes from outside replaced by local copies.

The remote folder that a kustomization pins is replaced by the same version's folder of the Go module, and every image
it names is made here from the program of that module and loaded under that very name.
"""

import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import build, images, processes
from .cluster import Cluster
from .settings import REPOSITORY, ClusterError

REMOTE = re.compile(r"^- https://github\.com/(?P<repository>[^/]+/[^/?]+)//(?P<folder>[^?]+)\?ref=(?P<version>\S+)$", re.MULTILINE)
IMAGE = re.compile(r"^\s*(?:- )?image: (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Operator:
    """What is to be known of an operator: its Go module, program, namespace and how its image starts it."""

    folder: str
    module: str
    program: str
    namespace: str
    entrypoint: str
    user: str


MPI_OPERATOR = Operator("mpi-operator", "github.com/kubeflow/mpi-operator", "mpi-operator", "mpi-operator", "/opt/mpi-operator", "")
JOBSET = Operator("jobset", "sigs.k8s.io/jobset", "jobset", "jobset-system", "/manager", "65532:65532")


def install_mpi_operator(cluster: Cluster) -> None:
    """Applies k8s/mpi-operator and waits until the operator is available."""
    _install(cluster, MPI_OPERATOR)


def install_jobset(cluster: Cluster) -> None:
    """Applies k8s/jobset and waits until the controller is available and its webhooks answer."""
    _install(cluster, JOBSET)


def start_kwok(cluster: Cluster, nodes: int) -> None:
    """Starts kwok and adds simulated nodes `kwok-N` with the label and taint `type=kwok`: pods there run only on paper."""
    stages = cluster.settings.work / "kwok-stages.yaml"
    stages.write_text(cluster.kubectl("kustomize", str(build.module_folder("sigs.k8s.io/kwok") / "kustomize/stage/fast")).stdout)
    selector = "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake"
    files = [f"--kubeconfig={cluster.settings.kubeconfig}", f"--config={stages}"]
    argv: list[str | Path] = [cluster.programs / "kwok", *files, "--manage-all-nodes=false", selector]
    processes.start(cluster.settings, cluster.sandbox, "kwok", argv)
    room = {"cpu": "64", "memory": "256Gi", "pods": "110"}
    cluster.kubectl.apply(
        *(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": f"kwok-{number}", "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": {"type": "kwok"}},
                "spec": {"taints": [{"key": "type", "value": "kwok", "effect": "NoSchedule"}]},
                "status": {"allocatable": room, "capacity": room},
            }
            for number in range(nodes)
        )
    )
    cluster.kubectl("wait", "--for=condition=Ready", "node", "-l", "type=kwok", "--timeout=60s")


def stop_kwok(cluster: Cluster) -> None:
    """Removes the simulated nodes and ends kwok."""
    cluster.kubectl("delete", "node", "-l", "type=kwok", "--ignore-not-found")
    processes.stop(cluster.settings, cluster.sandbox, "kwok")


def render(cluster: Cluster, operator: Operator) -> str:
    """The YAML of the project's kustomization for an operator, from local files.

    Raises:
        ClusterError: the kustomization pins another version than tests/e2e/cluster/go.mod.
    """
    source = REPOSITORY / "k8s" / operator.folder
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "k8s"
        shutil.copytree(source, copy)
        kustomization = copy / "kustomization.yaml"
        text = kustomization.read_text()
        remote = REMOTE.search(text)
        pinned = build.module_version(operator.module)
        if remote is None or remote["version"] != pinned:
            raise ClusterError(f"tests/e2e/cluster/go.mod pins {operator.module} {pinned}, another one is in: {source}/kustomization.yaml")
        # The module's folder is read-only, and the pinned folder refers to its neighbours.
        top = remote["folder"].split("/")[0]
        shutil.copytree(build.module_folder(operator.module) / top, Path(scratch) / top, copy_function=shutil.copyfile)
        kustomization.write_text(text.replace(remote[0], f"- ../{remote['folder']}"))
        return cluster.kubectl("kustomize", str(copy)).stdout


def _install(cluster: Cluster, operator: Operator) -> None:
    rendered = render(cluster, operator)
    archive = images.program(cluster.settings.cache, cluster.programs / operator.program, [operator.entrypoint], operator.user)
    cluster.load_image(archive, *(_full_name(name) for name in set(IMAGE.findall(rendered))))
    cluster.kubectl("apply", "--server-side", "-f", "-", text=rendered)
    cluster.kubectl("-n", operator.namespace, "rollout", "status", "deployment", "--timeout=90s")
    kinds = [
        line for line in cluster.kubectl("get", "crd", "-o", "name").stdout.split() if line.endswith((".kubeflow.org", ".jobset.x-k8s.io"))
    ]
    cluster.kubectl("wait", "--for=condition=Established", *kinds, "--timeout=30s")
    _wait_for_webhooks(cluster, operator)


def _wait_for_webhooks(cluster: Cluster, operator: Operator) -> None:
    if operator is not JOBSET:
        return
    template = {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "x", "image": "x"}]}}}}
    jobs = {"replicatedJobs": [{"name": "x", "template": template}]}
    probe = {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": "probe", "namespace": "default"},
        "spec": jobs,
    }
    cluster.wait(
        lambda: cluster.kubectl("create", "--dry-run=server", "-f", "-", text=json.dumps(probe), check=False).returncode == 0,
        "JobSet's webhooks",
    )


def _full_name(image: str) -> str:
    registry = image.split("/")[0]
    if "/" in image and ("." in registry or ":" in registry):
        return image
    return f"docker.io/{image}" if "/" in image else f"docker.io/library/{image}"
