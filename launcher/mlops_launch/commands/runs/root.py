"""Where runs are kept: the nearest `.mlops` at or above the working directory, as git finds its folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

NAME: Final = ".mlops"


def find_root() -> Path:
    """Return the nearest `.mlops` of this user; a new one belongs in the working directory.

    One of somebody else above, in /tmp for instance, is not for us; one in the working directory is what the user points at.
    """
    here = Path.cwd()
    for folder in here.parents if not (here / NAME).is_dir() else ():
        try:
            if (folder / NAME).is_dir() and (folder / NAME).stat().st_uid == os.geteuid():
                return folder / NAME
        except OSError:  # not ours to look into
            continue
    return Path(NAME)
