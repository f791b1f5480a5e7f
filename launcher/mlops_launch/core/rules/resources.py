"""Rules over what the containers ask for: CPU, memory, devices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlops_launch.core.overlay.devices import ACCELERATOR
from mlops_launch.core.overlay.values import parse_quantity
from mlops_launch.core.path import Named
from mlops_launch.core.rules.base import Problem, Subject
from mlops_launch.core.rules.example import in_container
from mlops_launch.core.rules.rule import ERROR, rule
from mlops_launch.core.workload.model import Role, mapping, mappings


def resources_of(role: Role) -> Iterator[tuple[str, str, str, Any]]:
    """Yield container, `limits` or `requests`, resource and its value; of init containers too."""
    for container in [*role.containers, *mappings(role.pod.get("initContainers"))]:
        for part in ("limits", "requests"):
            for resource, value in mapping(mapping(container.get("resources")).get(part)).items():
                yield str(container.get("name")), part, str(resource), value


def _is_device(resource: str) -> bool:
    return "/" in resource


def gpu_count(role: Role) -> int:
    """Return how many GPUs the role's first container asks for; 0 when none, or when the number is not valid."""
    name = str(role.containers[0].get("name"))
    counts = [
        value
        for container, part, resource, value in resources_of(role)
        if container == name and part == "limits" and ACCELERATOR.fullmatch(resource)
    ]
    return sum(int(str(value)) for value in counts if str(value).isdigit())


@rule(
    "gpu-count",
    ERROR,
    "A GPU count is not a whole number of 0 or more",
    why="Devices are counted in whole numbers; the API server refuses anything else. 0 is allowed and schedules on a node without GPUs.",
    wrong=in_container("""
        resources:
          limits:
            nvidia.com/gpu: 0.5
        """),
    right=in_container("""
        resources:
          limits:
            nvidia.com/gpu: 1
        """),
    any_job=True,
)
def _device_count(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for container, part, resource, value in resources_of(role):
            if _is_device(resource) and not str(value).isdigit():
                yield Problem(
                    f"`{resource}` of {role.name} is not a whole number of 0 or more: {value}",
                    "count whole devices: `mlops-launch set OVERLAY --gpus N`",
                    subject.at_pod(role, "containers", Named(container), "resources", part, resource),
                )


@rule(
    "gpu-request",
    ERROR,
    "Request and limit of a device differ",
    why="The API server refuses a device's request that is not its limit.",
    wrong=in_container("""
        resources:
          requests:
            nvidia.com/gpu: 1
          limits:
            nvidia.com/gpu: 2
        """),
    right=in_container("""
        resources:
          limits:
            nvidia.com/gpu: 2
        """),
    any_job=True,
)
def _device_request(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        found = {(container, part, resource): value for container, part, resource, value in resources_of(role)}
        for (container, part, resource), value in found.items():
            limit = found.get((container, "limits", resource))
            if part == "requests" and _is_device(resource) and str(limit) != str(value):
                yield Problem(
                    f"request and limit of `{resource}` of {role.name} differ: {value} and {limit}",
                    "give only the limit, or both the same number",
                    subject.at_pod(role, "containers", Named(container), "resources", part, resource),
                )


@rule(
    "quantity",
    ERROR,
    "A resource is not a quantity",
    why="The API server refuses the object.",
    wrong=in_container("""
        resources:
          limits:
            memory: 8 GB
        """),
    right=in_container("""
        resources:
          limits:
            memory: 8Gi
        """),
    any_job=True,
)
def _quantity(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for container, part, resource, value in resources_of(role):
            if not _is_device(resource) and parse_quantity(str(value)) is None:
                yield Problem(
                    f"`{resource}` in {part} of {role.name} is not a quantity: {value}",
                    "for instance 4 or 500m for CPU, 8Gi for memory",
                    subject.at_pod(role, "containers", Named(container), "resources", part, resource),
                )


@rule(
    "request-above-limit",
    ERROR,
    "A resource's request is above its limit",
    why="The API server refuses the pod.",
    wrong=in_container("""
        resources:
          requests:
            cpu: 8
          limits:
            cpu: 4
        """),
    right=in_container("""
        resources:
          requests:
            cpu: 4
          limits:
            cpu: 8
        """),
    any_job=True,
)
def _request_above_limit(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        found = {(container, part, resource): value for container, part, resource, value in resources_of(role)}
        for (container, part, resource), value in found.items():
            limit = parse_quantity(str(found.get((container, "limits", resource))))
            request = parse_quantity(str(value))
            if part == "requests" and not _is_device(resource) and limit is not None and request is not None and request > limit:
                yield Problem(
                    f"the request of `{resource}` of {role.name} is above its limit: {value} > {found[(container, 'limits', resource)]}",
                    "lower the request or raise the limit",
                    subject.at_pod(role, "containers", Named(container), "resources", part, resource),
                )
