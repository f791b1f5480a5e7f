"""Rules over the devices and the memory that containers ask for: names and amounts that cannot be meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from mlops_launch.core.overlay.devices import ACCELERATOR
from mlops_launch.core.overlay.values import did_you_mean, parse_quantity
from mlops_launch.core.path import Named
from mlops_launch.core.rules.base import Problem, Subject
from mlops_launch.core.rules.example import in_container
from mlops_launch.core.rules.resources import resources_of
from mlops_launch.core.rules.rule import ERROR, rule

_NATIVE = ("cpu", "memory", "ephemeral-storage")
_HUGE_PAGES = re.compile(r"hugepages-[0-9]+[KMG]i")
# The names that the vendors' device plugins register.
KNOWN_DEVICES = (
    "nvidia.com/gpu", "nvidia.com/gpu.shared", "amd.com/gpu", "habana.ai/gaudi", "habana.ai/goya", "gpu.intel.com/i915", "gpu.intel.com/xe",
    "aws.amazon.com/neuron", "aws.amazon.com/neuroncore", "google.com/tpu", "huawei.com/Ascend910", "rdma/hca", "rdma/ib",
    "vpc.amazonaws.com/efa", "cloud-tpus.google.com/v2", "cloud-tpus.google.com/v3",
)  # fmt: skip
# Names of old documentation, and a node selector's or a driver's in the place of a device's.
_NO_DEVICES = {
    "alpha.kubernetes.io/nvidia-gpu": "nvidia.com/gpu", "nvidia/gpu": "nvidia.com/gpu", "amd/gpu": "amd.com/gpu",
    "intel.com/gpu": "gpu.intel.com/i915", "nvidia.com/gpu.count": "nvidia.com/gpu", "nvidia.com/gpu.present": "nvidia.com/gpu",
}  # fmt: skip
_MIB = Decimal(1024) ** 2
# TensorFlow, or mpirun and Python, need more before the first line.
_LEAST_FOR_TRAINING = 32 * _MIB
_MOST_CORES = 1024


@rule(
    "device-name",
    ERROR,
    "A resource has a name that no node offers",
    why=(
        "A resource without a vendor's domain must be cpu, memory, ephemeral-storage or hugepages: the API server refuses another. "
        "A misspelt device is never offered: the pods wait forever."
    ),
    wrong=in_container("""
        resources:
          limits:
            nvidia.com/gpus: 4
        """),
    right=in_container("""
        resources:
          limits:
            nvidia.com/gpu: 4
        """),
    any_job=True,
)
def _device_name(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for container, part, resource, _ in resources_of(role):
            near = _NO_DEVICES.get(resource) or did_you_mean(resource, KNOWN_DEVICES if "/" in resource else _NATIVE)
            is_native = resource in _NATIVE or _HUGE_PAGES.fullmatch(resource) is not None
            if is_native or ("/" in resource and not _is_slip(resource)):
                continue
            hint = f"did you mean `{near}`?" if near else f"a device has its vendor's domain in front, for instance {KNOWN_DEVICES[0]}"
            yield Problem(
                f"no node offers a resource of this name, in {part} of {role.name}: {resource}",
                hint,
                subject.at_pod(role, "containers", Named(container), "resources", part, resource),
            )


def _is_slip(resource: str) -> bool:
    """Return whether a device's name is a known one but for a letter or its case; a vendor may have further names."""
    return resource in _NO_DEVICES or resource not in KNOWN_DEVICES and any(_differs_by_a_slip(resource, known) for known in KNOWN_DEVICES)


def _differs_by_a_slip(one: str, other: str) -> bool:
    if one.lower() == other.lower():
        return True
    short, long = sorted((one, other), key=len)
    if len(long) - len(short) == 1:
        return any(long[:place] + long[place + 1 :] == short for place in range(len(long)))
    different = [place for place in range(len(long)) if len(short) == len(long) and short[place] != long[place]]
    swapped = len(different) == 2 and short[different[0]] == long[different[1]] and short[different[1]] == long[different[0]]
    return len(short) == len(long) and (swapped or (len(different) == 1 and not long[different[0]].isdigit()))


@rule(
    "quantity-unit",
    ERROR,
    "An amount of memory or CPU cannot be meant",
    why=(
        "A number without a unit is bytes, and `m` is a thousandth: 16 is 16 bytes, and 8000m is 8. 4000 CPUs are meant as 4000m. "
        "`8M` for a container that trains is less than Python needs to start."
    ),
    wrong=in_container("""
        resources:
          requests:
            memory: 8
          limits:
            memory: 8
        """),
    right=in_container("""
        resources:
          requests:
            memory: 8Gi
          limits:
            memory: 8Gi
        """),
    any_job=True,
)
def _unit(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        for container, part, resource, value in resources_of(role):
            quantity = parse_quantity(str(value))
            place = subject.at_pod(role, "containers", Named(container), "resources", part, resource)
            least = _LEAST_FOR_TRAINING if container == str(role.containers[0].get("name")) and part == "limits" else _MIB
            if resource == "memory" and quantity is not None and 0 < quantity < least and not (subject.is_foreign and quantity >= _MIB):
                number = re.match(r"[0-9]+", str(value))
                yield Problem(
                    f"`memory` in {part} of {role.name} is less than {least / _MIB:.0f} MiB: {value}",
                    f"write the unit: {number[0] if number else 8}Gi",
                    place,
                )
            elif resource == "cpu" and quantity is not None and quantity > _MOST_CORES:
                yield Problem(
                    f"`cpu` in {part} of {role.name} is more than {_MOST_CORES} cores: {value}", f"{value}m are thousandths", place
                )


@rule(
    "devices-mixed",
    ERROR,
    "A pod asks for the accelerators of two vendors",
    why="No node has both: the pods wait forever. `set --gpus` may have added one beside the other.",
    wrong=in_container("""
        resources:
          limits:
            nvidia.com/gpu: 1
            habana.ai/gaudi: 1
        """),
    right=in_container("""
        resources:
          limits:
            habana.ai/gaudi: 1
        """),
    any_job=True,
)
def _mixed(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        limits = [(resource, value) for _, part, resource, value in resources_of(role) if part == "limits"]
        asked = {resource for resource, value in limits if ACCELERATOR.fullmatch(resource) and str(value) != "0"}
        if len({resource.partition("/")[0] for resource in asked}) > 1:
            yield Problem(
                f"{role.name} asks for the devices of two vendors: {', '.join(sorted(asked))}",
                "remove one",
                subject.at_pod(role, "containers"),
            )
