"""The state of a workload, whatever its kind: whether it has started, why it waits, how it ended."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_launch.contract import ExitCode
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube import outcome as ends
from mlops_launch.core.kube.causes import Cause, cause_of_queue, causes_of_events, causes_of_pods, never_started
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.kube.outcome import Outcome
from mlops_launch.core.workload.kinds import kind_of, main_pods


def has_started(workload: Object, pods: Sequence[Object]) -> bool:
    """Return whether the container whose log is the run's has started.

    Args:
        workload: its manifest or object.
        pods: its pods.
    """
    mains = main_pods(workload, pods)
    return bool(mains) and (facts.started_at(mains[-1]) is not None or facts.phase(mains[-1]) == facts.SUCCEEDED)


def hopeless(workload: Object, pods: Sequence[Object]) -> Cause | None:
    """Return why a workload has ended without having started, in a way that is its pods' own, or None.

    Args:
        workload: its manifest or object.
        pods: its pods.
    """
    older = main_pods(workload, pods)[:-1]
    return None if has_started(workload, pods) else never_started([pod for pod in pods if pod not in older])


def finished(item: Object) -> str | None:
    """Return `Succeeded` or `Failed` when the cluster has marked a workload so, else None."""
    return kind_of(item).finished(item)


def ended_at(item: Object) -> str | None:
    """Return when a workload ended (RFC 3339), or None while it runs."""
    if finished(item) is None:
        return None
    return str(kind_of(item).ended_at(item) or facts.created_at(item))


def is_suspended(item: Object) -> bool:
    """Return whether a queue, or a person, holds a workload back."""
    return kind_of(item).is_suspended(item)


def word_for(item: Object) -> str:
    """Return `succeeded`, `failed`, `deleting`, `suspended`, `running` or `waiting`."""
    word = finished(item)
    if word is not None:
        return word.lower()
    if item["metadata"].get("deletionTimestamp"):
        return "deleting"
    if is_suspended(item):
        return "suspended"
    return "running" if kind_of(item).is_running(item) else "waiting"


def causes(item: Object, pods: Sequence[Object], events: Sequence[Object], waited: float, nodes: Sequence[Object] = ()) -> list[Cause]:
    """Return why a workload has not started, what matters most first.

    Args:
        item: the workload.
        pods: its pods.
        events: of it, its pods and what its controller creates, oldest first.
        waited: seconds since it was applied.
        nodes: that its pods are on, as far as they may be read.
    """
    kind = kind_of(item)
    if kind.is_suspended(item):
        return [cause_of_queue(item, events)]
    newest = max((facts.created_at(pod) for pod in pods), default="")
    current = [event for event in events if not _is_stale(event, newest)]
    found = causes_of_events(current, kind.cause_of_event) + causes_of_pods(pods, events, kind.cause_of_pod, nodes)
    return sorted(found, key=lambda cause: not cause.final) or kind.causes_of_silence(item, pods, waited)


def _is_stale(event: Object, newest_pod: str) -> bool:
    """Return whether a pod was created after an event: what it complains of, as a quota, was overcome."""
    return "" < facts.said_at(event) < newest_pod[: facts.SECOND]


def outcome(workload: Object, item: Object | None, pods: Sequence[Object]) -> Outcome | None:
    """Return how a workload ended, or None while it runs or its end is not clear yet.

    Args:
        workload: its manifest, or any state of it.
        item: its newest state; None when it is gone.
        pods: all pods it ever had, each in its newest state, deleted ones too.
    """
    mains = main_pods(workload, pods)
    word = None if item is None else finished(item)
    failed = None if item is None else kind_of(item).failed_first(item, pods)
    if failed is None or failed in mains:
        return ends.outcome(item, word, mains, pods)
    found = ends.outcome(item, word, [*mains, failed], pods)
    if found is None or found.reason is not None or found.code == ExitCode.SUCCESS:
        return found
    return Outcome(found.code, f"pod {facts.name_of(failed)} ended with exit code {found.code}")
