"""What begins a run in the archive is there whole, or nothing of it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from mlops_launch.commands.runs.archive import ArchivedRun
from mlops_launch.errors import LauncherError


@contextmanager
def removed_on_error(run: ArchivedRun) -> Iterator[None]:
    """Remove a run's folder when what is done meanwhile fails.

    Raises:
        LauncherError: the archive cannot be written.
    """
    try:
        yield
    except OSError as error:
        shutil.rmtree(run.folder, ignore_errors=True)
        hint = "make room there, or run in a folder on another disk: runs are kept in its .mlops/"
        raise LauncherError(f"cannot write the archive: {run.folder}: {error.strerror}", hint) from error
    except BaseException:
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
