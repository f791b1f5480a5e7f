"""Train here: check, plan, start, follow, archive; again when another try may help."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from mlops_launch import contract
from mlops_launch.clients.host import Host
from mlops_launch.clients.process import Processes
from mlops_launch.commands.local.plan import actions, plan_local, prepare, preset
from mlops_launch.commands.local.process import Engine, Stop
from mlops_launch.commands.overlay.planning import checked_plan, redacted
from mlops_launch.commands.runs.archive import Archive, ArchivedRun
from mlops_launch.commands.runs.display import Display
from mlops_launch.commands.runs.recorder import Recorder, may_retry
from mlops_launch.commands.runs.streams import Streams
from mlops_launch.contract import ExitCode, LauncherExitCode
from mlops_launch.core.kube.times import iso
from mlops_launch.core.record import BY_TIMEOUT, RunRecord, exit_hint, exit_name
from mlops_launch.core.workload.local_plan import LocalPlan
from mlops_launch.core.workload.plan import Plan

FOR_A_CLUSTER = frozenset({"registry-placeholder"})  # warnings that mean nothing here


@dataclass(frozen=True)
class RunOptions:
    """What the user asks for beside the overlay.

    Args:
        mounts: claim → folder.
        variables: as if they stood last in the container's `env`.
        model_dir: the folder that holds common/ and models/; None looks for it from the overlay upwards.
        timeout: seconds for all tries together; None is no limit.
        retries: more tries after an exit code that may be retried.
    """

    mounts: Mapping[str, Path] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    model_dir: Path | None = None
    timeout: float | None = None
    retries: int = 0


class LocalRun:
    """One `run --local` of one overlay."""

    def __init__(self, overlay: Path, options: RunOptions, processes: Processes, host: Host, archive: Archive) -> None:
        self.overlay = overlay
        self.options = options
        self.processes = processes
        self.host = host
        self.archive = archive

    def check(self) -> Plan:
        """Return the plan without actions: what the overlay holds, free of errors.

        Raises:
            LauncherError: `check` has found an error.
        """
        return checked_plan(self.overlay, self.processes, self.options.model_dir)

    def plan(self, checked: Plan, scratch: Path) -> tuple[Plan, LocalPlan]:
        """Return the whole plan, for people and for the engine."""
        local = plan_local(
            checked.workload, self.overlay, scratch, self.options.mounts, self.options.variables,
            self.options.model_dir, self.processes, self.host,
        )  # fmt: skip
        return Plan(checked.overlay, redacted(checked.text), checked.workload, checked.findings, actions(local)), local

    def dry_run(self) -> str:
        """Return the plan as text; nothing is made."""
        plan, _ = self.plan(self.check(), self.archive.root.absolute() / "runs" / "NAME" / "TIME" / "scratch")
        return plan.to_text()

    def run(self, streams: Streams) -> int:
        """Train, and return the exit code of `mlops-launch run`.

        Raises:
            LauncherError: the training could not be started.
        """
        checked = self.check()
        self.archive.sweep(self.host)
        self.host.remove_left_memory()
        stop = Stop(deadline=time.monotonic() + self.options.timeout if self.options.timeout else float("inf"))
        for number in range(1, self.options.retries + 2):
            started = self.host.now()
            run = self.archive.create(checked.workload.name, started)
            try:
                plan, local = self.plan(checked, run.scratch.absolute())
            except BaseException:
                shutil.rmtree(run.folder)
                raise
            display = Display(streams, preset(local))
            for finding in plan.findings if number == 1 else ():
                if finding.rule not in FOR_A_CLUSTER:
                    display.say(finding.to_text())
            run.write_plan(plan.to_text())
            record = self._try(run, plan, local, display, stop, started, number)
            last = number > self.options.retries or stop.reason is not None or not may_retry(record)
            _summarize(run, record, local, display, again=not last)
            display.end_with_result()
            if last:
                break
        assert record.exit_code is not None
        timed_out = stop.reason == BY_TIMEOUT and record.exit_code != ExitCode.SUCCESS
        return LauncherExitCode.TIMEOUT if timed_out else record.exit_code

    def _try(
        self, run: ArchivedRun, plan: Plan, local: LocalPlan, display: Display, stop: Stop, started: datetime, number: int
    ) -> RunRecord:
        """Start the plan and follow it to its end; return the record, which is in the archive too."""
        pid, pid_started = self.host.own_process()
        record = RunRecord(
            name=plan.workload.name, kind=plan.workload.kind, overlay=str(self.overlay.resolve()), started=iso(started),
            try_number=number, output=str(local.output) if local.output else None, host=self.host.name(),
            pid=pid, pid_started=pid_started,
        )  # fmt: skip
        run.write(record)
        kills = self.host.memory_kills()
        follower = Recorder(run, record, display)
        engine = Engine(self.processes, stop, display.say)
        code: int = LauncherExitCode.LAUNCHER_FAILED
        try:
            prepare(local)
            with engine.signals():
                code = engine.follow(self.processes.start(local.argv, env=local.environment, cwd=local.folder), follower.take)
        finally:
            follower.end()
            shutil.rmtree(local.shared_memory, ignore_errors=True)
            run.remove_scratch()
            record = follower.record.at(
                ended=iso(self.host.now()), exit_code=code, stopped_by=stop.reason, out_of_memory=self.host.memory_kills() > kills
            )
            follower.write(record)
        return record


def _summarize(run: ArchivedRun, record: RunRecord, local: LocalPlan, display: Display, again: bool) -> None:
    """Say how it ended and where to look next."""
    code = record.exit_code if record.exit_code is not None else 0
    if code != ExitCode.SUCCESS:
        display.say(f"Error: the training ended with exit code {code}: {exit_name(code, record.out_of_memory)}")
        hint = exit_hint(code, record.out_of_memory)
        if hint is not None:
            display.say(f"\nhint: {hint}\n")
    else:
        seconds = (datetime.fromisoformat(str(record.ended)) - datetime.fromisoformat(record.started)).total_seconds()
        display.say(f"{record.name} succeeded after {seconds:.0f} s")
    if local.output is not None and (local.output / contract.METRICS_FILE).exists():
        display.say(f"figures: {local.output / contract.METRICS_FILE}")
        display.say(f"curves:  tensorboard --logdir {local.output / contract.TENSORBOARD_FOLDER}")
    display.say(f"archive: {run.folder}")
    if again:
        display.say(f"trying again: {record.try_number + 1}")
