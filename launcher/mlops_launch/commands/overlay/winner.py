"""Say which file and line keep a value from the job, in the overlay or in what it is built on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mlops_launch.commands.overlay.files import read_files
from mlops_launch.core.overlay.files import OverlayFiles
from mlops_launch.core.overlay.settle import NotHeldError
from mlops_launch.core.overlay.winner import winner
from mlops_launch.errors import LauncherError


def named(error: NotHeldError, overlay: Path, files: OverlayFiles) -> LauncherError:
    """Return the error with the place that wins, as far as one is found."""
    now = error.goal.now(error.rendered)
    for folder, each in _stack(overlay, files):
        found = winner(each, error.goal, error.rendered)
        if found is not None:
            file = found[0] if folder == overlay else os.path.normpath(folder / found[0])
            place = file if found[1] is None else f"{file}:{found[1]}"
            return LauncherError(f"`{error.goal.asked}` does not reach the job, {place} wins with: {now}", "change it there, or remove it")
    return LauncherError(
        f"`{error.goal.asked}` does not reach the job, which keeps: {now}", f"`kubectl kustomize {overlay}` shows what it has"
    )


def _stack(overlay: Path, files: OverlayFiles) -> Iterator[tuple[Path, OverlayFiles]]:
    """Yield the overlay, then the folders that it is built on, each once."""
    seen: set[Path] = set()
    waiting = [(overlay, files)]
    while waiting:
        folder, each = waiting.pop(0)
        if folder.resolve() in seen:
            continue
        seen.add(folder.resolve())
        yield folder, each
        for name in each.folders:
            try:
                waiting.append((folder / name, read_files(folder / name)))
            except LauncherError:
                continue  # not a folder of this machine, or no kustomization
