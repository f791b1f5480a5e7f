"""Comments in an overlay that accept a finding: `# mlops-launch: ignore RULE-ID: reason`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mlops_launch.core.finding import Finding
from mlops_launch.core.overlay.files import OverlayFiles

# An env file has no comments behind a value.
_OWN_LINE = re.compile(r"\s*#\s*mlops-launch:\s*ignore\b(?P<rest>.*)")
_BEHIND = re.compile(r".*\s#\s*mlops-launch:\s*ignore\b(?P<rest>.*)")
_REST = re.compile(r"\s+(?P<rule>[^\s:]+)\s*(?::\s*(?P<reason>.*))?")


@dataclass(frozen=True)
class Silence:
    """One such comment.

    Args:
        file: where it is, below the overlay's folder.
        line: its line, from 1.
        rule: the rule it names; empty when it names none.
        reason: why; empty when it gives none, and then it has no effect.
        covers: the line whose findings it accepts; None for those of the whole file, which the comments at a file's top accept too.
        at_top: whether nothing but comments stands above it.
    """

    file: str
    line: int
    rule: str
    reason: str
    covers: int | None
    at_top: bool

    def accepts(self, finding: Finding, kustomization: str) -> bool:
        """Return whether a finding is accepted; one without a file belongs to the kustomization's top."""
        if finding.rule != self.rule or not self.reason or (finding.file or kustomization) != self.file:
            return False
        return self.at_top if finding.line is None else finding.line == self.covers


def read_silences(files: OverlayFiles) -> tuple[Silence, ...]:
    """Return the comments of an overlay in the order of its files and lines."""
    return tuple(silence for name, text in files.texts.items() for silence in _in_text(name, text, is_env=name in files.env_files))


def _in_text(name: str, text: str, is_env: bool) -> Iterator[Silence]:
    lines, at_top = text.split("\n"), True
    for number, line in enumerate(lines, 1):
        own = _OWN_LINE.fullmatch(line.rstrip("\r"))
        found = own or (None if is_env else _BEHIND.fullmatch(line.rstrip("\r")))
        at_top = at_top and _is_aside(line)
        if found is not None:
            rest = _REST.fullmatch(found["rest"])
            covers = number if own is None else _next_content(lines, number)
            yield Silence(name, number, rest["rule"] if rest else "", (rest["reason"] or "").strip() if rest else "", covers, at_top)


def _next_content(lines: list[str], number: int) -> int | None:
    """Return the line that a comment on line `number` stands above, over other comments; from 1."""
    below = (place for place, line in enumerate(lines[number:], number + 1) if not line.lstrip().startswith("#"))
    return next(below, None)


def _is_aside(line: str) -> bool:
    return not line.strip("\ufeff \t\r") or line.lstrip("\ufeff \t").startswith("#")


def accept(findings: Iterable[Finding], silences: tuple[Silence, ...], kustomization: str) -> tuple[list[Finding], tuple[Silence, ...]]:
    """Return the findings that no comment accepts, and the comments that accept none."""
    kept, used = [], set()
    for finding in findings:
        accepting = [silence for silence in silences if silence.accepts(finding, kustomization)]
        used.update(accepting)
        if not accepting:
            kept.append(finding)
    return kept, tuple(silence for silence in silences if silence not in used)
