"""Each component, listed in each overlay: renders alike with both kustomizes and changes what its README says, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.manifests.tools import COMPONENTS, Kustomize, Object, Rendered, container, copy_overlays, edit, environment, pod_specs

TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


@pytest.fixture(params=["single-node", "multi-node"])
def overlay(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return copy_overlays(tmp_path) / str(request.param)


def with_components(overlay: Path, *names: str) -> Path:
    lines = "".join(f"- ../../../common/tensorflow/k8s/mlops/components/{name}\n" for name in names)
    edit(overlay / "kustomization.yaml", "kind: Kustomization\n", f"kind: Kustomization\ncomponents:\n{lines}")
    return overlay


def ranks(rendered: Rendered) -> Object:
    """The pod spec whose container runs the ranks."""
    pods = pod_specs(rendered)
    return pods.get("Worker") or pods["Pod"]


def leaves(value: Any, path: str = "") -> set[str]:
    """Every leaf of an object as `path=value`, list items without their index."""
    if isinstance(value, dict):
        return {leaf for key, item in value.items() for leaf in leaves(item, f"{path}/{key}")}
    if isinstance(value, list):
        return {leaf for item in value for leaf in leaves(item, f"{path}/-")}
    return {f"{path}={value}"}


@pytest.mark.parametrize("component", sorted(path.name for path in COMPONENTS.iterdir()))
def test_a_component_adds_and_takes_nothing_away(component: str, overlay: Path, kubectl: Kustomize, kustomize: Kustomize) -> None:
    plain = kubectl.render(overlay)
    with_components(overlay, component)
    newest, oldest = kubectl.render(overlay), kustomize.render(overlay)
    assert (newest.returncode, newest.stderr, oldest.stderr) == (0, "", "")
    assert oldest.stdout == newest.stdout
    before = leaves({o["kind"] + o["metadata"]["name"]: o for o in plain.objects})
    after = leaves({o["kind"] + o["metadata"]["name"]: o for o in newest.objects})
    assert before < after


def test_all_components_together_render_alike(overlay: Path, kubectl: Kustomize, kustomize: Kustomize) -> None:
    with_components(overlay, *sorted(path.name for path in COMPONENTS.iterdir()))
    newest, oldest = kubectl.render(overlay), kustomize.render(overlay)
    assert (newest.returncode, newest.stderr) == (0, "")
    assert oldest.stdout == newest.stdout


def test_gpu_lets_the_ranks_and_only_them_run_on_gpu_nodes(overlay: Path, kubectl: Kustomize) -> None:
    rendered = kubectl.render(with_components(overlay, "gpu"))
    assert ranks(rendered)["tolerations"] == [TOLERATION]
    assert [role for role, pod in pod_specs(rendered).items() if "tolerations" in pod] in (["Pod"], ["Worker"])
    # The count is the patch file's.
    assert container(ranks(rendered))["resources"]["limits"]["nvidia.com/gpu"] == 0


def test_scratch_gives_the_ranks_a_volume_and_tells_the_training_where(overlay: Path, kubectl: Kustomize) -> None:
    rendered = kubectl.render(with_components(overlay, "scratch"))
    (volume,) = (v for v in ranks(rendered)["volumes"] if v["name"] == "scratch")
    claim = volume["ephemeral"]["volumeClaimTemplate"]["spec"]
    assert claim == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "200Gi"}}}
    assert {"name": "scratch", "mountPath": "/scratch"} in container(ranks(rendered))["volumeMounts"]
    # The process that starts the ranks exports MLOPS_* to them.
    starter = pod_specs(rendered).get("Launcher") or ranks(rendered)
    assert environment(starter)["MLOPS_CACHE_DIR"] == "/scratch"


def test_the_overlays_patch_file_changes_the_size_of_scratch(overlay: Path, kubectl: Kustomize) -> None:
    with_components(overlay, "scratch")
    (patch,) = overlay.glob("*-patch.yaml")
    indent = "  " if overlay.name == "single-node" else " " * 10
    lines = ["volumes:", "- name: scratch", "  ephemeral:", "    volumeClaimTemplate:", "      spec:"]
    lines += ["        storageClassName: local-nvme", "        resources:", "          requests:", "            storage: 500Gi"]
    patch.write_text(patch.read_text(encoding="utf-8") + "".join(f"{indent}{line}\n" for line in lines), encoding="utf-8")
    rendered = kubectl.render(overlay)
    volumes = {volume["name"]: volume for volume in ranks(rendered)["volumes"]}
    assert volumes["scratch"]["ephemeral"]["volumeClaimTemplate"]["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "local-nvme",
        "resources": {"requests": {"storage": "500Gi"}},
    }
    assert {"datasets", "outputs", "home", "tmp", "passwd"} <= set(volumes)
