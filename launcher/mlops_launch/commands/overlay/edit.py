"""Change values in the files of an overlay."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from mlops_launch.clients.process import Processes
from mlops_launch.commands.overlay.check import check_files, check_rendered
from mlops_launch.commands.overlay.files import read_files, write_texts
from mlops_launch.commands.overlay.package import package_of
from mlops_launch.commands.overlay.render import parse_objects, render_text
from mlops_launch.commands.overlay.staged_copy import staged
from mlops_launch.commands.overlay.winner import named
from mlops_launch.core.finding import Finding
from mlops_launch.core.overlay.edits import Changes, goals_of
from mlops_launch.core.overlay.files import OverlayFiles
from mlops_launch.core.overlay.rendered import Rendered, rendered
from mlops_launch.core.overlay.settle import NotHeldError, settle
from mlops_launch.errors import LauncherError, ProcessError


@dataclass(frozen=True)
class Edit:
    """New texts by file name, and the difference to the old ones as `diff -u` shows it."""

    texts: dict[str, str]
    diff: str


@dataclass(frozen=True)
class _State:
    """An overlay's texts, what they render to, and what `check` finds."""

    files: OverlayFiles
    rendered: Rendered | None
    findings: list[Finding]


def edit_overlay(overlay: Path, changes: Changes, processes: Processes, *, dry_run: bool = False) -> Edit:
    """Change the overlay's files until the rendered workload holds what was asked for; all or none.

    Raises:
        UsageError: a key, a preset or an option that does not fit this overlay.
        LauncherError: a value that does not reach the job, a place that cannot be edited, or a change that `check` would refuse.
    """
    before = _state(read_files(overlay), overlay, processes)
    goals = goals_of(before.files, changes, package_of(overlay), before.rendered)
    steps = settle(before.files, goals, before.rendered)
    after = before
    try:
        wanted = next(steps)
        while True:
            # kubectl reads folders, not texts.
            with staged(overlay, wanted) as folder:
                after = _state(wanted, folder, processes)
            wanted = steps.send(after.rendered)
    except StopIteration as stop:
        edited: OverlayFiles = stop.value
    except NotHeldError as error:
        raise named(error, overlay, wanted) from None
    _require_no_new_error(before, after)
    texts = {name: text for name, text in edited.texts.items() if text != before.files.texts.get(name)}
    if texts and not dry_run:
        write_texts(overlay, texts)
    return Edit(texts, "".join(_diff(overlay / name, before.files.texts[name], text) for name, text in texts.items()))


def _state(files: OverlayFiles, rendered_from: Path, processes: Processes) -> _State:
    try:
        text = render_text(rendered_from, processes)
    except ProcessError:
        return _State(files, None, check_files(files, rendered_from, processes))
    try:
        return _State(files, rendered(parse_objects(text)), check_rendered(files, text, rendered_from, processes))
    except LauncherError:
        return _State(files, None, check_rendered(files, text, rendered_from, processes))


def _require_no_new_error(before: _State, after: _State) -> None:
    known = {(finding.rule, finding.message) for finding in before.findings}
    errors = [finding for finding in after.findings if finding.severity == "error"]
    new = [finding for finding in errors if (finding.rule, finding.message) not in known]
    if new:
        raise LauncherError(f"refused, a new error of `check` ({new[0].rule}): {new[0].message}", new[0].hint)
    if after.rendered is None:
        why = [f"{finding.place}: {finding.message}" if finding.place else finding.message for finding in errors]
        raise LauncherError(f"the overlay does not render: {why[0] if why else after.files.folder}", errors[0].hint if errors else None)


def _diff(path: Path, old: str, new: str) -> str:
    lines = unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), str(path), str(path))
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
