"""The examples of a rule: a small edit of a shipped overlay that is wrong, and its right twin."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent, indent
from typing import Final, Literal

from mlops_launch.core.workload.mpijob import LAUNCHER, WORKER, MPIJob

Overlay = Literal["multi-node", "single-node", "all-reduce"]

ENV: Final = "mlops.env"
KUSTOMIZATION: Final = "kustomization.yaml"
PATCH: Final = "patch"
RESOURCE: Final = "resource.yaml"


@dataclass(frozen=True)
class Example:
    """A part of an overlay's file.

    Args:
        overlay: the shipped overlay that it belongs to.
        file: `mlops.env` (lines that take the place of those with the same keys), `kustomization.yaml` (fields that are
            added), `patch` (a further patch of the workload), `resource.yaml` (a further resource), or a path below models/
            (that file of the package).
        text: the part, without a newline at its end.
    """

    overlay: Overlay
    file: str
    text: str


def in_env(text: str, overlay: Overlay = "multi-node") -> Example:
    """Return lines of mlops.env."""
    return Example(overlay, ENV, _plain(text))


def in_kustomization(text: str, overlay: Overlay = "multi-node") -> Example:
    """Return fields of kustomization.yaml; items of a list that is there already go to its end."""
    return Example(overlay, KUSTOMIZATION, _plain(text))


def in_resource(text: str) -> Example:
    """Return an object that the kustomization lists under `resources`."""
    return Example("multi-node", RESOURCE, _plain(text))


def in_pod_manifest(text: str) -> Example:
    """Return a part of a patch for the Pod, from its top."""
    return Example("single-node", PATCH, _plain(text))


def in_job(text: str) -> Example:
    """Return a part of a patch for the MPIJob, from its top."""
    return Example("multi-node", PATCH, _plain(text))


def in_jobset(text: str) -> Example:
    """Return a part of a patch for the JobSet, from its top."""
    return Example("all-reduce", PATCH, _plain(text))


def in_launcher(text: str) -> Example:
    """Return a part of the Launcher's pod spec in a patch."""
    return in_job(_nested(text, *MPIJob().pod_path(LAUNCHER)))


def in_worker(text: str) -> Example:
    """Return a part of the Worker's pod spec in a patch."""
    return in_job(_nested(text, *MPIJob().pod_path(WORKER)))


def in_pod(text: str) -> Example:
    """Return a part of the Pod's spec in a patch."""
    return Example("single-node", PATCH, _nested(text, "spec"))


def in_container(text: str) -> Example:
    """Return a part of the Pod's container in a patch."""
    return in_pod("containers:\n- name: training\n" + indent(_plain(text), "  "))


def in_package(file: str, text: str) -> Example:
    """Return the content of a file of the package that the overlay belongs to."""
    return Example("multi-node", file, _plain(text))


def _plain(text: str) -> str:
    return dedent(text).strip("\n ") if "\n" in text else text


def _nested(text: str, *keys: object) -> str:
    text = _plain(text)
    for key in reversed(keys):
        text = f"{key}:\n{indent(text, '  ')}"
    return text
