"""Rules over containers, Pod Security, names, images and scripts.

Each case is one mistake in an overlay that has none, and all that `check` says about it.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.overlays import container, findings, first_lines, pod

CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a container that a patch has wiped": (
        dict(change=lambda o: pod(o).update(containers=[{"name": "worker", "resources": {}}])),
        ["error container-wiped mlops-job-patch.yaml:34 the container `worker` of Worker has lost: image, command, envFrom"],
    ),
    "no container": (
        dict(change=lambda o: pod(o, "Launcher").update(containers=[])),
        ["error container-wiped mlops-job-patch.yaml:16 no container in role: Launcher"],
    ),
    "a misspelt container": (
        dict(mode="single-node", change=lambda o: pod(o)["containers"].append({"name": "trainning"})),
        ["error container-wiped pod-patch.yaml:10 the container `trainning` of Pod has lost: image"],
    ),
    "no restartPolicy": (
        dict(mode="single-node", change=lambda o: pod(o).pop("restartPolicy")),
        ["error restart-always pod-patch.yaml:5 the Pod would start again when it has finished: restartPolicy Always, the default"],
    ),
    "no runAsNonRoot": (
        dict(mode="single-node", change=lambda o: pod(o)["securityContext"].pop("runAsNonRoot")),
        ["warning restricted-root pod-patch.yaml:6 container of Pod without `runAsNonRoot: true`: training"],
    ),
    "capabilities kept and added": (
        dict(mode="single-node", change=lambda o: container(o)["securityContext"].update(capabilities={"add": ["SYS_CHROOT"]})),
        [
            "warning restricted-capabilities pod-patch.yaml:11 container of Pod keeps capabilities: training",
            "warning restricted-capabilities pod-patch.yaml:11 container `training` of Pod adds capabilities: SYS_CHROOT",
        ],
    ),
    "privilege escalation": (
        dict(mode="single-node", change=lambda o: container(o)["securityContext"].pop("allowPrivilegeEscalation")),
        ["warning restricted-escalation pod-patch.yaml:11 container of Pod may gain privileges: training"],
    ),
    "no seccomp profile": (
        dict(mode="single-node", change=lambda o: pod(o)["securityContext"].pop("seccompProfile")),
        ["warning restricted-seccomp pod-patch.yaml:6 container of Pod without a seccomp profile: training"],
    ),
    "an inline nfs volume": (
        dict(
            mode="single-node", change=lambda o: pod(o)["volumes"].__setitem__(1, {"name": "outputs", "nfs": {"server": "s", "path": "/"}})
        ),
        ["warning restricted-volume pod-patch.yaml:5 volume `outputs` of Pod is of a kind that is not allowed: nfs"],
    ),
    "the node's network": (
        dict(mode="single-node", change=lambda o: pod(o).update(hostNetwork=True)),
        ["warning restricted-host pod-patch.yaml:5 Pod shares the node's namespaces: hostNetwork"],
    ),
    "a writable root file system": (
        dict(mode="single-node", change=lambda o: container(o)["securityContext"].pop("readOnlyRootFilesystem")),
        ["warning root-writable pod-patch.yaml:11 container of Pod with a writable root file system: training"],
    ),
    "a name that is too long": (
        dict(change=lambda o: o["MPIJob"]["metadata"].update(name="r" * 55)),
        [
            "error name-length mlops-job-patch.yaml:4 a pod cannot have this name of 64 characters: "
            "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr-worker-1"
        ],
    ),
    "a Pod without training in its name": (
        dict(mode="single-node", change=lambda o: o["Pod"]["metadata"].update(name="resnet")),
        ["warning name-training pod-patch.yaml:4 the Pod's name does not contain `training`: resnet"],
    ),
    "a bad namespace": (
        dict(kustomization=("kind: Kustomization", "kind: Kustomization\nnamespace: My_Space")),
        ["error namespace kustomization.yaml:4 not the name of a namespace: My_Space"],
    ),
    "the placeholder of the registry": (
        dict(env=("ghcr.io/me", "registry.example.com/mlops")),
        ["warning registry-placeholder mlops.env:2 the placeholder is still in `REGISTRY`: registry.example.com/mlops"],
    ),
    "a registry with a scheme": (
        dict(env=("ghcr.io/me", "https://ghcr.io/me")),
        ["error registry-scheme mlops.env:2 `REGISTRY` has a scheme: https://ghcr.io/me"],
    ),
    "the tag latest": (
        dict(env=("IMAGE_TAG=0.1.0", "IMAGE_TAG=latest")),
        ["warning image-tag mlops.env:3 the image may change between two runs: ghcr.io/me/mlops-launch:latest"],
    ),
    "no tag": (
        dict(
            mode="single-node",
            patch=("    resources:", "    image: localhost:5000/mlops-launch\n    resources:"),
            change=lambda o: container(o).update(image="localhost:5000/mlops-launch"),
        ),
        ["warning image-tag mlops.env:3 the image may change between two runs: localhost:5000/mlops-launch"],
    ),
    "a script that there is not": (
        dict(env=("fp32_training_multi_node.sh", "fp32_training_multinode.sh")),
        ["error script-missing mlops.env:11 no such script in quickstart/: fp32_training_multinode.sh"],
    ),
    "a misspelt preset": (
        dict(env=("MLOPS_PRESET=demo", "MLOPS_PRESET=dmeo")),
        ["error preset-unknown mlops.env:13 no such preset: dmeo"],
    ),
}


@pytest.mark.parametrize("mistake", CASES)
def test_a_mistake_is_named(mistake: str) -> None:
    overlay, expected = CASES[mistake]
    assert first_lines(findings(**overlay)) == expected
