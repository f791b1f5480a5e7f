"""The errors that the library raises and the command line shows.

LauncherError           exit 1: something is wrong, and the hint says what to do
├── UsageError          exit 2: the call itself is wrong
├── NoCluster           exit 1: no kubeconfig names one
└── ProcessError        exit 1: a program that was run failed; carries a line that can be pasted
"""

from __future__ import annotations

import errno
import shlex
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

DEFECT_HINT: Final = "please report it with this line"


class LauncherError(Exception):
    """A failure that a person can act on.

    Args:
        message: one line without a full stop, the value last after a colon.
        hint: what to do about it, or None when the message says it already.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n\nhint: {self.hint}"


class UsageError(LauncherError):
    """The call is wrong: an option, a value, a path that is no overlay."""

    exit_code = 2


class NoCluster(LauncherError):
    """No kubeconfig names a cluster."""


class ProcessError(LauncherError):
    """A program that was run ended with an error."""

    def __init__(self, argv: Sequence[str], returncode: int, stderr: str, hint: str | None = None) -> None:
        self.argv = tuple(argv)
        self.returncode = returncode
        self.stderr = stderr.strip()
        last = self.stderr.splitlines()[-1] if self.stderr else "no message"
        super().__init__(f"`{argv[0]}` ended with exit code {returncode}: {last}", hint or f"run it by hand: {shlex.join(argv)}")


_DISK_HINTS: Final = {
    errno.ENOSPC: "make room, or name a place on another disk",
    errno.EDQUOT: "the quota of this disk is used up: make room, or name a place on another disk",
    errno.EROFS: "nothing can be written there: name another place",
}


def as_launcher_error(error: BaseException) -> LauncherError:
    """Return any error as one that can be shown; one that nobody has thought of is a defect of the launcher's, and says where."""
    if isinstance(error, LauncherError):
        return error
    if isinstance(error, OSError):
        what = error.strerror or str(error) or type(error).__name__
        return LauncherError(what if error.filename is None else f"{what}: {error.filename}", _DISK_HINTS.get(error.errno or 0))
    if isinstance(error, ImportError) and error.name and not error.name.startswith("mlops_launch"):
        return LauncherError(f"a Python package is missing or damaged: {error.name}", "install mlops-launch again in this environment")
    frame = traceback.extract_tb(error.__traceback__)[-1:]
    where = f", {Path(frame[0].filename).name}:{frame[0].lineno}" if frame else ""
    message = " ".join(str(error).split())
    return LauncherError(f"a defect in mlops-launch{where}: {type(error).__name__}: {message}", DEFECT_HINT)
