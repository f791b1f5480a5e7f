"""What the overlay's own patches do: matched against what kubectl renders without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.overlays import PATCHES
from tests.unit.test_rules_valid_overlays import Change, findings, kustomization, package, patch, replace, roles

__all__ = ["package"]

PATCH = PATCHES["multi-node"]


OPERATION = "- op: add\n  path: /spec/slotsPerWorker\n  value: 5\n"


def rename_in_both(folder: Path) -> None:
    replace(folder, PATCH, "name: resnet50v1-5", "name: my-run")
    replace(folder, "kustomization.yaml", "    name: resnet50v1-5\n", "    name: my-run\n")


def targets(**target: str) -> Change:
    operation = "- op: replace\n  path: /spec/slotsPerWorker\n  value: 5\n"
    return lambda folder: kustomization(folder, patches=[{"target": target, "patch": operation}])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            lambda f: replace(f, PATCH, "name: resnet50v1-5", "name: my-run"),
            ["warning patch-name mlops-job-patch.yaml:4 kustomize ignores this name, the workload remains resnet50v1-5: my-run"],
            id="another name in the patch",
        ),
        pytest.param(
            rename_in_both,
            ["error patch-unmatched kustomization.yaml:17 the target of this patch matches nothing: MPIJob/my-run"],
            id="another name in the patch and its target, which then does not render",
        ),
        pytest.param(targets(kind="MPIJob", name="resnet.*"), [], id="a regular expression"),
        pytest.param(targets(kind="MPIJob", labelSelector="app.kubernetes.io/name=resnet50v1-5"), [], id="labels that it has"),
        pytest.param(
            targets(kind="MPIJob", labelSelector="team=vision"),
            ["error patch-unmatched kustomization.yaml:22 the target of this patch matches nothing: MPIJob/*"],
            id="labels that it does not have",
        ),
        pytest.param(
            targets(kind="MPIJob", namespace="team-a"),
            ["error patch-unmatched kustomization.yaml:22 the target of this patch matches nothing: MPIJob/*"],
            id="a namespace that it is not in",
        ),
        pytest.param(
            targets(kind="MPIJob", name="*"),
            ["error patch-unmatched kustomization.yaml:22 not a regular expression: *"],
            id="what is not a regular expression",
        ),
        pytest.param(
            lambda f: kustomization(
                f, patchesJson6902=[{"target": {"version": "v1", "kind": "MPIJob", "name": "resnet50v1-5"}, "patch": OPERATION}]
            ),
            [
                "error patch-unmatched kustomization.yaml:25 the target of this patch matches nothing: MPIJob/resnet50v1-5",
                "warning kustomize-deprecated kustomization.yaml:24 deprecated field: patchesJson6902",
            ],
            id="another version, in the field that `patches` has taken the place of",
        ),
        pytest.param(
            lambda f: kustomization(f, patches=[{"target": {"kind": "MPIJob"}, "patch": OPERATION.replace("slotsPer", "slotPer")}]),
            ["error field-unknown kustomization.yaml:24 no such field: slotPerWorker"],
            id="a misspelt field of an operation",
        ),
        pytest.param(
            lambda f: kustomization(f, patches=[{"target": {"kind": "MPIJob"}, "patch": OPERATION.replace("5", "05")}]),
            ["error yaml-octal kustomization.yaml:26 kustomize reads `slotsPerWorker` as 5, for a leading zero means octal: 05"],
            id="a leading zero in an operation",
        ),
        pytest.param(
            targets(kind="Job"),
            ["error patch-unmatched kustomization.yaml:22 the target of this patch matches nothing: Job/*"],
            id="another kind",
        ),
        pytest.param(
            lambda f: replace(f, PATCH, "replicas: 2", "replicas: 02"),
            ["error yaml-octal mlops-job-patch.yaml:26 kustomize reads `replicas` as 2, for a leading zero means octal: 02"],
            id="a leading zero",
        ),
        *[
            pytest.param(
                lambda f, number=number: replace(f, PATCH, "replicas: 2", f"replicas: {number}"),
                [f"error yaml-octal mlops-job-patch.yaml:26 kustomize reads `replicas` as 2: {number}"],
                id=f"a count in another notation: {number}",
            )
            for number in ("0x2", "0b10", "+2", "2.0", "2e0")
        ],
        pytest.param(lambda f: replace(f, PATCH, 'cpu: "4"', "cpu: 4.0"), [], id="a quantity with a point"),
        pytest.param(
            lambda f: patch(f, "multi-node", roles(Worker={"volumes": [{"name": "ca", "configMap": {"name": "ca", "defaultMode": 420}}]})),
            [],
            id="a mode",
        ),
    ],
)
def test_what_a_patch_does_not_do_is_named(change: Change, expected: list[str], package: Path) -> None:
    assert [found.splitlines()[0] for found in findings(package, "multi-node", change)] == expected


def test_a_list_that_drops_what_a_component_gave(package: Path) -> None:
    def change(folder: Path) -> None:
        kustomization(folder, components=["../../../common/tensorflow/k8s/mlops/components/gpu"])
        patch(folder, "multi-node", roles(Worker={"tolerations": [{"key": "team", "operator": "Exists"}]}))

    assert [found.splitlines()[0] for found in findings(package, "multi-node", change)] == [
        "warning list-replaced more.yaml:10 `tolerations` of Worker replaces the list of the base, which loses: nvidia.com/gpu"
    ]


def test_an_env_from_that_drops_the_job_s_own(package: Path) -> None:
    def change(folder: Path) -> None:
        container = {"name": "launcher", "envFrom": [{"secretRef": {"name": "tracking"}}]}
        patch(folder, "multi-node", roles(Launcher={"containers": [container]}))

    found = [line.split()[:2] for line in findings(package, "multi-node", change)]
    assert found == [["error", "reference-unresolved"]] * 2 + [["warning", "list-replaced"]]
