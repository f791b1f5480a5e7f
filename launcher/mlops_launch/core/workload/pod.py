"""The kind Pod: one pod that is its own workload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.causes import Cause
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.path import Path
from mlops_launch.core.workload.model import Here, OneHost, Role, Workload, mapping

_ROLE = "Pod"


class Pod:
    """Implements `kinds.Kind`."""

    name = "Pod"
    api_version = "v1"
    installed_by = None
    needs = (_ROLE,)
    pod_label = None
    main_selector = None
    edits: Mapping[str, Path] = {}
    fields: Mapping[Path, str] = {}
    goes_before: Mapping[str, Sequence[str]] = {}

    def roles(self, manifest: Object) -> tuple[Role, ...]:
        """Return the pod itself as a role."""
        labels = mapping(mapping(manifest.get("metadata")).get("labels"))
        return (Role(_ROLE, 1, mapping(manifest.get("spec")), labels),)

    def is_main(self, manifest: Object, pod: Object) -> bool:
        """Return True: there is one pod."""
        return True

    def is_sized(self, role: str) -> bool:
        """Return True: the pod trains."""
        return True

    def pod_path(self, role: str) -> Path:
        """Return the path of the spec."""
        return ("spec",)

    def base_container(self, role: str) -> str:
        """Return the name that the base gives the container."""
        return "training"

    def role_of(self, pod: Object) -> str:
        """Return the one role."""
        return _ROLE

    def index_of(self, pod: Object) -> int:
        """Return 0: there is one pod."""
        return 0

    def owns(self, uid: str, pod: Object) -> bool:
        """Return whether it is this very pod."""
        return facts.uid_of(pod) == uid

    def longest_pod(self, workload: Workload) -> str:
        """Return its name."""
        return workload.name

    def helpers(self, item: Object) -> frozenset[str]:
        """Return nothing: no controller creates anything for a Pod."""
        return frozenset()

    def finished(self, item: Object) -> str | None:
        """Return `Succeeded` or `Failed` once its containers have ended, else None."""
        phase = facts.phase(item)
        return phase if phase in (facts.SUCCEEDED, facts.FAILED) else None

    def ended_at(self, item: Object) -> str | None:
        """Return when its container ended, or None where that is not known."""
        terminated = mapping(mapping(facts.main_status(item).get("state")).get("terminated"))
        return terminated.get("finishedAt")

    def is_suspended(self, item: Object) -> bool:
        """Return whether a scheduling gate holds it back."""
        return bool(mapping(item.get("spec")).get("schedulingGates"))

    def is_running(self, item: Object) -> bool:
        """Return whether its container has started."""
        return facts.started_at(item) is not None

    def is_under_way(self, item: Object, pods: Sequence[Object]) -> bool:
        """Return False: there is one pod."""
        return False

    def failed_first(self, item: Object, pods: Sequence[Object]) -> Object | None:
        """Return None: there is one pod."""
        return None

    def ends_with_its_pod(self, manifest: Object) -> bool:
        """Return True: there is nothing else."""
        return True

    def cause_of_event(self, event: Object) -> Cause | None:
        """Return None: no controller speaks of a Pod in words of its own."""
        return None

    def cause_of_pod(self, pod: Object) -> Cause | None:
        """Return None: a Pod that has started trains."""
        return None

    def causes_of_silence(self, item: Object, pods: Sequence[Object], waited: float) -> list[Cause]:
        """Return its phase."""
        return [Cause(f"pod {facts.name_of(item)} is {facts.phase(item).lower()}", "`kubectl describe pod` says more")]

    def world(self, workload: Workload) -> int | None:
        """Return 1: one process."""
        return 1

    def on_one_host(self, workload: Workload, here: Here) -> OneHost:
        """Return one process that needs nothing more."""
        return OneHost()
