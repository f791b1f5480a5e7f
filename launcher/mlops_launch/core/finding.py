"""What a rule found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One mistake in an overlay.

    Args:
        rule: the stable id of the rule that found it.
        severity: an error stops `run`, a warning does not.
        message: one line without a full stop, the value last after a colon.
        hint: what to do.
        file: where, below the overlay's folder; None when it is in no single file.
        line: line of `file`, from 1.
    """

    rule: str
    severity: Severity
    message: str
    hint: str
    file: str | None = None
    line: int | None = None

    @property
    def place(self) -> str:
        """`file:line`, `file`, or an empty text."""
        if self.file is None:
            return ""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    def to_text(self) -> str:
        """Return `error rule file:line message` and the indented hint."""
        words = [self.severity, self.rule, self.place, self.message]
        return f"{' '.join(word for word in words if word)}\n  hint: {self.hint}"

    def to_json(self) -> dict[str, Any]:
        """Return the fields for `--json`."""
        return asdict(self)
