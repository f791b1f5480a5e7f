"""Advice on pods that a run has deleted: what kubectl would have shown of them is in the run's archive."""

from __future__ import annotations

import re
from typing import Final

from mlops_launch.commands.runs.archive import EVENTS, PODS, ArchivedRun

_LOGS: Final = re.compile(r"`kubectl logs ([^\s`]+)(?: -c ([^\s`]+))?(?: --previous)?`")
_DESCRIBE: Final = re.compile(r"`kubectl describe pod [^\s`]+`")


def of_deleted(hint: str, run: ArchivedRun) -> str:
    """Return the advice with the archive's files in place of commands that would find no pod.

    Args:
        hint: of a cause.
        run: its pods' logs are gathered, as far as there were any; the events say what else there is to know.
    """
    events = f"`{run.folder / EVENTS}`"

    def log(found: re.Match[str]) -> str:
        files = [run.folder / PODS / f"{name}.log" for name in (f"{found[1]}.{found[2]}", found[1])]
        return next((f"`{file}`" for file in files if file.exists()), events)

    return _DESCRIBE.sub(lambda found: events, _LOGS.sub(log, hint))
