"""The start, until all ranks have met: a rank that waits for the others says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

LIMIT_S: Final = 60.0


@contextmanager
def waiting_is_told(kind: str, environment: Mapping[str, str], talk: Callable[[str], None], limit_s: float = LIMIT_S) -> Iterator[None]:
    """Say each `limit_s` seconds that the body, in which this rank meets the others, has not ended.

    Args:
        kind: how this rank talks to them, by its settings: two libraries wait for each other forever.
        environment: of the process; mpirun tells the rank there.
        talk: called with the line, by a thread.
        limit_s: seconds.
    """
    ended = threading.Event()
    rank = environment.get("OMPI_COMM_WORLD_RANK", "0")

    def watch() -> None:
        waited = limit_s
        while not ended.wait(limit_s):
            talk(
                f"warning: rank {rank} has waited {waited:.0f} s for the other ranks; "
                f"all must be at work, and have the same MLOPS_COMM, here: {kind}"
            )
            waited += limit_s

    thread = threading.Thread(target=watch, name="meeting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
