"""Why the pods of a workload have not started yet: the cause, from their status and from events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mlops_launch.admission import ADMISSION, Words, lookup
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.kube.words import controllers, kubelet, scheduler
from mlops_launch.core.printable import one_line

_PROGRESS: Final = ("Pulled", "Created", "Started")  # warnings before these are of the past
_UNSAID: Final = "no reason given"


@dataclass(frozen=True)
class Cause:
    """Why it waits.

    Args:
        text: one line, the evidence last.
        hint: what to do.
        final: waiting longer cannot help.
        kind: a word for what it is: `taint`, `quota`, `image`, …; `unknown` when the evidence is shown without a reading of it.
        again: a final one that another try may not meet: the node was lost, not the run wrong.
    """

    text: str
    hint: str
    final: bool = False
    kind: str = "unknown"
    again: bool = False


Explain = Callable[[Object], Cause | None]


def causes_of_events(events: Sequence[Object], own: Explain) -> list[Cause]:
    """Return what the controllers say, newest first: an invalid spec, pods that may not be created.

    Args:
        events: of the workload, its pods, their claims, and what its controller creates, oldest first.
        own: explains a warning in the words of a kind.
    """
    others = (facts.POD[1], facts.CLAIM[1])
    warnings = [event for event in events if event.get("type") == "Warning" and event["involvedObject"].get("kind") not in others]
    return list(dict.fromkeys(own(event) or _of_event(event) for event in reversed(warnings)))


def causes_of_pods(pods: Sequence[Object], events: Sequence[Object], own: Explain, nodes: Sequence[Object] = ()) -> list[Cause]:
    """Return what the pods wait for; a cause that no waiting heals first, since it explains more than a pod that has still to start.

    Args:
        pods: of the workload.
        events: as above.
        own: explains a pod that has started in the words of a kind.
        nodes: that pods are on, as far as they may be read.
    """
    found: list[Cause] = []
    for pod in sorted(pods, key=lambda pod: (facts.created_at(pod), facts.name_of(pod))):
        if pod["metadata"].get("deletionTimestamp"):
            continue  # its controller replaces it
        cause = _rejected(pod) or own(pod) or _of_node(pod, nodes) or _of_pod(pod, events)
        if cause is not None:
            found.append(cause)
    return sorted(found, key=lambda cause: not cause.final)


def cause_of_queue(item: Object, events: Sequence[Object]) -> Cause:
    """Return why a queue, such as Kueue's, has not admitted a workload: the newest that was said of its Workload since it was created.

    Args:
        item: the workload.
        events: as above.
    """
    created = facts.created_at(item)[: facts.SECOND]
    said = [event for event in events if event["involvedObject"].get("kind") == facts.QUEUED and facts.said_at(event) >= created]
    words = _joined(_said(said[-1].get("reason")), _said(said[-1].get("message"))) if said else ""
    text = _joined("suspended: waiting for its queue to admit it", words)
    return Cause(text, "`kubectl get workloads` shows Kueue's", kind="queue")


def never_started(pods: Sequence[Object]) -> Cause | None:
    """Return why a pod has ended without having started, or None."""
    ended = [pod for pod in pods if facts.has_ended(pod) and facts.started_at(pod) is None]
    return next((cause for cause in causes_of_pods(ended, [], lambda pod: None) if cause.final), None)


def _of_event(event: Object) -> Cause:
    about, message = event["involvedObject"], _said(event.get("message"))
    reason = _said(event.get("reason"))
    row = lookup(ADMISSION, message) or lookup(controllers.WORKLOADS, message)
    if row is not None:
        return _cause(row, str(about.get("name")), message)
    return Cause(f"{about.get('kind')} {about.get('name')}: {reason}: {message}", "`kubectl describe` says more")


def _rejected(pod: Object) -> Cause | None:
    """Return why a kubelet has refused a pod or put it out: it stays as it is, and is never started again."""
    status, who = pod.get("status") or {}, facts.name_of(pod)
    reason = _said(status.get("reason"))
    if facts.phase(pod) != facts.FAILED or not reason:
        return None
    evidence = _joined(reason, _said(status.get("message")))
    row = lookup(kubelet.REJECTIONS, evidence)
    return _cause(row, who, evidence) if row else Cause(f"pod {who} has failed: {evidence}", _describe(who), final=True)


def _of_node(pod: Object, nodes: Sequence[Object]) -> Cause | None:
    """Return that the node of a pod that has not started is not ready: what the pod's status says is old then."""
    name = pod["spec"].get("nodeName")
    node: Object = next((node for node in nodes if facts.name_of(node) == name), {})
    ready: Object = next((c for c in (node.get("status") or {}).get("conditions") or [] if c["type"] == "Ready"), {})
    if not ready or ready.get("status") == "True" or facts.started_at(pod) is not None:
        return None
    what = "does not answer" if ready.get("status") == "Unknown" else "is not ready"
    text = _joined(f"node {name} of pod {facts.name_of(pod)} {what}", _said(ready.get("reason")), _said(ready.get("message")))
    return Cause(text, f"`kubectl describe node {name}` says since when", kind="node")


def _of_pod(pod: Object, events: Sequence[Object]) -> Cause | None:
    who, status = facts.name_of(pod), pod.get("status") or {}
    own = [event for event in events if event["involvedObject"].get("uid") == facts.uid_of(pod)]
    scheduled: Object = next((c for c in status.get("conditions") or [] if c["type"] == "PodScheduled"), {})
    if scheduled.get("status") == "False":
        return _unplaced(pod, _said(scheduled.get("message")) or _said(scheduled.get("reason")) or _UNSAID, events)
    for init in status.get("initContainerStatuses") or []:
        cause = _of_container(pod, init, f"init container {init['name']}: ", "initContainers")
        if cause is not None:
            return cause
    cause = _of_container(pod, facts.main_status(pod), "", "containers")
    if cause is not None or facts.started_at(pod) is not None:
        return cause
    if not scheduled and not own and not status.get("containerStatuses") and not pod["spec"].get("nodeName"):
        name = pod["spec"].get("schedulerName") or "default-scheduler"
        text = f"pod {who} is not placed yet: scheduler {name} has not looked at it"
        return Cause(text, f"if it stays so, is there a scheduler of the name {name}?", kind="scheduler name")
    return _of_events(pod, own) or _preparing(pod)


def _preparing(pod: Object) -> Cause:
    waiting = (facts.main_status(pod).get("state") or {}).get("waiting") or {}
    reason = _joined(_said(waiting.get("reason")), _said(waiting.get("message")))
    who = facts.name_of(pod)
    return Cause(f"pod {who} is being prepared: {reason or 'its node has not said more yet'}", _describe(who), kind="preparing")


def _unplaced(pod: Object, message: str, events: Sequence[Object]) -> Cause:
    who, reading = facts.name_of(pod), scheduler.read(message)
    if not reading.rows:
        return Cause(f"the scheduler has not placed pod {who}: {message}", _describe(who), kind="scheduler")
    message = message if reading.unknown else reading.told
    first, kinds = reading.rows[0], list(dict.fromkeys(row.kind for row in reading.rows))
    if first.kind == "claim":
        return _of_claims(pod, message, events) or _cause(first, who, message)
    if len(kinds) == 1 and not reading.unknown:
        gates = ", ".join(str(gate.get("name")) for gate in pod["spec"].get("schedulingGates") or []) if first.kind == "gate" else ""
        return _cause(first, who, f"{gates}: {message}" if gates else message)
    second = next((row for row in reading.rows if row.kind != first.kind), first)
    hint = first.hint if second is first else f"{first.hint}; or {second.hint}"
    text = f"no node takes pod {who} ({', '.join([*kinds, *(['another reason'] if reading.unknown else [])])}): {message}"
    return Cause(text, hint.format(who=who, container=""), kind=first.kind)


def _of_claims(pod: Object, message: str, events: Sequence[Object]) -> Cause | None:
    """Return what is said of the claims of a pod, newest first."""
    claims = facts.claims(pod)
    for event in reversed(events):
        about, said = event["involvedObject"], f"{_said(event.get('reason'))}: {_said(event.get('message'))}"
        row = lookup(controllers.CLAIMS, said)
        if about.get("kind") == facts.CLAIM[1] and about.get("name") in claims and row is not None:
            return _cause(row, facts.name_of(pod), f"{message}; claim {about['name']}: {said}")
    return None


def _of_container(pod: Object, status: Object, label: str, where: str) -> Cause | None:
    """Return why a container does not start, or, for an init container, why it has failed."""
    who, name, state = facts.name_of(pod), str(status.get("name", "")), status.get("state") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    last = (status.get("lastState") or {}).get("terminated") or {}
    if ended and (label or ended.get("reason") in facts.NOT_STARTED) and ended.get("exitCode") != 0:
        final = pod["spec"].get("restartPolicy", "Always") == "Never" or facts.phase(pod) == facts.FAILED
        return _of_end(pod, ended, label, final, name)
    reason, message = _said(waiting.get("reason")), _said(waiting.get("message"))
    if last.get("reason") in facts.NOT_STARTED:
        message = _joined(message, _said(last.get("message")))
    elif last and reason == "CrashLoopBackOff":
        reason = f"{reason}: last exit code {last.get('exitCode')}"
    row = lookup(kubelet.REASONS, reason)
    if row is None:
        return None
    said = lookup(kubelet.IMAGE_MESSAGES if "image" in row.text else kubelet.CONTAINER_MESSAGES, message) or row
    if row.kind not in ("image", "registry", "signature"):
        return _cause(said, who, f"{label}{_joined(reason, message)}", name)
    image = next((c.get("image") for c in pod["spec"].get(where) or [] if c["name"] == name), "unknown")
    return _cause(said, who, f"{label}{image}: {message or reason}", name)


def _of_end(pod: Object, ended: Object, label: str, final: bool, name: str) -> Cause:
    who, reason, message = facts.name_of(pod), _said(ended.get("reason")), _said(ended.get("message"))
    evidence = f"{label}{_joined(reason, message)}"
    row = lookup(kubelet.CONTAINER_MESSAGES, message)
    if reason in facts.NOT_STARTED:
        return _cause(row or lookup(kubelet.REASONS, reason), who, evidence, name)
    text = _joined(f"init container {name} of pod {who} ended with exit code {ended.get('exitCode')}", reason, message)
    return Cause(text, f"`kubectl logs {who} -c {name}` says why", final=final, kind="init")


def _of_events(pod: Object, events: Sequence[Object]) -> Cause | None:
    """Return what the newest event says that is not of the past."""
    who = facts.name_of(pod)
    for event in reversed(events):
        reason, message = _said(event.get("reason")), _said(event.get("message"))
        if reason in _PROGRESS:
            return None
        if reason == "FailedScheduling" or (event.get("type") != "Warning" and reason != "Pulling"):
            continue
        row = lookup(kubelet.EVENTS, f"{reason}: {message}")
        return _cause(row, who, f"{reason}: {message}") if row else Cause(f"pod {who}: {reason}: {message}", _describe(who))
    return None


def _cause(row: Words | None, who: str, evidence: str, container: str = "") -> Cause:
    assert row is not None
    names = {"who": who, "container": container}
    return Cause(f"{row.text.format(**names)}: {evidence}", row.hint.format(**names), row.final, row.kind, row.again)


def _describe(who: str) -> str:
    return f"`kubectl describe pod {who}` says more"


def _joined(*parts: str) -> str:
    return ": ".join(part for part in parts if part)


def _said(text: Any) -> str:
    """Return the cluster's words in one line that steers no terminal."""
    return one_line(" ".join(str("" if text is None else text).split()))
