"""Unpack the model package: quickstart, common, models and k8s; later, bring its files to this version without losing an edit."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Final

from mlops_launch.commands.overlay.package import own_part
from mlops_launch.errors import UsageError

PARTS: Final = ("quickstart", "common", "models", "k8s")
_ALWAYS: Final = PARTS[:3]  # the first versions had no more
MANIFEST: Final = ".mlops-package.json"  # what was unpacked: path → SHA-256, by which an edit is known
_SKIPPED: Final = shutil.ignore_patterns("__pycache__", "*.pyc", ".mlops", ".DS_Store")


@dataclass
class Unpacked:
    """What has become of the files, by their paths in the folder.

    Args:
        written: new, or replaced because nobody had edited them.
        removed: of an older package, and not edited.
        kept: edited file → the file beside it: with `force` the edits, else the new version.
    """

    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)


def unpack(folder: Path, *, force: bool = False, upgrade: bool = False) -> Unpacked:
    """Write the model package into `folder`.

    Everything is copied beside the folder first, so that a full disk changes nothing. Files that are not the package's stay.

    Args:
        folder: new or empty, unless one of the next two is set.
        force: write every file; an edited one stays beside it as `FILE.mine`.
        upgrade: write the files that nobody has edited; beside an edited one comes `FILE.new`.

    Raises:
        UsageError: `folder` is a file, is not empty, or holds nothing to upgrade.
        LauncherError: this installation has no model package.
    """
    _refuse(folder, force, upgrade)
    with ExitStack() as stack:
        sources = {part: stack.enter_context(resources.as_file(own_part(part))) for part in PARTS}
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = folder.parent if not folder.exists() else folder
        new = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".mlops-init-", dir=beside))) / "new"
        for part, source in sources.items():
            shutil.copytree(source, new / part, ignore=_SKIPPED)
        for script in (new / "quickstart").glob("*.sh"):
            script.chmod(script.stat().st_mode | 0o111)
        sums = {path.relative_to(new).as_posix(): _sum(path) for path in sorted(new.rglob("*")) if path.is_file()}
        (new / MANIFEST).write_text(json.dumps({"schema": 1, "files": sums}, indent=1) + "\n", encoding="utf-8")
        if not folder.exists():
            os.replace(new, folder)
            return Unpacked(written=list(sums))
        return _merge(new, folder, sums, force)


def _refuse(folder: Path, force: bool, upgrade: bool) -> None:
    if force and upgrade:
        raise UsageError("not both: --force and --upgrade", "`--upgrade` keeps edited files as they are, `--force` writes every file")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"not a folder: {folder}", "give a folder that is empty or does not exist")
    if upgrade and not all((folder / part).is_dir() for part in _ALWAYS):
        raise UsageError(f"nothing to upgrade in: {folder}", "without `--upgrade` the package is unpacked there")
    if folder.is_dir() and any(folder.iterdir()) and not force and not upgrade:
        raise UsageError(
            f"the folder is not empty: {folder}",
            "give another one; `--upgrade` brings files that you have not edited to this version, `--force` writes every file",
        )


def _merge(new: Path, folder: Path, sums: Mapping[str, str], force: bool) -> Unpacked:
    """Move the new files into the folder, around what a person has edited."""
    before, done = _manifest(folder), Unpacked()
    for name, new_sum in sums.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        now = _sum(path) if path.is_file() else None
        if now == new_sum:
            continue
        if now is None or now == before.get(name):
            done.written.append(name)
        elif force:
            done.kept[name] = _free(path, ".mine").relative_to(folder).as_posix()
            os.replace(path, folder / done.kept[name])
        elif new_sum == before.get(name):  # the edit is of this very version
            continue
        else:
            done.kept[name] = f"{name}.new"
            path = path.with_name(f"{path.name}.new")
        os.replace(new / name, path)
    for name in before.keys() - sums.keys():
        if (folder / name).is_file() and _sum(folder / name) == before[name]:
            (folder / name).unlink()
            done.removed.append(name)
    os.replace(new / MANIFEST, folder / MANIFEST)
    return done


def _manifest(folder: Path) -> dict[str, str]:
    """Return what was unpacked; nothing when it is not known, so that every file that differs counts as edited."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        inside = {name: total for name, total in files.items() if name.split("/")[0] in PARTS and ".." not in name.split("/")}
        return {str(name): str(total) for name, total in inside.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _free(path: Path, ending: str) -> Path:
    """Return a name beside `path` that no file has."""
    number, found = 1, path.with_name(path.name + ending)
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}{ending}-{number}")
    return found
