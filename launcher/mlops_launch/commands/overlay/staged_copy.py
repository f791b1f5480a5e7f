"""A copy of an overlay with other texts, in a temporary folder from which it still finds its bases."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops_launch.core.overlay.files import OverlayFiles
from mlops_launch.errors import LauncherError

_UPWARDS = re.compile(r"(?:\.\./)+")


@contextmanager
def staged(overlay: Path, files: OverlayFiles) -> Iterator[Path]:
    """Yield a temporary folder that holds the overlay with the texts of `files`.

    Only what the kustomization names is there. It names bases by `../`: as many folders above the overlay are rebuilt, with
    links to their content.

    Raises:
        LauncherError: a text belongs to a file outside the overlay.
    """
    real = overlay.resolve()
    levels = min(max((len(match) // 3 for match in _UPWARDS.findall("".join(files.texts.values()))), default=0), len(real.parents) - 1)
    with tempfile.TemporaryDirectory(prefix="mlops-launch-") as temporary:
        above = Path(temporary)
        for folder in reversed(real.parents[:levels]):
            below = real.relative_to(folder).parts[0]
            _link_content(folder, above, without={below})
            above = above / below
            above.mkdir()
        # kustomize reads an overlay's own files only where they are, not behind links.
        copy = above if levels else above / real.name
        copy.mkdir(exist_ok=True)
        _fill(copy, real, files)
        yield copy


def _fill(copy: Path, real: Path, files: OverlayFiles) -> None:
    """Write texts as files; link folders, and copy what else the kustomization names."""
    for name, text in files.texts.items():
        _require_own(real, real / name)
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(text.encode())
    for name in files.reach.all:
        source, target = real / name, copy / name
        if target.exists() or target.is_symlink() or not source.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir() or not source.resolve().is_relative_to(real):
            target.symlink_to(source.resolve())
        else:
            shutil.copyfile(source, target)


def _require_own(real: Path, path: Path) -> None:
    """Raise for a link out of the overlay: kustomize does not read such a file, and it may belong to others."""
    if not path.resolve().is_relative_to(real):
        raise LauncherError(f"a link out of the overlay, which kustomize does not follow: {path.name}", "copy the file into the overlay")


def _link_content(folder: Path, into: Path, without: set[str]) -> None:
    for path in folder.iterdir():
        if path.name not in without:
            (into / path.name).symlink_to(path)
