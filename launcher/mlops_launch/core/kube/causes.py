"""Why a training on a cluster has not started yet: the cause, from its objects and events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube import outcome
from mlops_launch.core.kube.objects import Object

OPERATOR_S: Final = 15.0  # until silence of the operator is worth a word

IMAGE_REASONS: Final = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
CONTAINER_REASONS: Final = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError", "CrashLoopBackOff")
NEVER_HEALED: Final = ("InvalidImageName", "ErrImageNeverPull")
OPERATOR_HINT: Final = "is mpi-operator running? `kubectl -n mpi-operator get pods`, and `kubectl -n mpi-operator logs deploy/mpi-operator`"


@dataclass(frozen=True)
class Cause:
    """Why it waits.

    Args:
        text: one line, the evidence last.
        hint: what to do.
        final: waiting longer cannot help.
    """

    text: str
    hint: str
    final: bool = False


def has_started(kind: str, pods: Sequence[Object]) -> bool:
    """Return whether the container whose log is the training's has started, or has ended."""
    mains = outcome.main_pods(kind, pods)
    return bool(mains) and (facts.started_at(mains[-1]) is not None or facts.has_ended(mains[-1]))


def is_held(workload: Object) -> bool:
    """Return whether a queue, or a person, holds the workload back."""
    policy = workload.get("spec", {}).get("runPolicy") or {}
    return bool(policy.get("suspend")) or bool(workload.get("spec", {}).get("schedulingGates"))


def causes(workload: Object, pods: Sequence[Object], events: Sequence[Object], waited: float) -> list[Cause]:
    """Return why the training has not started, what matters most first.

    Args:
        workload: the Pod or MPIJob.
        pods: its pods.
        events: the events of its objects, oldest first.
        waited: seconds since it was applied.
    """
    if is_held(workload):
        return [Cause("it is held back by a queue: suspended", "it starts when the queue admits it; `kubectl get workloads` shows Kueue's")]
    found = _of_workload(workload, events) + _of_pods(pods, events)
    if found:
        return found
    if workload["kind"] == "MPIJob":
        return _of_operator(workload, pods, waited)
    return [Cause(f"pod {facts.name_of(workload)} is {facts.phase(workload).lower()}", "`kubectl describe pod` says more")]


def _of_workload(workload: Object, events: Sequence[Object]) -> list[Cause]:
    """Return what the controllers say: an invalid spec, pods that may not be made."""
    found = []
    for event in events:
        about, message = event["involvedObject"]["kind"], " ".join(str(event.get("message", "")).split())
        if event.get("type") != "Warning" or about == "Pod":
            continue
        if event.get("reason") == "ValidationError":
            found.append(
                Cause(f"mpi-operator refuses the MPIJob: {message}", "correct the field in the patch file and run again", final=True)
            )
        elif "violates PodSecurity" in message:
            found.append(
                Cause(f"the namespace's Pod Security refuses the pods: {message}", "see the securityContext in the patch", final=True)
            )
        elif "exceeded quota" in message:
            found.append(Cause(f"the namespace's quota is used up: {message}", "ask for less, or delete what is not needed"))
        elif "failed quota" in message:
            found.append(
                Cause(f"the namespace's quota demands requests and limits: {message}", "give them in the overlay's patch file", final=True)
            )
        else:
            found.append(
                Cause(f"{about} {event['involvedObject']['name']}: {event.get('reason')}: {message}", "`kubectl describe` says more")
            )
    return list(dict.fromkeys(reversed(found)))


def _of_pods(pods: Sequence[Object], events: Sequence[Object]) -> list[Cause]:
    found: list[Cause] = []
    for pod in sorted(pods, key=lambda pod: (facts.made(pod), facts.name_of(pod))):
        cause = _of_pod(pod, [e for e in events if e["involvedObject"].get("uid") == facts.uid_of(pod)])
        if cause is not None:
            found.append(cause)
    # A pull that fails explains more than a pod that has still to start.
    return sorted(found, key=lambda cause: not cause.final)


def _of_pod(pod: Object, events: Sequence[Object]) -> Cause | None:
    name = facts.name_of(pod)
    end = facts.container_end(pod)
    if end is not None and facts.role(pod) == "worker":
        return Cause(f"worker {name} ended with exit code {end.code}: {end.reason}", f"`kubectl logs {name}` says why", final=True)
    scheduled: Object = next((c for c in (pod.get("status") or {}).get("conditions") or [] if c["type"] == "PodScheduled"), {})
    if scheduled.get("status") == "False":
        message = " ".join(str(scheduled.get("message", "")).split())
        return _unschedulable(name, message)
    waiting = (facts.main_status(pod).get("state") or {}).get("waiting") or {}
    reason, message = str(waiting.get("reason", "")), " ".join(str(waiting.get("message", "")).split())
    if reason in IMAGE_REASONS:
        image = pod["spec"]["containers"][0]["image"]
        hint = "correct REGISTRY and IMAGE_TAG, or give the namespace's service account an imagePullSecret"
        return Cause(f"the image cannot be pulled for pod {name}: {image}: {message or reason}", hint, final=reason in NEVER_HEALED)
    if reason in CONTAINER_REASONS:
        return Cause(f"the container of pod {name} cannot be started: {reason}: {message}", f"`kubectl describe pod {name}` says more")
    warned = [e for e in events if e.get("type") == "Warning" and str(e.get("reason", "")).startswith("Failed")]
    if facts.started_at(pod) is None and warned:
        message = " ".join(str(warned[-1].get("message", "")).split())
        return Cause(f"pod {name}: {warned[-1]['reason']}: {message}", f"`kubectl describe pod {name}` says more")
    if facts.started_at(pod) is None:
        return Cause(f"pod {name} is being prepared: {reason or 'not placed yet'}", f"`kubectl describe pod {name}` says more")
    if facts.role(pod) == "worker" and not facts.is_ready(pod):
        return Cause(f"worker {name} runs, but its ssh server does not answer on port 2222", f"`kubectl logs {name}` shows what it says")
    return None


def _unschedulable(name: str, message: str) -> Cause:
    if "persistentvolumeclaim" in message:
        return Cause(f"pod {name} waits for its claim: {message}", "make the claim (k8s/storage), or correct its name")
    return Cause(f"no node has room for pod {name}: {message}", "ask for less with `mlops-launch set`, or wait for a node")


def _of_operator(workload: Object, pods: Sequence[Object], waited: float) -> list[Cause]:
    if not (workload.get("status") or {}).get("conditions") and not pods and waited > OPERATOR_S:
        return [Cause("mpi-operator does not react to the MPIJob", OPERATOR_HINT)]
    workers = [pod for pod in pods if facts.role(pod) == "worker"]
    wanted = int(workload["spec"]["mpiReplicaSpecs"]["Worker"].get("replicas") or 1)
    if len(workers) < wanted:
        return [Cause(f"{len(workers)} of {wanted} workers are made", OPERATOR_HINT)]
    if all(facts.is_ready(pod) for pod in workers):
        return [Cause("all workers are ready; the launcher is not made yet", OPERATOR_HINT)]
    return []
