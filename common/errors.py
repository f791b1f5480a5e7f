"""The one error of a training that a person can act on."""

from __future__ import annotations

from mlops_launch.contract import ExitCode


class TrainingError(Exception):
    """A training that must end, with the exit code that says why.

    Args:
        message: one line without a full stop, the value last after a colon.
        hint: what to do about it, or None.
        code: the process's exit code.
    """

    def __init__(self, message: str, hint: str | None = None, code: ExitCode = ExitCode.FAILURE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n\nhint: {self.hint}"
