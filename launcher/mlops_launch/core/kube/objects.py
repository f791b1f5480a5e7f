"""What an object says of itself: a pod's status, how its container ended, who owns it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mlops_launch.core.kube.times import moment

Object = Mapping[str, Any]

SUCCEEDED, FAILED = "Succeeded", "Failed"  # of a pod's phase; of a workload whatever its own words are
HOSTNAME_MAX: Final = 63
SECOND: Final = len("2026-01-02T03:04:05")  # of a time as text
QUEUED: Final = "Workload"  # what Kueue queues for a workload
OOM_KILLED: Final = "OOMKilled"
NOT_STARTED: Final = ("StartError", "ContainerCannotRun")  # of a container that has ended: its command has never run
LOST: Final = "ContainerStatusUnknown"  # the same of one that was lost with its node


def api_kind(text: str) -> tuple[str, str]:
    """Return API version and kind of what is written `v1/Pod` or `batch/v1/Job`."""
    version, _, kind = text.rpartition("/")
    return version, kind


POD: Final = api_kind("v1/Pod")  # what runs containers, whatever the kind of workload
CLAIM: Final = api_kind("v1/PersistentVolumeClaim")


@dataclass(frozen=True)
class ContainerEnd:
    """How a container ended.

    Args:
        code: its exit code.
        reason: the kubelet's word: Completed, Error, OOMKilled, …
        message: the kubelet's sentence; mostly empty.
    """

    code: int
    reason: str
    message: str = ""


def name_of(item: Object) -> str:
    """Return an object's name."""
    return str(item["metadata"]["name"])


def hostname_of(pod: Object) -> str:
    """Return the hostname that a pod's processes see: its own, as mpi-operator gives one to launchers, else its name, cut."""
    return str(pod["spec"].get("hostname") or name_of(pod)[:HOSTNAME_MAX].rstrip("-."))


def labels(item: Object) -> Mapping[str, str]:
    """Return an object's labels."""
    return item["metadata"].get("labels") or {}


def is_pod(item: Object) -> bool:
    """Return whether an object is a pod."""
    return bool(item["kind"] == POD[1])


def message_of(event: Object) -> str:
    """Return an event's text in one line."""
    return " ".join(str(event.get("message", "")).split())


def said_at(event: Object) -> str:
    """Return when an event was last said, to the second; empty when it does not say it."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")[:SECOND]


def uid_of(item: Object) -> str:
    """Return an object's uid."""
    return str(item["metadata"]["uid"])


def created_at(item: Object) -> str:
    """Return when an object was created; sorts by time."""
    return str(item["metadata"].get("creationTimestamp") or "")


def owners(item: Object) -> set[str]:
    """Return the uids of an object's owners."""
    return {str(owner["uid"]) for owner in item["metadata"].get("ownerReferences") or []}


def container(pod: Object) -> str:
    """Return the name of the container that trains: the first one."""
    return str(pod["spec"]["containers"][0]["name"])


def main_status(pod: Object) -> Object:
    """Return the status of the container that trains; empty before there is one."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return next((status for status in statuses if status["name"] == container(pod)), {})


def container_end(pod: Object) -> ContainerEnd | None:
    """Return how the container that trains ended, or None."""
    ended = (main_status(pod).get("state") or {}).get("terminated")
    if ended is None:
        return None
    return ContainerEnd(int(ended["exitCode"]), str(ended.get("reason") or ""), " ".join(str(ended.get("message") or "").split()))


def started_at(pod: Object) -> str | None:
    """Return when the container that trains started, or None when it has not."""
    state = main_status(pod).get("state") or {}
    if (state.get("terminated") or {}).get("reason") in NOT_STARTED:
        return None  # the kubelet gives 1970 as its start
    found = (state.get("running") or state.get("terminated") or {}).get("startedAt")
    return None if found is None else str(found)


def starts(pod: Object) -> int:
    """Return how many times the container that trains has started."""
    status = main_status(pod)
    last = (status.get("lastState") or {}).get("terminated") or {}
    waits = "waiting" in (status.get("state") or {}) and last and last.get("reason") not in NOT_STARTED
    return int(status.get("restartCount") or 0) + (1 if waits or started_at(pod) is not None else 0)


def start_of(pod: Object, number: int) -> str | None:
    """Return when the container that trains started after so many earlier starts; None where the pod's status does not say it."""
    newest = starts(pod) - 1
    if number == newest and started_at(pod) is not None:
        return started_at(pod)
    last = (main_status(pod).get("lastState") or {}).get("terminated") or {}
    known = number == (newest if started_at(pod) is None else newest - 1) and last.get("startedAt")
    return str(last["startedAt"]) if known else None


def starts_again(pod: Object) -> bool:
    """Return whether a container of the pod that fails is started again."""
    return pod["spec"].get("restartPolicy") in ("Always", "OnFailure")


def has_stopped(pod: Object) -> bool:
    """Return whether the container that trains does not run, whatever the kubelet does next."""
    return started_at(pod) is None or container_end(pod) is not None


def with_log(pod: Object) -> list[str]:
    """Return the names of the init containers and of the container that trains, as far as they have run and left a log."""
    statuses = [*((pod.get("status") or {}).get("initContainerStatuses") or []), main_status(pod)]
    return [str(status["name"]) for status in statuses if any(map(_has_run, (status.get("state"), status.get("lastState"))))]


def _has_run(state: Object | None) -> bool:
    ended = (state or {}).get("terminated")
    return bool((state or {}).get("running") or ended and ended.get("reason") not in (*NOT_STARTED, LOST))


def has_ended(pod: Object) -> bool:
    """Return whether nothing of the pod runs any more, or will."""
    end = container_end(pod)
    if phase(pod) in (SUCCEEDED, FAILED) or end is None:
        return phase(pod) in (SUCCEEDED, FAILED)
    again = starts_again(pod) and (end.code != 0 or pod["spec"]["restartPolicy"] == "Always")
    return not again or "deletionTimestamp" in pod["metadata"]


def claims(pod: Object) -> set[str]:
    """Return the names of the claims that a pod mounts."""
    volumes = pod["spec"].get("volumes") or []
    return {str(volume["persistentVolumeClaim"]["claimName"]) for volume in volumes if volume.get("persistentVolumeClaim")}


def phase(pod: Object) -> str:
    """Return the pod's phase."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def is_ready(pod: Object) -> bool:
    """Return whether the pod is ready."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def killed_for_memory(pods: Iterable[Object], mains: Sequence[Object]) -> tuple[str, str] | None:
    """Return (pod, memory limit) of a container that was killed for memory in the newest try, or None.

    A kill from before the newest main container began is history: another try has followed it.

    Args:
        pods: all pods of a workload.
        mains: those among them that train, oldest first.
    """
    tried = [pod for pod in mains if started_at(pod) is not None]
    began = moment(str(started_at(tried[-1]))) if tried else None
    for pod in pods:
        if pod in tried[:-1]:
            continue
        for status in (pod.get("status") or {}).get("containerStatuses") or []:
            newest = pod in tried and status["name"] == container(pod)
            for state in (status.get("state") or {}, {} if newest else status.get("lastState") or {}):
                end = state.get("terminated") or {}
                if end.get("reason") == OOM_KILLED and not (began and end.get("finishedAt") and moment(str(end["finishedAt"])) < began):
                    return name_of(pod), memory_limit(pod, str(status["name"]))
    return None


def memory_limit(pod: Object, name: str) -> str:
    """Return the memory limit of a pod's container as it is written, or `none`."""
    found: Object = next((c for c in pod["spec"]["containers"] if c["name"] == name), {})
    return str(((found.get("resources") or {}).get("limits") or {}).get("memory") or "none")


def condition(item: Object, kind: str) -> Object | None:
    """Return the condition of that type when it is true."""
    conditions = (item.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == kind and c["status"] == "True"), None)
