"""Names a run that stands still: since when, the last step, and what has become of the ranks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

LIMIT_S: Final = 60.0
SLOW_STEPS: Final = 5.0  # a step may take that many times as long as usual before it is worth a line

Clock = Callable[[], float]

_RANK: Final = b"OMPI_COMM_WORLD_RANK"
_JOB: Final = b"PMIX_NAMESPACE"
# Of /proc/PID/stat; a rank in any other state may be at work.
_WORDS: Final = {"T": "stopped", "t": "stopped", "D": "waiting for a disk", "Z": "ended", "X": "ended"}


class StallWatch:
    """A thread that says when no step has ended for a while; one rank says it for all, by the context manager's life.

    Args:
        rank: this one.
        hosts: of each rank.
        talk: called with the line.
        limit_s: seconds without a step, at the least.
        clock: seconds that only grow.
    """

    def __init__(
        self, rank: int, hosts: Sequence[str], talk: Callable[[str], None], limit_s: float = LIMIT_S, clock: Clock = time.monotonic
    ) -> None:
        self._rank, self._hosts, self._talk, self._limit_s, self._clock = rank, hosts, talk, limit_s, clock
        self._step, self._beats, self._timed, self._usual_s = 0, 0, 0, 0.0
        self._told_s, self._told_beats = 0.0, 0
        self._at = clock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stall watch", daemon=True)

    def __enter__(self) -> StallWatch:
        self._at = self._clock()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def beat(self, step: int) -> None:
        """Note that `step` has ended, or a part of what follows it, such as a batch of an evaluation."""
        now = self._clock()
        self._beats += 1
        # The first has the graph's compilation in it, and what was worth a line is not usual.
        if self._beats > 1 and not self._told_s:
            self._timed += 1
            self._usual_s += (now - self._at - self._usual_s) / self._timed
        self._step, self._at = step, now

    def look(self) -> None:
        """Say it when no step has ended for too long, again each time that time has doubled, and when the run continues."""
        waited = self._clock() - self._at
        if self._told_s and self._told_beats != self._beats:
            self._talk(f"the run continues, at step {self._step}")
            self._told_s = 0.0
        elif waited > max(self._limit_s, SLOW_STEPS * self._usual_s, 2 * self._told_s):
            states = rank_states(self._rank, self._hosts)
            # The lowest rank that can still speak does.
            if all(states.get(lower) for lower in range(self._rank)):
                ranks = ", ".join(f"{rank}:{host}{_in_brackets(states.get(rank))}" for rank, host in enumerate(self._hosts))
                self._talk(f"warning: no step has ended for {waited:.0f} s, the last was {self._step}; ranks: {ranks}")
                self._told_s, self._told_beats = waited, self._beats

    def _watch(self) -> None:
        while not self._ended.wait(self._limit_s / 20):
            self.look()


def rank_states(rank: int, hosts: Sequence[str], proc: Path = Path("/proc")) -> dict[int, str]:
    """Return what keeps the ranks of this job on this host from working, by rank; a rank that may be at work is left out."""
    job = _environment(proc / "self").get(_JOB)
    found: dict[int, str] = {}
    for folder in proc.iterdir() if job is not None else ():
        if not folder.name.isdigit():
            continue
        environment = _environment(folder)
        if environment.get(_JOB) == job and environment.get(_RANK, b"").isdigit():
            found[int(environment[_RANK])] = _state(folder)
    here = {number for number, host in enumerate(hosts) if job is not None and host == hosts[rank]}
    states = {number: _WORDS.get(found[number], "") if number in found else "gone" for number in here}
    return {number: word for number, word in states.items() if word}


def _in_brackets(word: str | None) -> str:
    return f" ({word})" if word else ""


def _environment(process: Path) -> Mapping[bytes, bytes]:
    """Return the variables that a process was started with; none where it has ended or is another user's."""
    try:
        content = (process / "environ").read_bytes()
    except OSError:
        return {}
    return {name: value for name, _, value in (entry.partition(b"=") for entry in content.split(b"\0"))}


def _state(process: Path) -> str:
    try:
        # `PID (NAME) STATE …`, and the name may hold anything.
        return (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "X"
