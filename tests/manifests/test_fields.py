"""Each value that an overlay derives from another, and what a user's edit of it gives."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.manifests.tools import ROOT, Kustomize, Rendered, container, copy_overlays, edit, environment, pod_specs

LABELS = {
    "app.kubernetes.io/name": "resnet50v1-5",
    "app.kubernetes.io/part-of": "mlops-launch",
    "app.kubernetes.io/managed-by": "kustomize",
}
HASHED = re.compile(r"-[a-z0-9]{10}$")


@pytest.fixture
def overlays(tmp_path: Path) -> Path:
    """A copy of the overlays that a test may edit."""
    return copy_overlays(tmp_path)


@pytest.fixture(params=["single-node", "multi-node"])
def overlay(request: pytest.FixtureRequest, overlays: Path) -> Path:
    """Each of the two overlays, to be edited."""
    return overlays / str(request.param)


def patch_file(overlay: Path) -> Path:
    (path,) = overlay.glob("*-patch.yaml")
    return path


def replica_numbers(rendered: Rendered) -> tuple[object, object]:
    spec = rendered.object("MPIJob")["spec"]
    return spec["mpiReplicaSpecs"]["Worker"]["replicas"], spec["slotsPerWorker"]


@pytest.mark.parametrize("registry", ["docker.io", "registry.example.com:5000/team/images"])
def test_the_image_is_registry_name_and_tag(overlay: Path, kubectl: Kustomize, registry: str) -> None:
    edit(overlay / "mlops.env", "REGISTRY=registry.example.com/mlops", f"REGISTRY={registry}")
    edit(overlay / "mlops.env", "IMAGE_TAG=0.1.0", "IMAGE_TAG=2.0-rc.1")
    images = {container(pod)["image"] for pod in pod_specs(kubectl.render(overlay)).values()}
    assert images == {f"{registry}/mlops-launch:2.0-rc.1"}


def test_the_dataset_claim_is_mounted_at_dataset_dir(overlay: Path, kubectl: Kustomize) -> None:
    edit(overlay / "mlops.env", "DATASET_DIR=/datasets", "DATASET_DIR=/tf_dataset/imagenet")
    for pod in pod_specs(kubectl.render(overlay)).values():
        mounts = [mount for mount in container(pod)["volumeMounts"] if mount["name"] == "datasets"]
        assert mounts == [{"name": "datasets", "mountPath": "/tf_dataset/imagenet", "readOnly": True}]


def test_workers_and_slots_are_numbers_and_reach_the_launcher_as_text(overlays: Path, kubectl: Kustomize) -> None:
    overlay = overlays / "multi-node"
    edit(patch_file(overlay), "replicas: 2", "replicas: 7")
    edit(patch_file(overlay), "slotsPerWorker: 1", "slotsPerWorker: 4")
    rendered = kubectl.render(overlay)
    assert replica_numbers(rendered) == (7, 4)
    variables = environment(pod_specs(rendered)["Launcher"])
    assert (variables["MLOPS_WORKERS"], variables["MLOPS_SLOTS_PER_WORKER"]) == ("7", "4")


def test_the_user_is_a_number_and_gets_one_passwd_line(overlay: Path, kubectl: Kustomize) -> None:
    edit(patch_file(overlay), "runAsUser: 1000", "runAsUser: 1234")
    edit(patch_file(overlay), "runAsGroup: 1000", "runAsGroup: 5678")
    edit(patch_file(overlay), "fsGroup: 1000", "fsGroup: 91011")
    rendered = kubectl.render(overlay)
    for pod in pod_specs(rendered).values():
        context = pod["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (1234, 5678, 91011)
    assert rendered.object("ConfigMap", "passwd")["data"] == {"passwd": "mlops:x:1234:5678::/home/mlops:/bin/sh\n"}


def test_gpu_counts_are_numbers(overlay: Path, kubectl: Kustomize) -> None:
    edit(patch_file(overlay), "nvidia.com/gpu: 0", "nvidia.com/gpu: 8")
    limits = [container(pod)["resources"]["limits"] for pod in pod_specs(kubectl.render(overlay)).values()]
    assert [limit["nvidia.com/gpu"] for limit in limits if "nvidia.com/gpu" in limit] == [8]


def test_the_env_file_becomes_the_environment_under_its_hashed_name(overlay: Path, kubectl: Kustomize) -> None:
    before = kubectl.render(overlay).object("ConfigMap", "mlops-env")["metadata"]["name"]
    edit(overlay / "mlops.env", "IMAGE_TAG=0.1.0", "IMAGE_TAG=0.1.0\nMLOPS_SEED=7")
    rendered = kubectl.render(overlay)
    config_map = rendered.object("ConfigMap", "mlops-env")
    name = config_map["metadata"]["name"]
    assert config_map["data"]["MLOPS_SEED"] == "7"
    assert HASHED.search(name) and name != before
    for pod in pod_specs(rendered).values():
        assert container(pod)["envFrom"] == [{"configMapRef": {"name": name}}]


def test_the_passwd_volume_has_the_hashed_name(overlay: Path, kubectl: Kustomize) -> None:
    rendered = kubectl.render(overlay)
    name = rendered.object("ConfigMap", "passwd")["metadata"]["name"]
    assert HASHED.search(name)
    for pod in pod_specs(rendered).values():
        assert [volume["configMap"] for volume in pod["volumes"] if volume["name"] == "passwd"] == [{"name": name}]


def test_a_prefix_reaches_every_reference(overlay: Path, kubectl: Kustomize) -> None:
    edit(overlay / "kustomization.yaml", "kind: Kustomization", "kind: Kustomization\nnamePrefix: alice-")
    rendered = kubectl.render(overlay)
    names = {o["kind"]: o["metadata"]["name"] for o in rendered.objects}
    assert all(name.startswith("alice-") for name in names.values())
    for pod in pod_specs(rendered).values():
        assert pod["serviceAccountName"] == "alice-mlops"
        assert container(pod)["envFrom"][0]["configMapRef"]["name"].startswith("alice-mlops-env-")


@pytest.mark.parametrize(("mode", "instance"), [("single-node", "resnet50v1-5-training"), ("multi-node", "resnet50v1-5")])
def test_every_object_and_pod_template_is_labelled(mode: str, instance: str, overlays: Path, kubectl: Kustomize) -> None:
    expected = LABELS | {"app.kubernetes.io/instance": instance}
    rendered = kubectl.render(overlays / mode)
    assert [o["metadata"].get("labels") for o in rendered.objects] == [expected] * len(rendered.objects)
    if mode == "multi-node":
        replicas = rendered.object("MPIJob")["spec"]["mpiReplicaSpecs"]
        assert [replicas[role]["template"]["metadata"]["labels"] for role in ("Launcher", "Worker")] == [expected] * 2


def test_a_namespace_reaches_every_object(overlay: Path, kubectl: Kustomize) -> None:
    edit(overlay / "kustomization.yaml", "kind: Kustomization", "kind: Kustomization\nnamespace: team-a")
    assert {o["metadata"]["namespace"] for o in kubectl.render(overlay).objects} == {"team-a"}


def test_names_let_the_documented_grep_find_the_pod(single_node: Rendered, multi_node: Rendered) -> None:
    assert "training" in single_node.object("Pod")["metadata"]["name"]
    # The operator names its pods <job>-launcher-… and <job>-worker-N.
    assert multi_node.object("MPIJob")["metadata"]["name"] == "resnet50v1-5"


def test_the_ranks_come_from_the_hostfile_alone(multi_node: Rendered) -> None:
    launcher = container(pod_specs(multi_node)["Launcher"])
    words = launcher["command"] + launcher["args"]
    assert {"-np", "-n", "--np", "-c", "--hostfile", "-H", "--host"}.isdisjoint(words)
    variables = environment(pod_specs(multi_node)["Launcher"])
    assert variables["PRTE_MCA_prte_default_hostfile"] == "/etc/mpi/hostfile"
    assert variables["PRTE_MCA_plm_ssh_args"].startswith("-p 2222 ")


def test_workers_free_their_gpus_and_the_launcher_waits_for_them(multi_node: Rendered) -> None:
    spec = multi_node.object("MPIJob")["spec"]
    assert spec["runPolicy"] == {"cleanPodPolicy": "Running", "backoffLimit": 0}
    assert spec["launcherCreationPolicy"] == "WaitForWorkersReady"
    assert container(pod_specs(multi_node)["Worker"])["readinessProbe"]["tcpSocket"] == {"port": 2222}


@pytest.mark.parametrize("kind", ["nfs", "hostpath"])
def test_a_volume_is_named_for_its_namespace_and_bound_to_its_claim(kind: str, tmp_path: Path, kubectl: Kustomize) -> None:
    folder = tmp_path / kind
    shutil.copytree(ROOT / "k8s" / "storage" / kind, folder)
    edit(folder / "kustomization.yaml", "namespace: default", "namespace: team-a")
    edit(folder / "storage.env", "OUTPUTS_PATH=", "OUTPUTS_PATH=/elsewhere")
    rendered = kubectl.render(folder)
    for name in ("datasets", "outputs"):
        volume = rendered.object("PersistentVolume", name)
        assert volume["metadata"]["name"] == f"{name}.team-a"
        assert volume["spec"]["claimRef"] == {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": name, "namespace": "team-a"}
        claim = rendered.object("PersistentVolumeClaim", name)
        assert (claim["metadata"]["namespace"], claim["spec"]["volumeName"]) == ("team-a", f"{name}.team-a")
    source = "nfs" if kind == "nfs" else "hostPath"
    paths = [rendered.object("PersistentVolume", name)["spec"][source]["path"] for name in ("datasets", "outputs")]
    assert paths[0].endswith("/mlops/datasets") and paths[1].startswith("/elsewhere/")
