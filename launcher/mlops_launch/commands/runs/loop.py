"""The loop of a run, wherever it takes place: tries, the time limit, signals, how it ended, the exit code.

An engine is a place to run: `commands/local/run.py` is this machine, `commands/cluster/run.py` a cluster.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Final, Protocol

from mlops_launch import contract
from mlops_launch.clients.host import Host
from mlops_launch.commands.runs.archive import ArchivedRun
from mlops_launch.commands.runs.console import Console
from mlops_launch.commands.runs.display import Display
from mlops_launch.commands.runs.streams import Streams
from mlops_launch.contract import ExitCode, LauncherExitCode
from mlops_launch.core.kube.outcome import advice, may_heal
from mlops_launch.core.record import BY_DETACHING, BY_TIMEOUT, LOCAL, RunRecord, exit_name, record_hint
from mlops_launch.core.workload.plan import Plan

TIME_IS_UP: Final = "the time limit is reached: saving and stopping"


@dataclass(frozen=True)
class Limits:
    """How long, and how often.

    Args:
        timeout: seconds for all tries together; None is no limit.
        retries: more tries after an exit code that may be retried.
    """

    timeout: float | None = None
    retries: int = 0


@dataclass
class Stop:
    """Whether and why a run was asked to stop.

    Args:
        reason: BY_SIGNAL, BY_TIMEOUT, BY_DETACHING or None.
        deadline: of the monotonic clock; the time limit.
    """

    reason: str | None = None
    deadline: float = float("inf")

    def is_due(self, now: float) -> bool:
        """Return once that the time limit is reached, unless it was asked to stop before."""
        due = self.reason is None and now > self.deadline
        if due:
            self.reason = BY_TIMEOUT
        return due


@dataclass(frozen=True)
class Ended:
    """A try that has ended, or that was left: where it is in the archive, and its record."""

    run: ArchivedRun
    record: RunRecord


class Engine(Protocol):
    """A place to run."""

    def plan(self) -> Plan:
        """Return what a run would do, free of errors; nothing is changed.

        Raises:
            LauncherError: `check` has found an error, or something that a run needs is missing.
        """

    def attempt(self, plan: Plan, number: int, stop: Stop, display: Display) -> Ended:
        """Start one try and follow it until it has ended, or until the user leaves it: then its record has no exit code.

        Args:
            plan: from `plan`.
            number: of the try, from 1.
            stop: to be looked at again and again; whoever sees that the time limit is reached ends the try.
            display: shows the log and takes talk.

        Raises:
            LauncherError: it could not be started, or could not be followed.
        """

    def interrupt(self, stop: Stop, number: int) -> None:
        """A signal with that number has come, between any two instructions: have the try stop, or leave it."""


def run(engine: Engine, limits: Limits, host: Host, streams: Streams) -> int:
    """Run, and return the exit code of `mlops-launch run`.

    Raises:
        LauncherError: it could not be started, or could not be followed.
    """
    plan = engine.plan()
    display = Display(streams, plan.preset)
    for finding in plan.findings:
        display.console.info(finding.to_text())
    stop = Stop(deadline=host.monotonic() + limits.timeout if limits.timeout else float("inf"))
    number = 1
    with signals(lambda signal_number: engine.interrupt(stop, signal_number)):
        while True:
            ended = engine.attempt(plan, number, stop, display)
            summarize(ended, display.console)
            again = number <= limits.retries and stop.reason is None and may_retry(ended.record)
            if again:
                number += 1
                display.console.info(f"retrying: attempt {number}")
            display.end_with_result()
            if not again:
                return exit_code(ended.record, stop)


def may_retry(record: RunRecord) -> bool:
    """Return whether another try may help: an exit code of 128-255, unless a limit of its own or a person has ended it."""
    retryable = record.exit_code is not None and contract.is_retryable(record.exit_code)
    return retryable and not record.out_of_memory and may_heal(record.reason)


def exit_code(record: RunRecord, stop: Stop) -> int:
    """Return the exit code of `mlops-launch run`: the job's own, but for a time limit and for a job that was left."""
    if stop.reason == BY_DETACHING:
        return LauncherExitCode.DETACHED
    if record.exit_code is None:  # left from its start
        return 0
    timed_out = stop.reason == BY_TIMEOUT and record.exit_code != ExitCode.SUCCESS
    return LauncherExitCode.TIMEOUT if timed_out else record.exit_code


def summarize(ended: Ended, console: Console) -> None:
    """Say how a try ended and where to look next; nothing of one that was left."""
    record = ended.record
    code = record.exit_code
    if code is None or record.stopped_by == BY_DETACHING:
        return
    if code == ExitCode.SUCCESS:
        seconds = (datetime.fromisoformat(str(record.ended)) - datetime.fromisoformat(record.started)).total_seconds()
        console.info(f"{record.name} succeeded after {seconds:.0f} s")
    else:
        reason = f"\nreason: {record.reason}" if record.reason is not None else ""
        said = f"\nthe log says: {record.error}" if record.error is not None else ""
        message = f"the training ended with exit code {code}: {exit_name(code, record.out_of_memory)}{reason}{said}"
        console.error(message, advice(record.reason) or record_hint(record))
    output = Path(record.output or "")
    if record.engine == LOCAL and record.output is not None and (output / contract.METRICS_FILE).exists():
        console.info(f"figures: {output / contract.METRICS_FILE}")
        console.info(f"curves:  tensorboard --logdir {output / contract.TENSORBOARD_FOLDER}")
    console.info(f"archive: {ended.run.folder}")


@contextmanager
def signals(take: Callable[[int], None]) -> Iterator[None]:
    """Hand SIGINT, SIGTERM and SIGHUP to `take` while the context lasts."""

    def handler(number: int, frame: FrameType | None) -> None:
        take(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
