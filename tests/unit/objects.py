"""Kubernetes objects in small, as the API has them."""

from __future__ import annotations

from typing import Any

LABELS = {"app.kubernetes.io/part-of": "mlops-launch", "app.kubernetes.io/instance": "demo"}


def job(*conditions: str, **spec: Any) -> dict[str, Any]:
    """An MPIJob with two workers and with these conditions."""
    status = {"conditions": [{"type": c, "status": "True", "message": f"is {c}"} for c in conditions]} if conditions else {}
    body = {"mpiReplicaSpecs": {"Worker": {"replicas": 2}}, **spec}
    return {"apiVersion": "kubeflow.org/v2beta1", "kind": "MPIJob", "metadata": meta("demo"), "spec": body, "status": status}


def pod(name: str, role: str, state: dict[str, Any] | None = None, ready: bool = False, **status: Any) -> dict[str, Any]:
    """A pod of that job; `state` is its container's."""
    labels = {"training.kubeflow.org/job-role": role, "training.kubeflow.org/job-name": "demo"} if role != "pod" else {}
    limits = {"resources": {"limits": {"memory": "8Gi"}}}
    status = {"phase": "Running" if state and "running" in state else "Pending", **status}
    if state is not None:
        status["containerStatuses"] = [{"name": "main", "state": state}]
        if "terminated" in state:
            status["phase"] = "Failed" if state["terminated"]["exitCode"] else "Succeeded"
    status.setdefault("conditions", []).append({"type": "Ready", "status": str(ready)})
    spec = {"containers": [{"name": "main", "image": "registry.example.com/x:1", **limits}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**meta(name), "labels": {**LABELS, **labels}}, "spec": spec, "status": status}


def meta(name: str, **labels: str) -> dict[str, Any]:
    return {"name": name, "uid": f"uid-{name}", "creationTimestamp": "2026-01-02T03:04:05Z", "labels": {**LABELS, **labels}}


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "startedAt": "2026-01-02T03:04:06Z"}}


def event(about: dict[str, Any], reason: str, message: str) -> dict[str, Any]:
    involved = {"kind": about["kind"], "name": about["metadata"]["name"], "uid": about["metadata"]["uid"]}
    return {"type": "Warning", "reason": reason, "message": message, "involvedObject": involved}


RUNNING = {"running": {"startedAt": "2026-01-02T03:04:06Z"}}
