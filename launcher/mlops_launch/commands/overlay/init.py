"""Unpack the model package: quickstart, common and models."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from importlib import resources
from pathlib import Path

from mlops_launch.commands.overlay.package import own_part
from mlops_launch.errors import UsageError

PARTS = ("quickstart", "common", "models")
_PASSED_OVER = shutil.ignore_patterns("__pycache__", "*.pyc", ".mlops", ".DS_Store")


def unpack(folder: Path, *, force: bool = False) -> list[str]:
    """Write the model package into `folder` and return the names of what was written.

    Everything is copied beside the folder first and moved into place at the end. With `force` other content of the
    folder stays, and quickstart, common and models are replaced.

    Raises:
        UsageError: `folder` is a file, or has content and `force` is not set.
        LauncherError: this installation has no model package.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"not a folder: {folder}", "give a folder that is empty or does not exist")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise UsageError(
            f"the folder is not empty: {folder}", "give another one, or `--force` to replace quickstart, common and models in it"
        )
    with ExitStack() as stack:
        sources = {part: stack.enter_context(resources.as_file(own_part(part))) for part in PARTS}
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = folder.parent if not folder.exists() else folder
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".mlops-init-", dir=beside)))
        for part, source in sources.items():
            shutil.copytree(source, temporary / "new" / part, ignore=_PASSED_OVER)
        for script in (temporary / "new" / "quickstart").glob("*.sh"):
            script.chmod(script.stat().st_mode | 0o111)
        _move_into_place(temporary, folder)
    return list(PARTS)


def _move_into_place(temporary: Path, folder: Path) -> None:
    new = temporary / "new"
    if not folder.exists():
        os.replace(new, folder)
        return
    (temporary / "old").mkdir()
    for part in PARTS:
        if (folder / part).exists():
            os.replace(folder / part, temporary / "old" / part)
        os.replace(new / part, folder / part)
