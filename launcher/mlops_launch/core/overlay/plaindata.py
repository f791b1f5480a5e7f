"""YAML as plain data: a value by its path, and a copy with another value."""

from __future__ import annotations

from typing import Any, Final

from mlops_launch.core.overlay import yamlwrite
from mlops_launch.core.path import Named, Path
from mlops_launch.errors import LauncherError

BY_HAND: Final = "edit the file by hand"


def step_into(data: Any, step: str | Named) -> Any:
    """Return a mapping's value, or a list's item of that name; None when it is not there."""
    if isinstance(step, Named):
        items = data if isinstance(data, list) else []
        return next((item for item in items if isinstance(item, dict) and item.get("name") == step.name), None)
    return data.get(step) if isinstance(data, dict) else None


def with_value(data: Any, path: Path, value: int | str) -> Any:
    """Return a copy of `data` with the value set: what the edited text must mean.

    Raises:
        LauncherError: the path leads through something else than mappings and lists, or to one.
    """
    root = _copy(data) if data is not None else {}
    place = root
    for position, step in enumerate(path):
        last = position == len(path) - 1
        if isinstance(step, Named):
            if not isinstance(place, list):
                raise LauncherError(f"not a list: {yamlwrite.path_name(path[:position])}", BY_HAND)
            item = step_into(place, step)
            if item is None:
                item = {"name": step.name}
                place.append(item)
            place = item
            continue
        if not isinstance(place, dict):
            raise LauncherError(f"not a mapping: {yamlwrite.path_name(path[:position])}", BY_HAND)
        if last:
            if isinstance(place.get(step), dict | list):
                raise LauncherError(f"holds more than one value: {yamlwrite.path_name(path)}", BY_HAND)
            place[step] = value
        elif place.get(step) is None:
            place[step] = [] if isinstance(path[position + 1], Named) else {}
        if not last:
            place = place[step]
    return root


def _copy(data: Any) -> Any:
    """Return a copy in which an alias is data of its own, so that an edit which reaches two places shows."""
    if isinstance(data, dict):
        return {key: _copy(value) for key, value in data.items()}
    return [_copy(item) for item in data] if isinstance(data, list) else data
