"""How a training on a cluster ended, from its objects alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_launch import contract
from mlops_launch.contract import ExitCode, LauncherExitCode
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.objects import FAILED, SUCCEEDED, ContainerEnd, Object
from mlops_launch.core.kube.words.kubelet import OWN_LIMITS

DELETED = "it was deleted"  # by somebody else: no other try
EVICTED = "Evicted"  # the kubelet's word in a pod's status and in an event


@dataclass(frozen=True)
class MemoryKill:
    """A process killed for memory: in which pod, at which limit."""

    pod: str
    limit: str


@dataclass(frozen=True)
class Outcome:
    """The end of a training.

    Args:
        code: the training's exit code.
        reason: what else is known, a sentence's part; None when the code says all.
    """

    code: int
    reason: str | None = None


def outcome(item: Object | None, word: str | None, mains: Sequence[Object], pods: Sequence[Object]) -> Outcome | None:
    """Return how a workload ended, or None while it runs or its end is not clear yet.

    Args:
        item: its newest state; None when it is gone.
        word: SUCCEEDED, FAILED, or None while the cluster has not marked it.
        mains: the pods whose exit code is the run's, oldest first.
        pods: all pods it ever had, each in its newest state, deleted ones too.
    """
    end = facts.container_end(mains[-1]) if mains else None
    if item is None:
        return Outcome(end.code if end else ExitCode.INTERRUPTED, DELETED)
    if word is None:
        return None
    if word == SUCCEEDED:
        return Outcome(ExitCode.SUCCESS)
    if end is not None and end.code != 0:
        return _of_end(end, item, mains[-1], pods)
    if mains and end is None and not facts.has_ended(mains[-1]) and not mains[-1]["metadata"].get("deletionTimestamp"):
        return None  # marked as failed, because a worker was lost, and the main pod is still saving
    return Outcome(ExitCode.WORKER_LOST, _eviction(pods) or _message(item))


def explained(found: Outcome, events: Sequence[Object]) -> Outcome:
    """Return the outcome with the eviction that events alone may tell.

    The kubelet says it in an event first. In the pod's status it says it when the containers have ended: after the ranks, and thereby
    the run, or never, when the operator deletes the pod before.

    Args:
        found: what the objects say.
        events: of the run's pods and of what created them.
    """
    is_told = found.reason is not None and (found.reason == DELETED or found.reason.startswith("pod "))
    if is_told or not may_hide_a_kill(found.code):
        return found
    for event in events:
        about = event["involvedObject"]
        if about.get("kind") == facts.POD[1] and event.get("reason") == EVICTED:
            reason = f"pod {about['name']}: {EVICTED}: {facts.message_of(event)}"
            return Outcome(found.code if contract.is_retryable(found.code) else ExitCode.WORKER_LOST, reason)
    return found


def may_heal(reason: str | None) -> bool:
    """Return whether another try may go better, as the reason of an end has it: not where a person or the pod's own disk limit was it."""
    return reason != DELETED and not (reason and any(row.phrase in reason for row in OWN_LIMITS))


def advice(reason: str | None) -> str | None:
    """Return what to do about the reason of an end, or None where the exit code says more."""
    return next((row.hint for row in OWN_LIMITS if reason and row.phrase in reason), None)


def _of_end(end: ContainerEnd, item: Object, main: Object, pods: Sequence[Object]) -> Outcome:
    """Return the outcome of a run whose main container has failed."""
    own = _eviction([main])
    if own is None and end.reason in (*facts.NOT_STARTED, facts.LOST):
        own = ": ".join(text for text in (f"pod {facts.name_of(main)}", end.reason, end.message) if text)
    if end.reason in facts.NOT_STARTED:
        return Outcome(LauncherExitCode.LAUNCHER_FAILED, own)  # its 128 is the runtime's, not the program's
    if own is not None or not may_hide_a_kill(end.code):
        return Outcome(end.code, own)
    # When a worker is put out, mpirun may end with the code that a peer had, such as 1.
    lost = _eviction(pods) or (_message(item) if _evicts(item) else None)
    return Outcome(end.code, None) if lost is None else Outcome(end.code if contract.is_retryable(end.code) else ExitCode.WORKER_LOST, lost)


def _evicts(item: Object) -> bool:
    return str((facts.condition(item, FAILED) or {}).get("reason", "")).endswith("Evicted")


def memory_kill(pods: Sequence[Object], mains: Sequence[Object], lines: Sequence[Mapping[str, Any]]) -> MemoryKill | None:
    """Return who was killed for memory in the newest try, or None.

    Args:
        pods: all pods of the training.
        mains: those whose exit code is the run's, oldest first.
        lines: the fields of the `out-of-memory` lines that entry points wrote in that try.
    """
    found = facts.killed_for_memory(pods, mains)
    if found is not None:
        return MemoryKill(*found)
    if not lines:
        return None
    host = str(lines[0].get("host", "unknown"))
    pod = next((pod for pod in pods if facts.name_of(pod) == host), None)
    return MemoryKill(host, facts.memory_limit(pod, facts.container(pod)) if pod else f"{lines[0].get('limit_bytes', 'unknown')} bytes")


def may_hide_a_kill(code: int) -> bool:
    """Return whether a rank may have been killed behind an exit code.

    When one rank is killed, its peers lose their connection, and mpirun may take a peer's code, such as 1, for the first.
    A training's own codes are no peer's.
    """
    return code != ExitCode.SUCCESS and not ExitCode.USAGE <= code <= ExitCode.CONFIGURATION


def memory_line(line: bytes) -> Mapping[str, str] | None:
    """Return the fields of an entry point's `out-of-memory` line, or None for any other line."""
    text = line.decode(errors="replace")
    return contract.parse_fields(text) if text.startswith(f"{contract.OUT_OF_MEMORY} ") else None


def _eviction(pods: Sequence[Object]) -> str | None:
    for pod in pods:
        status = pod.get("status") or {}
        disrupted = facts.condition(pod, "DisruptionTarget") or {}
        reason = status.get("reason") or disrupted.get("reason")
        if reason:
            message = status.get("message") or disrupted.get("message") or ""
            return f"pod {facts.name_of(pod)}: {reason}: {' '.join(str(message).split())}".rstrip(": ")
    return None


def _message(workload: Object) -> str:
    status = workload.get("status") or {}
    found = facts.condition(workload, FAILED) or status
    return " ".join(str(found.get("message") or found.get("reason") or "no reason given").split())
