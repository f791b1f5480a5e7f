"""Render an overlay with kubectl's kustomize."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path
from typing import Any

from mlops_launch.clients.process import Completed, Processes
from mlops_launch.core.overlay.values import did_you_mean
from mlops_launch.errors import LauncherError, ProcessError, UsageError

# kustomize 5.1.0 is the first whose components see the generators of the overlay that includes them.
OLDEST_KUSTOMIZE = (5, 1)
KUBECTL_HINT = "install kubectl 1.31 or newer, or `pip install 'mlops-launch[kubectl]'`"
LOOKED_AT = 1000  # entries of a folder, to find an overlay that may be meant
KUSTOMIZATION_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")


def require_overlay(folder: Path) -> Path:
    """Return `folder` when it holds a kustomization.

    Raises:
        UsageError: it is no folder, or holds no kustomization.
    """
    if not _is_overlay(folder):
        raise UsageError(f"no kustomization.yaml in: {folder}", _near(folder))
    return folder


def _near(folder: Path) -> str:
    """Return the hint for a folder that is not an overlay: the one around it, below it or beside it that is meant, perhaps."""
    if folder.is_file() and _is_overlay(folder.parent):
        return f"give its folder: {folder.parent}"
    below = [path for pattern in ("*", "k8s/mlops/*", "quickstart/k8s/mlops/*") for path in _overlays(folder, pattern)]
    if below:
        return f"did you mean {' or '.join(f'`{path}`' for path in below)}?"
    beside = {path.name: path for path in _overlays(folder.parent, "*")}
    near = did_you_mean(folder.name, beside)
    return f"did you mean `{beside[near]}`?" if near else "give the folder of an overlay, for instance quickstart/k8s/mlops/multi-node"


def _overlays(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in islice(folder.glob(pattern), LOOKED_AT) if _is_overlay(path))


def _is_overlay(folder: Path) -> bool:
    return any((folder / name).is_file() for name in KUSTOMIZATION_NAMES)


def render_text(overlay: Path, processes: Processes) -> str:
    """Return what `kubectl kustomize` prints for the overlay, byte for byte.

    Raises:
        LauncherError: kubectl is missing, too old, or the overlay does not render.
    """
    require_overlay(overlay)
    kubectl = processes.find("kubectl", KUBECTL_HINT)
    # The version is asked at the same time, so that it costs nothing.
    version, built = processes.run_together([kubectl, "version", "--client", "--output=json"], [kubectl, "kustomize", str(overlay)])
    require_version(version)
    if built.returncode != 0:
        raise ProcessError(built.argv, built.returncode, built.stderr)
    return built.stdout


def require_version(version: Completed) -> None:
    """Raise unless the kubectl that printed `version` embeds a kustomize that is new enough.

    Raises:
        LauncherError: it is older than 5.1, or says no version.
    """
    try:
        text = str(json.loads(version.stdout)["kustomizeVersion"])
        major, minor = (int(part) for part in re.findall(r"\d+", text)[:2])
    except (ValueError, KeyError) as error:
        raise LauncherError(f"cannot read the version of kubectl: {version.argv[0]}", KUBECTL_HINT) from error
    if (major, minor) < OLDEST_KUSTOMIZE:
        raise LauncherError(f"kubectl is too old: {version.argv[0]} embeds kustomize {text}, needed is 5.1", KUBECTL_HINT)


def parse_objects(text: str) -> list[dict[str, Any]]:
    """Return the objects of a multi-document YAML text that kustomize printed, in order.

    Raises:
        LauncherError: it is not YAML, or not a list of objects.
    """
    from mlops_launch.core.overlay.dialect import load_all

    documents = [document for document in load_all(text) if document]
    if not all(isinstance(document, dict) and isinstance(document.get("kind"), str) for document in documents):
        raise LauncherError("what kubectl renders is not a list of objects", KUBECTL_HINT)
    return documents
