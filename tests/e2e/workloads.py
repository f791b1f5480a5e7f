"""Overlays in small for the launcher's tests: the small image, the project's entry points, a program of the test's own."""

import json
import textwrap
from pathlib import Path
from typing import Any

from tests.e2e.cluster.settings import REPOSITORY, SMALL_IMAGE

UID = 4321
ENTRY_POINTS = REPOSITORY / "common" / "entrypoint"
PODS = {"runAsNonRoot": True, "runAsUser": UID, "runAsGroup": UID, "fsGroup": UID, "seccompProfile": {"type": "RuntimeDefault"}}
CONTAINERS = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}
SSH = "-p 2222 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"


def pod(folder: Path, program: str, name: str = "small-training", outputs: bool = False, **spec: Any) -> Path:
    """Writes an overlay with one Pod that runs a Python program under the launcher's entry point; returns its folder.

    With `outputs` the entry point writes its copy of the log to the claim of that name.
    """
    body = {**_spec("training", ["python3", "/package/launcher.py", "python3", "/package/program.py"]), "restartPolicy": "Never", **spec}
    if outputs:
        body["volumes"] = [*body["volumes"], {"name": "outputs", "persistentVolumeClaim": {"claimName": "outputs"}}]
        (main,) = body["containers"]
        main["volumeMounts"].append({"name": "outputs", "mountPath": "/mnt/outputs"})
        main["env"].append({"name": "OUTPUT_DIR", "value": "/mnt/outputs/small"})
    return _write(folder, name, program, {"apiVersion": "v1", "kind": "Pod", "spec": body})


def mpi_job(folder: Path, program: str, name: str = "small", workers: int = 2, worker: dict[str, Any] | None = None) -> Path:
    """Writes an overlay with an MPIJob whose ranks run a Python program on real workers; returns its folder.

    `worker` goes over the worker container's fields.
    """
    launcher = _spec("launcher", ["python3", "/package/launcher.py", "mpirun", "-x", "MODEL_DIR", "python3", "/package/program.py"])
    launcher["containers"][0]["env"] += [
        {"name": "PRTE_MCA_prte_default_hostfile", "value": "/etc/mpi/hostfile"},
        {"name": "PRTE_MCA_plm_ssh_args", "value": SSH},
        {"name": "PRTE_MCA_rmaps_default_mapping_policy", "value": "slot"},
        {"name": "PRTE_MCA_hwloc_default_binding_policy", "value": "none"},
    ]
    other = _spec("worker", ["python3", "/package/worker.py"])
    other["containers"][0] |= {"readinessProbe": {"periodSeconds": 1, "tcpSocket": {"port": 2222}}, **(worker or {})}
    replicas = {"Launcher": (1, launcher), "Worker": (workers, other)}
    spec = {
        "slotsPerWorker": 1,
        "sshAuthMountPath": "/home/mlops/.ssh",
        "launcherCreationPolicy": "WaitForWorkersReady",
        "runPolicy": {"cleanPodPolicy": "Running", "backoffLimit": 0},
        "mpiReplicaSpecs": {
            role: {"replicas": count, "restartPolicy": "Never", "template": {"metadata": {"labels": _labels(name)}, "spec": body}}
            for role, (count, body) in replicas.items()
        },
    }
    return _write(folder, name, program, {"apiVersion": "kubeflow.org/v2beta1", "kind": "MPIJob", "spec": spec})


def _spec(name: str, command: list[str]) -> dict[str, Any]:
    mounts = [
        {"name": "package", "mountPath": "/package"},
        {"name": "home", "mountPath": "/home/mlops"},
        {"name": "tmp", "mountPath": "/tmp"},
        {"name": "package", "mountPath": "/etc/passwd", "subPath": "passwd"},
    ]
    container = {
        "name": name, "image": SMALL_IMAGE, "command": command, "securityContext": CONTAINERS, "volumeMounts": mounts,
        "env": [{"name": "HOME", "value": "/home/mlops"}], "envFrom": [{"configMapRef": {"name": "mlops-env"}}],
    }  # fmt: skip
    return {
        "securityContext": PODS,
        "automountServiceAccountToken": False,
        "serviceAccountName": "mlops",
        "terminationGracePeriodSeconds": 20,
        "containers": [container],
        "volumes": [
            {"name": "package", "configMap": {"name": "package"}},
            {"name": "home", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }


def _labels(name: str) -> dict[str, str]:
    keys = {"name": "small", "instance": name, "part-of": "mlops-launch", "managed-by": "kustomize"}
    return {f"app.kubernetes.io/{key}": value for key, value in keys.items()}


def _write(folder: Path, name: str, program: str, workload: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for entry_point in ("launcher.py", "worker.py"):
        (folder / entry_point).write_text((ENTRY_POINTS / entry_point).read_text())
    (folder / "program.py").write_text(textwrap.dedent(program))
    (folder / "passwd").write_text(f"mlops:x:{UID}:{UID}::/home/mlops:/bin/sh\n")
    workload = {**workload, "metadata": {"name": name, "labels": _labels(name)}}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "automountServiceAccountToken": False}
    account |= {"metadata": {"name": "mlops", "labels": _labels(name)}}
    (folder / "objects.yaml").write_text("\n---\n".join(json.dumps(item) for item in (account, workload)))
    # kustomize rewrites a ConfigMap's hashed name in a Pod by itself; in an MPIJob it is told to.
    (folder / "names.yaml").write_text(NAMES)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": ["objects.yaml"],
        "configurations": ["names.yaml"],
        "configMapGenerator": [
            {"name": "package", "files": ["launcher.py", "worker.py", "program.py", "passwd"], "options": {"labels": _labels(name)}},
            {"name": "mlops-env", "literals": ["MODEL_DIR=/package"], "options": {"labels": _labels(name)}},
        ],
    }  # fmt: skip
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
    return folder


NAMES = """\
nameReference:
- kind: ConfigMap
  version: v1
  fieldSpecs:
  - path: spec/mpiReplicaSpecs/Launcher/template/spec/containers/envFrom/configMapRef/name
    kind: MPIJob
  - path: spec/mpiReplicaSpecs/Worker/template/spec/containers/envFrom/configMapRef/name
    kind: MPIJob
  - path: spec/mpiReplicaSpecs/Launcher/template/spec/volumes/configMap/name
    kind: MPIJob
  - path: spec/mpiReplicaSpecs/Worker/template/spec/volumes/configMap/name
    kind: MPIJob
"""
