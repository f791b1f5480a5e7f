"""Several processes of a plan as one program, which starts them and ends them together."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

from mlops_launch.commands.local import group
from mlops_launch.core.workload.local_plan import LocalPlan, LocalProcess
from mlops_launch.errors import LauncherError

FILE: Final = "processes.json"


def together(plan: LocalPlan, logs: Path) -> LocalProcess:
    """Return the program that runs the plan's processes; what it must know is written into the plan's scratch folder.

    Args:
        plan: its folders are there.
        logs: the folder for the output of all processes but the main one, to be made.

    Raises:
        LauncherError: a folder or a file cannot be made.
    """
    programs = [
        {
            "name": process.name, "argv": process.argv, "environment": dict(process.environment), "folder": str(process.folder),
            "log": None if process is plan.main else str(logs.absolute() / f"{process.name}.log"), "grace": process.grace,
            "counts": process.counts,
        }
        for process in plan.processes
    ]  # fmt: skip
    path = plan.scratch / FILE
    try:
        logs.mkdir(mode=0o700, exist_ok=True)
        with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            json.dump({"programs": programs, "any_success": plan.any_success}, file)
    except OSError as error:
        raise LauncherError(f"cannot write a file of the run: {error.filename}: {error.strerror}") from error
    argv = (sys.executable, "-I", str(Path(group.__file__)), str(path))
    return LocalProcess("all", argv, plan.main.environment, plan.main.folder)
