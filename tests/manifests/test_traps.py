"""What kustomize gets wrong without a word unless base/ tells it better: each test fails when that part is taken away."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.manifests.tools import MULTI_NODE, SINGLE_NODE, Kustomize, Rendered, container, copy_overlays, edit, pod_specs

BASE = Path("common/tensorflow/k8s/mlops/base")


@pytest.fixture
def overlays(tmp_path: Path) -> Path:
    return copy_overlays(tmp_path)


def base_of(overlays: Path) -> Path:
    return overlays.parents[1] / BASE


def kept(pod: dict[str, object]) -> set[str]:
    return {"command", "env", "envFrom", "image", "volumeMounts", "resources"} & set(container(pod))


def test_a_patch_of_resources_keeps_the_rest_of_the_container(overlays: Path, kubectl: Kustomize, kustomize: Kustomize) -> None:
    for mode in ("single-node", "multi-node"):
        for program in (kubectl, kustomize):
            for role, pod in pod_specs(program.render(overlays / mode)).items():
                assert kept(pod) == {"command", "env", "envFrom", "image", "volumeMounts", "resources"}, (mode, role)


@pytest.mark.parametrize("mode", ["single-node", "multi-node"])
def test_a_patch_adds_a_variable_and_keeps_the_others(mode: str, overlays: Path, kubectl: Kustomize) -> None:
    (patch,) = (overlays / mode).glob("*-patch.yaml")
    name = "training" if mode == "single-node" else "worker"
    text = patch.read_text(encoding="utf-8")
    indent = text[: text.index(f"- name: {name}\n")].rsplit("\n", 1)[1] + "  "
    edit(patch, f"- name: {name}\n", f"- name: {name}\n{indent}env:\n{indent}- name: TF_DETERMINISTIC_OPS\n{indent}  value: '1'\n")
    pod = pod_specs(kubectl.render(overlays / mode))["Pod" if mode == "single-node" else "Worker"]
    names = [entry["name"] for entry in container(pod)["env"]]
    assert {"TF_DETERMINISTIC_OPS", "HOME"} <= set(names) and len(names) == len(set(names))


def test_without_the_schema_the_patch_of_an_mpijob_would_lose_the_image(overlays: Path, kubectl: Kustomize) -> None:
    schema = base_of(overlays) / "schema.json"
    edit(schema, '"com.github.kubeflow.v2beta1.MPIJob"', '"com.github.kubeflow.v2beta1.Other"')
    edit(schema, '"kind": "MPIJob"', '"kind": "Other"')
    rendered = kubectl.render(overlays / "multi-node")
    # The replacements then find no image to write to, which is at least not silent.
    assert rendered.returncode == 1


def test_without_the_name_reference_the_job_would_wait_for_a_missing_config_map(overlays: Path, kubectl: Kustomize) -> None:
    edit(base_of(overlays) / "kustomization.yaml", "configurations:\n- name-reference.yaml\n", "")
    for pod in pod_specs(kubectl.render(overlays / "multi-node")).values():
        assert container(pod)["envFrom"] == [{"configMapRef": {"name": "mlops-env"}}]


def test_a_key_missing_from_the_env_file_is_an_error(overlays: Path, kubectl: Kustomize) -> None:
    edit(overlays / "multi-node" / "mlops.env", "DATASET_DIR=/datasets\n", "")
    rendered = kubectl.render(overlays / "multi-node")
    assert rendered.returncode == 1
    assert "data.DATASET_DIR" in rendered.stderr


def test_a_duplicate_key_in_the_env_file_is_an_error(overlays: Path, kubectl: Kustomize) -> None:
    edit(overlays / "multi-node" / "mlops.env", "MODEL_DIR=/workspace\n", "MODEL_DIR=/workspace\nMODEL_DIR=/elsewhere\n")
    assert kubectl.render(overlays / "multi-node").returncode == 1


def test_quotes_and_export_are_taken_literally_so_check_must_find_them(overlays: Path, kubectl: Kustomize) -> None:
    edit(overlays / "single-node" / "mlops.env", "MODEL_NAME=resnet50v1_5", 'MODEL_NAME="resnet50v1_5"\nexport MLOPS_SEED=7')
    data = kubectl.render(overlays / "single-node").object("ConfigMap", "mlops-env")["data"]
    assert data["MODEL_NAME"] == '"resnet50v1_5"'
    assert data["export MLOPS_SEED"] == "7"


def test_every_replacement_target_exists(single_node: Rendered, multi_node: Rendered) -> None:
    # A `select` that matches nothing is silent: then the placeholder of the base would be left over.
    for rendered, overlay in ((single_node, SINGLE_NODE), (multi_node, MULTI_NODE)):
        assert "registry/mlops-launch:tag" not in rendered.stdout, overlay
        assert 'value: ""' not in rendered.stdout, overlay


def test_a_copied_overlay_renders_by_itself(overlays: Path, kubectl: Kustomize) -> None:
    shutil.copytree(overlays / "multi-node", overlays / "my-experiment")
    assert kubectl.render(overlays / "my-experiment").objects == kubectl.render(overlays / "multi-node").objects
