"""What a rule is: a function over a `Subject`, with its documentation and its test above it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from mlops_launch.core.finding import Finding, Severity
from mlops_launch.core.rules.base import Problem, Subject
from mlops_launch.core.rules.example import Example

ERROR: Final = "error"
WARNING: Final = "warning"

Check = Callable[[Subject], Iterable[Problem]]


@dataclass(frozen=True)
class Rule:
    """One rule.

    Args:
        id: stable: it is in scripts, in issues, in comments of overlays and in the documentation.
        severity: an error stops `run` and `set`, a warning does not.
        summary: what it finds, one line without a full stop.
        why: what happens otherwise and what to do, for the documentation page.
        wrong: an example in which this rule finds something, and no other rule does.
        right: its twin in which no rule finds anything.
        explains_render: what it finds may be why an overlay does not render, and says so better than kubectl.
        any_job: whether it holds for a workload that was not made from this package too.
        check: the rule itself.
    """

    id: str
    severity: Severity
    summary: str
    why: str
    wrong: Example
    right: Example
    explains_render: bool
    any_job: bool
    check: Check

    def findings(self, subject: Subject) -> Iterator[Finding]:
        """Yield what the rule finds."""
        if subject.is_foreign and not self.any_job:
            return
        for problem in self.check(subject):
            yield Finding(self.id, self.severity, problem.message, problem.hint, problem.place.file, problem.place.line)

    def to_json(self) -> dict[str, str]:
        """Return the fields for `--json`."""
        fields = {"id": self.id, "severity": self.severity, "summary": self.summary, "why": self.why}
        return {**fields, "wrong": self.wrong.text, "right": self.right.text}


def rule(
    id: str,
    severity: Severity,
    summary: str,
    *,
    why: str,
    wrong: Example,
    right: Example,
    explains_render: bool = False,
    any_job: bool = False,
) -> Callable[[Check], Rule]:
    """Turn the function below into a `Rule`; the arguments are the fields of that class."""

    def decorate(check: Check) -> Rule:
        return Rule(id, severity, summary, why, wrong, right, explains_render, any_job, check)

    return decorate


def rules_of(module: ModuleType) -> tuple[Rule, ...]:
    """Return the rules that a module defines, in their order there."""
    found = [value for value in vars(module).values() if isinstance(value, Rule)]
    return tuple(each for each in found if each.check.__module__ == module.__name__)
