"""k8s/gc: what a person's edits give, and a Role that fits what `mlops-launch gc` asks for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlops_launch.commands.cluster.remove import LOOKED_AT
from mlops_launch.core.workload.kinds import KINDS
from tests.manifests.tools import ROOT, Kustomize, Object, Rendered, allowed, container, edit, environment, resource


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of k8s/gc that a test may edit."""
    return Path(shutil.copytree(ROOT / "k8s" / "gc", tmp_path / "gc"))


def pod(rendered: Rendered) -> Object:
    spec: Object = rendered.object("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("registry", ["docker.io", "registry.example.com:5000/team/images"])
def test_the_image_is_registry_name_and_tag(folder: Path, kubectl: Kustomize, registry: str) -> None:
    edit(folder / "gc.env", "REGISTRY=registry.example.com/mlops", f"REGISTRY={registry}")
    edit(folder / "gc.env", "IMAGE_TAG=0.1.0", "IMAGE_TAG=2.0-rc.1")
    assert container(pod(kubectl.render(folder)))["image"] == f"{registry}/mlops-launch:2.0-rc.1"


def test_the_age_reaches_the_command(folder: Path, kubectl: Kustomize) -> None:
    edit(folder / "gc.env", "OLDER_THAN=2d", "OLDER_THAN=12h")
    rendered = pod(kubectl.render(folder))
    assert environment(rendered) == {"OLDER_THAN": "12h"}
    assert container(rendered)["command"] == ["mlops-launch", "gc", "--older-than", "$(OLDER_THAN)"]


@pytest.mark.parametrize("schedule", ["*/30 * * * *", "@daily", "0 4 * * 1-5"])
def test_the_schedule_is_taken_as_it_is(folder: Path, kubectl: Kustomize, kustomize: Kustomize, schedule: str) -> None:
    edit(folder / "gc.env", "SCHEDULE=17 3 * * *", f"SCHEDULE={schedule}")
    for program in (kubectl, kustomize):
        assert program.render(folder).object("CronJob")["spec"]["schedule"] == schedule


def test_everything_is_in_the_one_namespace_and_the_role_is_bound_to_the_pods_account(folder: Path, kubectl: Kustomize) -> None:
    edit(folder / "kustomization.yaml", "namespace: default", "namespace: team-a")
    rendered = kubectl.render(folder)
    places = sorted((o["kind"], o["metadata"]["name"], o["metadata"]["namespace"]) for o in rendered.objects)
    assert places == [(kind, "mlops-gc", "team-a") for kind in ("CronJob", "Role", "RoleBinding", "ServiceAccount")]
    binding = rendered.object("RoleBinding")
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "mlops-gc"}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "mlops-gc", "namespace": "team-a"}]
    assert pod(rendered)["serviceAccountName"] == "mlops-gc"


def test_the_role_allows_what_the_launcher_asks_for_and_no_more(folder: Path, kubectl: Kustomize) -> None:
    trainings = {(kind.api_version, kind.name) for kind in KINDS}
    # Everything is listed and deleted; a training is also looked at while it goes.
    asked = {(*resource(*what), verb) for what in trainings | set(LOOKED_AT) for verb in ("list", "delete")}
    assert allowed(kubectl.render(folder)) == asked | {(*resource(*what), "get") for what in trainings}


def test_no_label_of_it_is_one_that_delete_or_gc_looks_for(folder: Path, kubectl: Kustomize) -> None:
    rendered = kubectl.render(folder)
    template = rendered.object("CronJob")["spec"]["jobTemplate"]
    labelled = [*rendered.objects, template, template["spec"]["template"]]
    assert {item["metadata"]["labels"]["app.kubernetes.io/part-of"] for item in labelled} == {"mlops-gc"}


def test_the_pod_is_restricted_and_needs_no_place_to_write(folder: Path, kubectl: Kustomize) -> None:
    spec = pod(kubectl.render(folder))
    user = {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000}
    assert spec["securityContext"] == {**user, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container(spec)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert "volumes" not in spec
