"""Read and write the files of an overlay."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mlops_launch.commands.overlay.render import KUSTOMIZATION_NAMES, require_overlay
from mlops_launch.core.overlay.files import ENV_FILE, OverlayFiles
from mlops_launch.errors import LauncherError


def read_files(overlay: Path) -> OverlayFiles:
    """Return the texts of the overlay that kustomize reads: its kustomization, and the YAML and env files that it names.

    Raises:
        UsageError: `overlay` holds no kustomization.
        LauncherError: a file is not UTF-8.
    """
    require_overlay(overlay)
    kustomization = next(name for name in KUSTOMIZATION_NAMES if (overlay / name).is_file())
    files = OverlayFiles(str(overlay), kustomization, {kustomization: read_text(overlay / kustomization)})
    names = [*files.reach.yaml, *(files.reach.env or [ENV_FILE])]
    return files.with_texts({name: read_text(overlay / name) for name in names if (overlay / name).is_file()})


def read_text(path: Path) -> str:
    """Return a file's text with its line ends as they are.

    Raises:
        LauncherError: it is not UTF-8.
    """
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise LauncherError(f"not UTF-8, line {line}: {path}", "save the file as UTF-8") from error


def write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    """Replace files below `folder`: all are written beside the old ones first, then renamed over them, keeping their mode.

    Raises:
        OSError: one cannot be written; then no file has changed.
    """
    written: list[tuple[Path, Path]] = []
    try:
        for name, text in texts.items():
            target = (folder / name).resolve()
            descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
            written.append((Path(temporary), target))
            with os.fdopen(descriptor, "wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, target.stat().st_mode & 0o7777)
        for temporary_path, target in written:
            os.replace(temporary_path, target)
    finally:
        for temporary_path, _ in written:
            temporary_path.unlink(missing_ok=True)
