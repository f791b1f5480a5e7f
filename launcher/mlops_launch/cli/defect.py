"""An exception that nobody has thought of: one line for the screen, the traceback in a file for the report."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback

from mlops_launch import __version__
from mlops_launch.errors import DEFECT_HINT, LauncherError, as_launcher_error


def shown(error: BaseException) -> LauncherError:
    """Return what to show of an exception; the traceback of a defect is written to a temporary file, which the hint names."""
    known = as_launcher_error(error)
    if known.hint == DEFECT_HINT:
        where = _written(error)
        if where is not None:
            known.hint = f"please report it with this line and the traceback, which is in: {where}"
    return known


def _written(error: BaseException) -> str | None:
    try:
        descriptor, path = tempfile.mkstemp(prefix="mlops-launch-defect-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"mlops-launch {__version__}, Python {platform.python_version()}, {sys.platform}\n\n")
            file.write("".join(traceback.format_exception(error)))
    except OSError:  # a full disk, perhaps the cause itself
        return None
    return path
