"""Which line of an overlay, or of what it is built on, gives a field of the workload the value that wins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ruamel.yaml.nodes import MappingNode

from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.files import OverlayFiles
from mlops_launch.core.overlay.goals import Goal, VariableGoal
from mlops_launch.core.overlay.places import Place, field_places, is_read_as
from mlops_launch.core.overlay.reach import items, own_path, texts
from mlops_launch.core.overlay.rendered import Rendered, sources
from mlops_launch.core.overlay.variables import file_sources, variable_places
from mlops_launch.core.path import Path

Line = tuple[str, int | None]


def winner(files: OverlayFiles, goal: Goal, rendered: Rendered) -> Line | None:
    """Return file and line, from 1, in one overlay or base that give the goal's field the value it has now; None where none does.

    Args:
        files: of the overlay, or of a folder that it is built on.
        goal: what is not held.
        rendered: the edited overlay.
    """
    now = goal.now(rendered)
    for path in goal.paths(rendered):
        for found in (_replacement(files, path), _field(files, rendered.workload.kind, path, now), _resource(files, path, now)):
            if found is not None:
                return found
    found = _variable(files, goal, rendered, now) if isinstance(goal, VariableGoal) else None
    line = yamltext.line_of(files.kustomization_tree, ("transformers",))
    return found or (None if line is None else (files.kustomization, line))


def _replacement(files: OverlayFiles, path: Path) -> Line | None:
    """Return the line of a replacement that writes the field: kustomize does that last."""
    wanted = ".".join(str(step) for step in path)
    for name, trees in files.trees.items():
        for tree in trees:
            listed = yamltext.child(tree, "replacements") if name == files.kustomization else tree
            for target in (target for item in items(listed) for target in items(yamltext.child(item, "targets"))):
                for field in items(yamltext.child(target, "fieldPaths")):
                    if yamltext.scalar(field) == wanted:
                        return name, field.start_mark.line + 1
    return None


def _field(files: OverlayFiles, kind: str, path: Path, now: Any) -> Line | None:
    return _first(field_places(files, kind, path), files, now)


def _first(places: Iterable[Place], files: OverlayFiles, now: Any) -> Line | None:
    return next((place.shown(files) for place in places if place.has(files, now)), None)


def _resource(files: OverlayFiles, path: Path, now: Any) -> Line | None:
    """Return the line of the field in a manifest."""
    named = {own_path(text) for text in texts(yamltext.child(files.kustomization_tree, "resources"))}
    for name in named & files.trees.keys():
        for tree in files.trees[name]:
            found = yamltext.find(tree, path) if isinstance(tree, MappingNode) else None
            if is_read_as(found, now):
                return name, yamltext.line_of(tree, path)
    return None


def _variable(files: OverlayFiles, goal: VariableGoal, rendered: Rendered, now: Any) -> Line | None:
    named = list(sources(rendered.workload.main))
    found = _first(variable_places(files, goal.key, named), files, now)
    return found or next(((file, None) for key, file in file_sources(files, named) if key == goal.key), None)
