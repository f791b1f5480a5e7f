"""Change values in the files of an overlay."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from mlops_launch.clients.process import Processes
from mlops_launch.commands.overlay.check import check_files
from mlops_launch.commands.overlay.files import read_files, write_texts
from mlops_launch.commands.overlay.package import package_of
from mlops_launch.commands.overlay.staged_copy import shadow
from mlops_launch.core.overlay.edits import Changes, apply_changes
from mlops_launch.errors import LauncherError


@dataclass(frozen=True)
class Edit:
    """New texts by file name, and the difference to the old ones as `diff -u` shows it."""

    texts: dict[str, str]
    diff: str


def edit_overlay(overlay: Path, changes: Changes, processes: Processes, *, dry_run: bool = False) -> Edit:
    """Change the overlay's files; all or none, and none when that would be a new error of `check`.

    Raises:
        UsageError: a key, a preset or an option that does not fit this overlay.
        LauncherError: a place that cannot be edited, or a change that `check` would refuse.
    """
    files = read_files(overlay)
    texts = apply_changes(files, changes, package_of(overlay))
    if not texts:
        return Edit({}, "")
    before = {(finding.rule, finding.message) for finding in check_files(files, overlay, processes)}
    edited = files.with_texts(texts)
    # kubectl reads folders, not texts.
    with shadow(overlay, files, texts) as folder:
        after = check_files(edited, folder, processes)
    new = [finding for finding in after if finding.severity == "error" and (finding.rule, finding.message) not in before]
    if new:
        raise LauncherError(f"refused, a new error of `check` ({new[0].rule}): {new[0].message}", new[0].hint)
    if not dry_run:
        write_texts(overlay, texts)
    return Edit(texts, "".join(_diff(overlay / name, files.texts[name], text) for name, text in texts.items()))


def _diff(path: Path, old: str, new: str) -> str:
    lines = unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), str(path), str(path))
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
