"""Render an overlay without some of its own parts, to see what they do; only where its texts leave a question open."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_launch.clients.process import Processes
from mlops_launch.commands.overlay.render import parse_objects, render_text
from mlops_launch.commands.overlay.staged_copy import staged
from mlops_launch.core.overlay import yamltree
from mlops_launch.core.overlay.files import OverlayFiles
from mlops_launch.core.overlay.patches import OwnPatch, has_plain_lists, may_match
from mlops_launch.core.workload.kinds import find_workload
from mlops_launch.core.workload.model import Workload
from mlops_launch.errors import LauncherError

Objects = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Probe:
    """What was found out.

    Args:
        unmatched: the keys of the patches whose target matches nothing.
        below: the workload without the overlay's own patches and replacements; None when nothing asks for it.
        objects_below: `Kind/name` of the objects there.
    """

    unmatched: tuple[tuple[str, int], ...] = ()
    below: Workload | None = None
    objects_below: tuple[str, ...] = ()


def probe(files: OverlayFiles, rendered_from: Path, processes: Processes, objects: Objects | None) -> Probe:
    """Return what the overlay's own patches do.

    Args:
        files: the overlay.
        rendered_from: the folder with these texts.
        processes: runs kubectl.
        objects: what it renders; None when it does not render.
    """
    suspects = [patch for patch in files.own_patches if objects is None or not may_match(patch, objects, files.kustomization_tree)]
    suspects = [patch for patch in suspects if patch.target is not None]

    def render(change: Callable[[dict[str, Any]], None]) -> Objects | None:
        return _variant(files, rendered_from, processes, change)

    below = render(_without_own_changes) if (objects is None and suspects) or has_plain_lists(files.own_patches) else None
    if objects is not None:
        unmatched = [patch.key for patch in suspects if render(_without(patch)) == objects]
    else:
        unmatched = [patch.key for patch in suspects if below is not None and not may_match(patch, below, files.kustomization_tree)]
    names = tuple(f"{item['kind']}/{(item.get('metadata') or {}).get('name')}" for item in below or objects or ())
    return Probe(tuple(unmatched), _workload(below), names)


def _without(patch: OwnPatch) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        data[patch.field].pop(patch.number)

    return change


def _without_own_changes(data: dict[str, Any]) -> None:
    for field in ("patches", "patchesStrategicMerge", "patchesJson6902", "replacements"):
        data.pop(field, None)


def _variant(files: OverlayFiles, rendered_from: Path, processes: Processes, change: Callable[[dict[str, Any]], None]) -> Objects | None:
    """Return what the overlay renders to with another kustomization, or None when it does not render."""
    try:
        data = yamltree.load(files.texts[files.kustomization])
        change(data)
        with staged(rendered_from, files.with_texts({files.kustomization: json.dumps(data)})) as folder:
            return parse_objects(render_text(folder, processes))
    except (LauncherError, TypeError, KeyError, ValueError, IndexError):
        return None


def _workload(objects: Objects | None) -> Workload | None:
    try:
        return find_workload(objects) if objects else None
    except LauncherError:
        return None
