"""Whose log is read, in which state its container may be, and whether its beginning is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mlops_launch.core.kube.times import moment
from mlops_launch.core.log.lines import START_LINE

RUNNING, ENDED, GONE = "running", "ended", "gone"
REPLACED, UNKNOWN = "replaced", "unknown"  # it was started again, so that its log is the previous one; nobody could be asked
HEAD_S: Final = 5.0  # from a container's start to its first line, without a thought of rotation


@dataclass(frozen=True)
class Container:
    """Whose log it is, and which of it.

    Args:
        pod: its pod's name.
        name: its own.
        namespace: the pod's.
        started: when, RFC 3339, to find that the log's beginning is missing; None does not look for that.
        since: only lines from that time on, RFC 3339; None is the whole log.
        watched: since before its start: only a first answer that comes late can lack the beginning.
        restarts: its pod starts it again when it fails: whose log an answer is has to be asked for.
        tail: of what there is at first, only that many lines, at least one; None is all.
    """

    pod: str
    name: str
    namespace: str
    started: str | None = None
    since: str | None = None
    watched: bool = False
    restarts: bool = False
    tail: int | None = None


def head_is_missing(started: str, first: str | None, text: bytes) -> bool:
    """Return whether lines before the first may have been rotated away.

    Args:
        started: when the container started.
        first: the timestamp of the first line.
        text: the first lines; a training's own first line says that nothing is missing.
    """
    if first is None or b"\n" + START_LINE in b"\n" + text:
        return False
    return (moment(first) - moment(started)).total_seconds() > HEAD_S
