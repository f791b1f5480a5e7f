"""The kinds of workload: what the launcher asks of one, and which there are.

A kind is one file beside this one. Nothing outside this folder, and outside the rules on that kind alone, knows its name,
its API group, its labels or the paths in its manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.causes import Cause
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.path import Path
from mlops_launch.core.workload.jobset import JobSet
from mlops_launch.core.workload.model import Here, KubernetesObject, OneHost, Role, Workload
from mlops_launch.core.workload.mpijob import MPIJob
from mlops_launch.core.workload.pod import Pod
from mlops_launch.errors import LauncherError


class Kind(Protocol):
    """What the launcher asks of a kind. Manifests are what a user's patch left of them: read them tolerantly."""

    @property
    def name(self) -> str:
        """The API's word."""

    @property
    def api_version(self) -> str:
        """Group and version."""

    @property
    def installed_by(self) -> str | None:
        """The folder in the package that a platform engineer applies; None for what Kubernetes brings."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The roles without which there is no such workload; empty when a manifest names its roles as it likes."""

    @property
    def pod_label(self) -> str | None:
        """The label with the workload's name that its controller gives to its pods; None when the workload is its own pod."""

    @property
    def main_selector(self) -> str | None:
        """The label selector of the main pods of all workloads of this kind; None as above."""

    @property
    def edits(self) -> Mapping[str, Path]:
        """The place of what `set` can change beside users and resources: `workers`, `slots`; a missing one it refuses."""

    @property
    def fields(self) -> Mapping[Path, str]:
        """The names of the fields there are, in one text, by the path of the mapping they stand in; pod specs are known.

        A step EVERY of a path stands for each item of a list.
        """

    @property
    def goes_before(self) -> Mapping[str, Sequence[str]]:
        """In front of which siblings `set` writes a key that a patch does not have yet."""

    def roles(self, manifest: Object) -> tuple[Role, ...]:
        """Return the roles that a manifest has, the main ones first."""

    def is_main(self, manifest: Object, pod: Object) -> bool:
        """Return whether the log and the exit code of one of its pods are the run's: of one pod at a time, and of those in its place."""

    def is_sized(self, role: str) -> bool:
        """Return whether `--gpus`, `--cpu` and `--memory` mean a role."""

    def pod_path(self, role: str) -> Path:
        """Return the path of a role's pod spec in the manifest; a kind without `needs` has its roles in a list, by name."""

    def base_container(self, role: str) -> str:
        """Return the name that the base gives a role's first container."""

    def role_of(self, pod: Object) -> str:
        """Return the role of one of its pods."""

    def index_of(self, pod: Object) -> int:
        """Return the number of one of its pods within its role, from 0."""

    def owns(self, uid: str, pod: Object) -> bool:
        """Return whether a pod with the workload's label is one of the workload with that uid."""

    def longest_pod(self, workload: Workload) -> str:
        """Return the longest name that one of its pods has."""

    def helpers(self, item: Object) -> frozenset[str]:
        """Return the names of objects that its controller creates and whose events matter, beside its pods."""

    def finished(self, item: Object) -> str | None:
        """Return `Succeeded` or `Failed` when the cluster has marked it so, else None."""

    def ended_at(self, item: Object) -> str | None:
        """Return when a finished one ended (RFC 3339), or None where that is not known."""

    def is_suspended(self, item: Object) -> bool:
        """Return whether a queue, or a person, holds it back."""

    def is_running(self, item: Object) -> bool:
        """Return whether it has started; asked of one that is neither finished nor held."""

    def is_under_way(self, item: Object, pods: Sequence[Object]) -> bool:
        """Return whether it may take any time to be marked as finished when its main pod has ended: others of its pods count too."""

    def failed_first(self, item: Object, pods: Sequence[Object]) -> Object | None:
        """Return the pod whose end is that of a failed one, where that may be another than the main pod, and is known."""

    def ends_with_its_pod(self, manifest: Object) -> bool:
        """Return whether it ends when its main pod is deleted, instead of starting another."""

    def cause_of_event(self, event: Object) -> Cause | None:
        """Return what a warning of its controller means, where that is known."""

    def cause_of_pod(self, pod: Object) -> Cause | None:
        """Return why a pod that has started does not help the main pods to start, or None."""

    def causes_of_silence(self, item: Object, pods: Sequence[Object], waited: float) -> list[Cause]:
        """Return why it waits when neither events nor pods say it; `waited` seconds since it was applied."""

    def world(self, workload: Workload) -> int | None:
        """Return how many ranks train, or None when the manifest does not say it."""

    def on_one_host(self, workload: Workload, here: Here) -> OneHost:
        """Return what a local run adds for its ranks."""


KINDS: tuple[Kind, ...] = (MPIJob(), JobSet(), Pod())


def names() -> tuple[str, ...]:
    """Return the kinds' names."""
    return tuple(kind.name for kind in KINDS)


def lookup(name: str) -> Kind:
    """Return the kind of that name.

    Raises:
        KeyError: there is none: ask `names` first where that may be.
    """
    return {kind.name: kind for kind in KINDS}[name]


def kind_of(item: Object) -> Kind:
    """Return the kind of a workload's manifest or object."""
    return lookup(str(item["kind"]))


def shape(manifest: KubernetesObject, config_maps: Mapping[str, Mapping[str, str]] | None = None) -> Workload:
    """Return a workload's manifest or object as a shape, whatever it lacks."""
    metadata = manifest["metadata"]
    return Workload(
        kind=manifest["kind"], name=str(metadata["name"]), namespace=metadata.get("namespace"), roles=kind_of(manifest).roles(manifest),
        config_maps=config_maps or {}, manifest=manifest,
    )  # fmt: skip


def find_workload(objects: Iterable[KubernetesObject]) -> Workload:
    """Return the one workload among rendered objects.

    Raises:
        LauncherError: there is none, or more than one, or it lacks a role.
    """
    objects = list(objects)
    found = [o for o in objects if o.get("kind") in names()]
    if len(found) != 1:
        listed = ", ".join(f"{o['kind']}/{o['metadata']['name']}" for o in found) or "none"
        hint = "give the folder of one overlay, for instance quickstart/k8s/mlops/multi-node"
        raise LauncherError(f"expected one {' or '.join(names())} in the overlay, found: {listed}", hint)
    config_maps = {o["metadata"]["name"]: dict(o.get("data") or {}) for o in objects if o.get("kind") == "ConfigMap"}
    workload = shape(found[0], config_maps)
    there = [role.name for role in workload.roles]
    needs = kind_of(found[0]).needs
    if not there or not set(needs) <= set(there):
        wanted = " and ".join(f"a {role}" for role in needs) or "a role"
        raise LauncherError(f"{workload.kind} {workload.name} needs {wanted}, found: {', '.join(there) or 'neither'}", None)
    return workload


def main_pods(workload: Object, pods: Iterable[Object]) -> list[Object]:
    """Return the pods whose log and exit code are the run's, oldest first.

    Args:
        workload: its manifest or object.
        pods: its pods.
    """
    kind = kind_of(workload)
    return sorted((pod for pod in pods if kind.is_main(workload, pod)), key=facts.created_at)


def other_pods(workload: Object, pods: Iterable[Object]) -> list[Object]:
    """Return a workload's pods that are not main ones."""
    kind = kind_of(workload)
    return [pod for pod in pods if not kind.is_main(workload, pod)]
