"""Rules over counts and resources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlops_launch.core.overlay.values import parse_quantity
from mlops_launch.core.overlay.yamltree import Named
from mlops_launch.core.rules.base import Problem, Rule, Subject, containers, is_integer, mapping
from mlops_launch.core.workload.model import Role


def _resources(role: Role) -> Iterator[tuple[str, str, str, Any]]:
    """Yield container, `limits` or `requests`, resource and its value."""
    for container in containers(role):
        for part in ("limits", "requests"):
            for resource, value in mapping(mapping(container.get("resources")).get(part)).items():
                yield str(container.get("name")), part, str(resource), value


def _is_device(resource: str) -> bool:
    return "/" in resource


def gpu_count(role: Role) -> int:
    """Return how many GPUs the role's first container asks for; 0 when none, or when the number makes no sense."""
    name = str(containers(role)[0].get("name"))
    counts = [
        value
        for container, part, resource, value in _resources(role)
        if container == name and part == "limits" and resource.endswith("/gpu")
    ]
    return sum(int(str(value)) for value in counts if str(value).isdigit())


def _device_count(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for container, part, resource, value in _resources(role):
            if _is_device(resource) and not str(value).isdigit():
                yield Problem(
                    f"`{resource}` of {role.name} is no whole number of 0 or more: {value}",
                    "count whole devices: `mlops-launch set OVERLAY --gpus N`",
                    subject.at_pod(role, "containers", Named(container), "resources", part, resource),
                )


def _device_request(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        found = {(container, part, resource): value for container, part, resource, value in _resources(role)}
        for (container, part, resource), value in found.items():
            limit = found.get((container, "limits", resource))
            if part == "requests" and _is_device(resource) and str(limit) != str(value):
                yield Problem(
                    f"request and limit of `{resource}` of {role.name} differ: {value} and {limit}",
                    "give only the limit, or both the same number",
                    subject.at_pod(role, "containers", Named(container), "resources", part, resource),
                )


def _quantity(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for container, part, resource, value in _resources(role):
            if not _is_device(resource) and parse_quantity(str(value)) is None:
                yield Problem(
                    f"`{resource}` in {part} of {role.name} is no quantity: {value}",
                    "for instance 4 or 500m for CPU, 8Gi for memory",
                    subject.at_pod(role, "containers", Named(container), "resources", part, resource),
                )


def _request_above_limit(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        found = {(container, part, resource): value for container, part, resource, value in _resources(role)}
        for (container, part, resource), value in found.items():
            limit = parse_quantity(str(found.get((container, "limits", resource))))
            request = parse_quantity(str(value))
            if part == "requests" and not _is_device(resource) and limit is not None and request is not None and request > limit:
                yield Problem(
                    f"the request of `{resource}` of {role.name} is above its limit: {value} > {found[(container, 'limits', resource)]}",
                    "lower the request or raise the limit",
                    subject.at_pod(role, "containers", Named(container), "resources", part, resource),
                )


def _workers(subject: Subject) -> Iterator[Problem]:
    for role in subject.workload.roles if subject.workload and subject.workload.kind == "MPIJob" else ():
        place = subject.at_patch(("spec", "mpiReplicaSpecs", role.name, "replicas"))
        if role.name == "Launcher" and role.replicas != 1:
            yield Problem(
                f"the Launcher's `replicas` must be 1: {role.replicas}",
                "one mpirun starts all ranks: remove the field",
                place,
            )
        elif not is_integer(role.replicas) or role.replicas < 1:
            yield Problem(
                f"the {role.name}'s `replicas` must be 1 or more: {role.replicas}",
                "`mlops-launch set OVERLAY --workers N`",
                place,
            )


def _slots(subject: Subject) -> Iterator[Problem]:
    if subject.workload is None or subject.workload.kind != "MPIJob":
        return
    slots = subject.workload.slots_per_worker
    if not is_integer(slots) or slots < 1:
        yield Problem(
            f"`slotsPerWorker` must be a whole number of 1 or more: {slots}",
            "`mlops-launch set OVERLAY --slots N`",
            subject.at_patch(("spec", "slotsPerWorker")),
        )


def _slots_above_gpus(subject: Subject) -> Iterator[Problem]:
    job = subject.mpi_job
    if job is None or not is_integer(job.slots_per_worker):
        return
    gpus = gpu_count(job.roles[1])
    if 0 < gpus < job.slots_per_worker:
        yield Problem(
            f"more slots than GPUs a worker: {job.slots_per_worker} > {gpus}",
            "one rank a GPU: `mlops-launch set OVERLAY --slots N --gpus N`",
            subject.at_patch(("spec", "slotsPerWorker")),
        )


def _global_batch(subject: Subject) -> Iterator[Problem]:
    job = subject.mpi_job
    if job is None or not is_integer(job.slots_per_worker) or not is_integer(job.roles[1].replicas):
        return
    batch, ranks = (
        subject.variables(job.main).get("MLOPS_GLOBAL_BATCH", ""),
        job.roles[1].replicas * job.slots_per_worker,
    )
    if batch.isdigit() and ranks > 0 and int(batch) % ranks:
        yield Problem(
            f"MLOPS_GLOBAL_BATCH cannot be divided among {ranks} ranks: {batch}",
            f"take a multiple of workers × slots, for instance {max(1, round(int(batch) / ranks)) * ranks}",
            subject.at_variable("MLOPS_GLOBAL_BATCH"),
        )


RULES = (
    Rule(
        "gpu-count",
        "error",
        "A GPU count is negative or no whole number",
        "Devices are counted in whole numbers; the API server refuses anything else. 0 is allowed and schedules on a node without GPUs.",
        _device_count,
    ),
    Rule(
        "gpu-request",
        "error",
        "Request and limit of a device differ",
        "The API server refuses a device's request that is not its limit.",
        _device_request,
    ),
    Rule("quantity", "error", "A resource is no quantity", "The API server refuses the object.", _quantity),
    Rule(
        "request-above-limit",
        "error",
        "A resource's request is above its limit",
        "The API server refuses the pod.",
        _request_above_limit,
    ),
    Rule(
        "workers",
        "error",
        "A count of pods makes no sense",
        "Workers are 1 or more, and there is one Launcher.",
        _workers,
    ),
    Rule("slots", "error", "slotsPerWorker makes no sense", "workers × slotsPerWorker is the number of ranks.", _slots),
    Rule(
        "slots-above-gpus",
        "error",
        "A worker has more slots than GPUs",
        "Two ranks would share a GPU, which NCCL refuses.",
        _slots_above_gpus,
    ),
    Rule(
        "global-batch",
        "error",
        "MLOPS_GLOBAL_BATCH cannot be divided among the ranks",
        "Every rank takes the same share of a global batch; the trainer would end with exit code 78.",
        _global_batch,
    ),
)
