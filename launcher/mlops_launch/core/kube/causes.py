"""Why the pods of a workload have not started yet: the cause, from their status and from events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.objects import Object

IMAGE_REASONS: Final = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
CONTAINER_REASONS: Final = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError", "CrashLoopBackOff")
NEVER_HEALED: Final = ("InvalidImageName", "ErrImageNeverPull")


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


Explain = Callable[[Object], Cause | None]


def causes_of_events(events: Sequence[Object], own: Explain) -> list[Cause]:
    """Return what the controllers say, newest first: an invalid spec, pods that may not be created.

    Args:
        events: of the workload, its pods and what its controller creates, oldest first.
        own: explains a warning in the words of a kind.
    """
    warnings = [event for event in events if event.get("type") == "Warning" and not facts.is_pod(event["involvedObject"])]
    return list(dict.fromkeys(own(event) or _of_event(event) for event in reversed(warnings)))


def causes_of_pods(pods: Sequence[Object], events: Sequence[Object], own: Explain) -> list[Cause]:
    """Return what the pods wait for; a cause that no waiting heals first, since it explains more than a pod that has still to start.

    Args:
        pods: of the workload.
        events: as above.
        own: explains a pod that has started in the words of a kind.
    """
    found: list[Cause] = []
    for pod in sorted(pods, key=lambda pod: (facts.created_at(pod), facts.name_of(pod))):
        cause = own(pod) or _of_pod(pod, [e for e in events if e["involvedObject"].get("uid") == facts.uid_of(pod)])
        if cause is not None:
            found.append(cause)
    return sorted(found, key=lambda cause: not cause.final)


def _of_event(event: Object) -> Cause:
    about, message = event["involvedObject"], facts.message_of(event)
    if "violates PodSecurity" in message:
        return Cause(f"the namespace's Pod Security refuses the pods: {message}", "see the securityContext in the patch", final=True)
    if "exceeded quota" in message:
        return Cause(f"the namespace's quota is used up: {message}", "ask for less, or delete what is not needed")
    if "failed quota" in message:
        hint = "give them in the overlay's patch file"
        return Cause(f"the namespace's quota demands requests and limits: {message}", hint, final=True)
    return Cause(f"{about['kind']} {about['name']}: {event.get('reason')}: {message}", "`kubectl describe` says more")


def _of_pod(pod: Object, events: Sequence[Object]) -> Cause | None:
    name = facts.name_of(pod)
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
        return Cause(f"pod {name}: {warned[-1]['reason']}: {facts.message_of(warned[-1])}", f"`kubectl describe pod {name}` says more")
    if facts.started_at(pod) is None:
        return Cause(f"pod {name} is being prepared: {reason or 'not placed yet'}", f"`kubectl describe pod {name}` says more")
    return None


def _unschedulable(name: str, message: str) -> Cause:
    if "persistentvolumeclaim" in message:
        return Cause(f"pod {name} waits for its claim: {message}", "make the claim (k8s/storage), or correct its name")
    return Cause(f"no node has room for pod {name}: {message}", "ask for less with `mlops-launch set`, or wait for a node")
