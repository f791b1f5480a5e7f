"""A kind of workload that the launcher does not have: a batch/v1 Job with one pod, as one file beside the others would be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.causes import Cause
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.path import Path
from mlops_launch.core.workload.model import Here, OneHost, Role, Workload, mapping

TEMPLATE = ("spec", "template")


class BatchJob:
    """Implements `kinds.Kind`."""

    name = "Job"
    api_version = "batch/v1"
    installed_by = None
    needs = ("Main",)
    pod_label = "batch.kubernetes.io/job-name"
    main_selector = "batch.kubernetes.io/job-name"
    edits: Mapping[str, Path] = {}
    fields: Mapping[Path, str] = {("spec",): "backoffLimit completions parallelism suspend template", TEMPLATE: "metadata spec"}
    goes_before: Mapping[str, Sequence[str]] = {"backoffLimit": ("template",)}

    def roles(self, manifest: Object) -> tuple[Role, ...]:
        template = mapping(mapping(manifest.get("spec")).get("template"))
        labels = mapping(mapping(template.get("metadata")).get("labels"))
        return (Role("Main", 1, mapping(template.get("spec")), labels),) if template else ()

    def is_main(self, manifest: Object, pod: Object) -> bool:
        return True

    def is_sized(self, role: str) -> bool:
        return True

    def pod_path(self, role: str) -> Path:
        return (*TEMPLATE, "spec")

    def base_container(self, role: str) -> str:
        return "training"

    def role_of(self, pod: Object) -> str:
        return "Main"

    def index_of(self, pod: Object) -> int:
        return 0

    def owns(self, uid: str, pod: Object) -> bool:
        return uid in facts.owners(pod)

    def longest_pod(self, workload: Workload) -> str:
        return f"{workload.name}-xxxxx"

    def helpers(self, item: Object) -> frozenset[str]:
        return frozenset()

    def finished(self, item: Object) -> str | None:
        words = (("Complete", facts.SUCCEEDED), ("Failed", facts.FAILED))
        return next((word for condition, word in words if facts.condition(item, condition)), None)

    def ended_at(self, item: Object) -> str | None:
        failed = facts.condition(item, "Failed") or {}
        return mapping(item.get("status")).get("completionTime") or failed.get("lastTransitionTime")

    def is_suspended(self, item: Object) -> bool:
        return bool(mapping(item.get("spec")).get("suspend"))

    def is_running(self, item: Object) -> bool:
        return bool(mapping(item.get("status")).get("ready"))

    def is_under_way(self, item: Object, pods: Sequence[Object]) -> bool:
        return False

    def failed_first(self, item: Object, pods: Sequence[Object]) -> Object | None:
        return None

    def ends_with_its_pod(self, manifest: Object) -> bool:
        return bool(mapping(manifest.get("spec")).get("backoffLimit") == 0)

    def cause_of_event(self, event: Object) -> Cause | None:
        return None

    def cause_of_pod(self, pod: Object) -> Cause | None:
        return None

    def causes_of_silence(self, item: Object, pods: Sequence[Object], waited: float) -> list[Cause]:
        return [] if pods else [Cause("the Job controller has not created a pod", "is kube-controller-manager up?")]

    def world(self, workload: Workload) -> int | None:
        return 1

    def on_one_host(self, workload: Workload, here: Here) -> OneHost:
        return OneHost()
