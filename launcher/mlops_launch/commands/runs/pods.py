"""The archived logs of a run's other pods, or of what has run in their place on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mlops_launch.commands.runs.archive import PODS, ArchivedRun
from mlops_launch.commands.runs.listing import CHUNK, last_lines
from mlops_launch.core.log.lines import LineReader, headed
from mlops_launch.errors import LauncherError


def pod_logs(run: ArchivedRun, role: str, index: int | None, tail: int | None) -> Iterator[bytes]:
    """Return the logs of the pods of a role in chunks, one after the other; of several, each line has its pod's name in front.

    Args:
        run: in the archive.
        role: whatever the case of its letters.
        index: only of that pod; None is all.
        tail: of each only that many lines; None is all.

    Raises:
        LauncherError: there is none.
    """
    name, number = re.escape(run.read().name), "[0-9]+" if index is None else index
    wanted = re.compile(rf"{name}-{re.escape(role)}-{number}(?:-.*)?", re.IGNORECASE)
    logs = {path.stem: path for path in sorted((run.folder / PODS).glob("*.log"))}
    found = {pod: path for pod, path in logs.items() if wanted.fullmatch(pod)}
    if not found:
        what = role if index is None else f"{role} {index}"
        raise LauncherError(
            f"no log of that role beside the run's own: {what}",
            f"there are: {', '.join(logs) or 'none'}; without `--role` it is the run's own",
        )
    width = max(map(len, found)) + 1
    heads = [f"{pod + ':':<{width}} ".encode() if len(found) > 1 else b"" for pod in found]
    return (chunk for path, head in zip(found.values(), heads, strict=True) for chunk in _chunks(path, head, tail))


def _chunks(path: Path, head: bytes, tail: int | None) -> Iterator[bytes]:
    reader = LineReader(wait=True)
    with path.open("rb", buffering=0) as file:
        if tail is not None:
            file.seek(last_lines(file, tail))
        while chunk := file.read(CHUNK):
            yield headed(head, reader.feed(chunk).parts) if head else chunk
    if head:
        yield headed(head, reader.end().parts)
