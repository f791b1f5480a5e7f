"""Look for mistakes in an overlay."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlops_launch.clients.process import Processes
from mlops_launch.commands.overlay.files import read_files
from mlops_launch.commands.overlay.package import package_of
from mlops_launch.commands.overlay.probe import Probe, probe
from mlops_launch.commands.overlay.render import parse_objects, render_text
from mlops_launch.core.finding import Finding
from mlops_launch.core.overlay.files import OverlayFiles
from mlops_launch.core.overlay.values import did_you_mean
from mlops_launch.core.rules.base import Subject
from mlops_launch.core.rules.registry import RENDER_RULES, RULE_IDS, find_problems
from mlops_launch.core.workload.kinds import find_workload
from mlops_launch.core.workload.model import mapping
from mlops_launch.errors import LauncherError, ProcessError, UsageError


def check_overlay(overlay: Path, processes: Processes, ignore: Collection[str] = ()) -> list[Finding]:
    """Return what is wrong with the overlay, errors first. No cluster is asked.

    Args:
        overlay: its folder.
        processes: runs kubectl.
        ignore: rules whose findings are left out, beside those that comments in the files accept.

    Raises:
        UsageError: `overlay` is not an overlay, or there is no such rule to ignore.
        LauncherError: kubectl is missing or too old.
    """
    for rule in ignore:
        if rule not in RULE_IDS:
            near = did_you_mean(rule, RULE_IDS)
            raise UsageError(f"no such rule: {rule}", f"did you mean `{near}`?" if near else "`mlops-launch check --rules` lists them")
    return [finding for finding in check_files(read_files(overlay), overlay, processes) if finding.rule not in ignore]


@dataclass(frozen=True)
class Given:
    """What one run gives beside the overlay.

    Args:
        package: the folder with common/ and models/; None looks for it from the overlay upwards.
        variables: over those of the overlay.
    """

    package: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


NOTHING_GIVEN = Given()


def check_files(files: OverlayFiles, rendered_from: Path, processes: Processes, given: Given = NOTHING_GIVEN) -> list[Finding]:
    """Return what is wrong with `files`, rendered from the folder `rendered_from`, which holds the same texts.

    Raises:
        LauncherError: kubectl is missing or too old.
    """
    try:
        text = render_text(rendered_from, processes)
    except ProcessError as error:
        subject = _subject(files, _reason(error, files, rendered_from), given)
        return find_problems(_with_probe(subject, probe(files, rendered_from, processes, None)))
    return check_rendered(files, text, rendered_from, processes, given)


def check_rendered(
    files: OverlayFiles, text: str, rendered_from: Path, processes: Processes, given: Given = NOTHING_GIVEN
) -> list[Finding]:
    """Return what is wrong with an overlay in the folder `rendered_from` that renders to `text`."""
    subject = _subject(files, None, given)
    try:
        objects = parse_objects(text)
        subject = _with_probe(replace(subject, names=_names(objects)), probe(files, rendered_from, processes, objects))
        subject = replace(subject, workload=find_workload(objects))
    except LauncherError as error:
        subject = replace(subject, workload_error=error)
    return find_problems(subject)


def _with_probe(subject: Subject, found: Probe) -> Subject:
    return replace(subject, unmatched_patches=found.unmatched, below=found.below, objects_below=found.objects_below)


def _subject(files: OverlayFiles, reason: str | None, given: Given) -> Subject:
    return Subject(files, None, reason, package_of(Path(files.folder), given.package), given.variables)


def _names(objects: list[dict[str, Any]]) -> dict[str, frozenset[str]]:
    """Return the names of objects by kind."""
    found: dict[str, set[str]] = {}
    for item in objects:
        found.setdefault(item["kind"], set()).add(str(mapping(item.get("metadata")).get("name")))
    return {kind: frozenset(names) for kind, names in found.items()}


def require_clean(findings: list[Finding]) -> None:
    """Raise unless `findings` holds no error.

    Raises:
        LauncherError: the first error and, in the hint, what to do about it and how many more there are.
    """
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise _as_error(errors)


def explain(overlay: Path, error: ProcessError) -> LauncherError:
    """Return why the overlay does not render: what a rule knows about it, with file and line, else kubectl's words."""
    files = read_files(overlay)
    findings = find_problems(Subject(files, render_error=_reason(error, files, overlay)))
    causes = [finding for finding in findings if finding.rule in RENDER_RULES]
    return _as_error(causes) if causes else error


def _as_error(errors: list[Finding]) -> LauncherError:
    first, more = errors[0], len(errors) - 1
    place = f"{first.place}: " if first.place else ""
    rest = f" ({more} more: `mlops-launch check` lists all)" if more else ""
    return LauncherError(f"{place}{first.message}", f"{first.hint}{rest}")


def _reason(error: ProcessError, files: OverlayFiles, rendered_from: Path) -> str:
    """Return why kubectl failed, in one line, with the overlay's name where kubectl names the folder it was given."""
    lines = [line for line in error.stderr.splitlines() if line and not line.startswith("#")]
    # The message may end with a whole object, or begin with a configuration in backticks.
    said = [line for line in lines if line.startswith("`: ")] or [line for line in lines if line.startswith("error: ")] or lines
    reason = (said[-1] if said else error.message).removeprefix("error: ").removeprefix("`: ").removesuffix(": node contents:")
    for folder in (str(rendered_from.resolve()), str(rendered_from)):
        reason = reason.replace(folder, files.folder)
    return f"kubectl does not render the overlay: {reason}"
