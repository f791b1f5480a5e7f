"""Rules over users, counts and resources.

Each case is one mistake in an overlay that has none, and all that `check` says about it.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.overlays import container, findings, first_lines, pod

CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "the placeholder of the uid": (
        dict(change=lambda o: pod(o)["securityContext"].update(runAsUser="<User ID>")),
        [
            "error user-number mlops-job-patch.yaml:30 `runAsUser` of Worker must be a whole number of 0 or more, "
            'and not a text: "<User ID>"',
        ],
    ),
    "a gid in quotes": (
        dict(change=lambda o: [pod(o, r)["securityContext"].update(fsGroup="1000") for r in ("Launcher", "Worker")]),
        [
            'error user-number mlops-job-patch.yaml:15 `fsGroup` of Launcher must be a whole number of 0 or more, and not a text: "1000"',
            'error user-number mlops-job-patch.yaml:32 `fsGroup` of Worker must be a whole number of 0 or more, and not a text: "1000"',
        ],
    ),
    "no fsGroup": (
        dict(mode="single-node", change=lambda o: pod(o)["securityContext"].pop("fsGroup")),
        ["error user-missing pod-patch.yaml:6 Pod has no `fsGroup`"],
    ),
    "root": (
        dict(
            mode="single-node",
            change=lambda o: (
                pod(o)["securityContext"].update(runAsUser=0),
                o["passwd"]["data"].update(passwd="mlops:x:0:1000::/home/mlops:/bin/sh"),
            ),
        ),
        ["error user-root pod-patch.yaml:7 `runAsUser` of Pod is root: 0"],
    ),
    "Launcher and Worker differ": (
        dict(change=lambda o: pod(o, "Launcher")["securityContext"].update(fsGroup=2000)),
        ["error user-differs mlops-job-patch.yaml:32 `fsGroup` differs between Launcher and Worker: 2000 and 1000"],
    ),
    "a passwd line of another user": (
        dict(change=lambda o: o["passwd"]["data"].update(passwd="mlops:x:7:8::/home/mlops:/bin/sh\n")),
        [
            "error user-passwd mlops-job-patch.yaml:12 no passwd line for 1000:1000 of Launcher: mlops:x:7:8::/home/mlops:/bin/sh",
            "error user-passwd mlops-job-patch.yaml:29 no passwd line for 1000:1000 of Worker: mlops:x:7:8::/home/mlops:/bin/sh",
        ],
    ),
    "no passwd line": (
        dict(mode="single-node", change=lambda o: container(o)["volumeMounts"].pop()),
        ["error user-passwd pod-patch.yaml:5 Pod mounts no passwd line over /etc/passwd"],
    ),
    "fsGroup on a container": (
        dict(change=lambda o: container(o)["securityContext"].update(fsGroup=1000)),
        ["error user-container mlops-job-patch.yaml:34 `fsGroup` on the container `worker` of Worker: 1000"],
    ),
    "negative GPUs": (
        dict(change=lambda o: container(o)["resources"]["limits"].update({"nvidia.com/gpu": -1})),
        ["error gpu-count mlops-job-patch.yaml:42 `nvidia.com/gpu` of Worker is not a whole number of 0 or more: -1"],
    ),
    "half a GPU": (
        dict(mode="single-node", change=lambda o: container(o)["resources"]["limits"].update({"nvidia.com/gpu": 0.5})),
        ["error gpu-count pod-patch.yaml:19 `nvidia.com/gpu` of Pod is not a whole number of 0 or more: 0.5"],
    ),
    "a GPU request that is not the limit": (
        dict(change=lambda o: container(o)["resources"]["requests"].update({"nvidia.com/gpu": 1})),
        ["error gpu-request mlops-job-patch.yaml:36 request and limit of `nvidia.com/gpu` of Worker differ: 1 and 0"],
    ),
    "memory that is not a quantity": (
        dict(change=lambda o: container(o)["resources"]["limits"].update(memory="8 GB")),
        ["error quantity mlops-job-patch.yaml:41 `memory` in limits of Worker is not a quantity: 8 GB"],
    ),
    "a request above its limit": (
        dict(change=lambda o: container(o)["resources"]["requests"].update(cpu="8")),
        ["error request-above-limit mlops-job-patch.yaml:37 the request of `cpu` of Worker is above its limit: 8 > 4"],
    ),
    "no workers": (
        dict(change=lambda o: o["MPIJob"]["spec"]["mpiReplicaSpecs"]["Worker"].update(replicas=0)),
        ["error workers mlops-job-patch.yaml:26 the Worker's `replicas` must be a whole number of 1 or more: 0"],
    ),
    "two launchers": (
        dict(change=lambda o: o["MPIJob"]["spec"]["mpiReplicaSpecs"]["Launcher"].update(replicas=2)),
        ["error workers mlops-job-patch.yaml:9 the Launcher's `replicas` must be 1: 2"],
    ),
    "slots as text": (
        dict(change=lambda o: o["MPIJob"]["spec"].update(slotsPerWorker="two")),
        ['error slots mlops-job-patch.yaml:7 `slotsPerWorker` must be a whole number of 1 or more, and not a text: "two"'],
    ),
    "more slots than GPUs": (
        dict(
            change=lambda o: (
                o["MPIJob"]["spec"].update(slotsPerWorker=5),
                container(o)["resources"]["limits"].update({"nvidia.com/gpu": 2}),
            )
        ),
        ["error slots-above-gpus mlops-job-patch.yaml:7 more slots than GPUs per worker: 5 > 2"],
    ),
    "a global batch that cannot be divided": (
        dict(env=("MLOPS_PRESET=demo", "MLOPS_PRESET=demo\nMLOPS_GLOBAL_BATCH=51")),
        ["error global-batch mlops.env:14 MLOPS_GLOBAL_BATCH cannot be divided among 2 ranks: 51"],
    ),
    "a preset's global batch that cannot be divided": (
        dict(change=lambda o: o["MPIJob"]["spec"]["mpiReplicaSpecs"]["Worker"].update(replicas=3)),
        ["error global-batch mlops.env:13 the global batch of preset demo cannot be divided among 3 ranks: 50"],
    ),
    "a model's global batch that cannot be divided": (
        dict(
            env=("MLOPS_PRESET=demo\n", ""),
            change=lambda o: o["MPIJob"]["spec"]["mpiReplicaSpecs"]["Worker"].update(replicas=3),
        ),
        ["error global-batch mlops.env:11 the global batch of resnet50v1_5 cannot be divided among 3 ranks: 256"],
    ),
}


@pytest.mark.parametrize("mistake", CASES)
def test_a_mistake_is_named(mistake: str) -> None:
    overlay, expected = CASES[mistake]
    assert first_lines(findings(**overlay)) == expected
