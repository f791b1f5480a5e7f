"""The engine on this machine: one try is a program that is started, followed to its end and archived."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlops_launch.clients.host import Host
from mlops_launch.clients.process import Processes
from mlops_launch.commands.local.plan import actions, plan_local, prepare, preset
from mlops_launch.commands.local.preflight import require_what_it_needs
from mlops_launch.commands.local.process import Program
from mlops_launch.commands.local.together import together
from mlops_launch.commands.overlay.check import Given
from mlops_launch.commands.overlay.planning import checked_plan, redacted
from mlops_launch.commands.runs.archive import PODS, Archive, ArchivedRun
from mlops_launch.commands.runs.beginning import removed_on_error
from mlops_launch.commands.runs.display import Display
from mlops_launch.commands.runs.loop import Ended, Stop
from mlops_launch.commands.runs.recorder import Recorder
from mlops_launch.contract import LauncherExitCode
from mlops_launch.core.kube.times import iso
from mlops_launch.core.record import BY_SIGNAL, RunRecord
from mlops_launch.core.workload.local_plan import LocalPlan
from mlops_launch.core.workload.model import Workload
from mlops_launch.core.workload.plan import Plan

FOR_A_CLUSTER = frozenset({"registry-placeholder"})  # warnings that mean nothing here


@dataclass(frozen=True)
class LocalOptions:
    """What the user asks for beside the overlay.

    Args:
        mounts: claim → folder.
        variables: as if they stood last in the container's `env`.
        model_dir: the folder that holds common/ and models/; None looks for it from the overlay upwards.
    """

    mounts: Mapping[str, Path] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    model_dir: Path | None = None


class LocalEngine:
    """Runs one overlay on this machine."""

    def __init__(self, overlay: Path, options: LocalOptions, processes: Processes, host: Host, archive: Archive) -> None:
        self.overlay, self.options, self.processes, self.host, self.archive = overlay, options, processes, host, archive
        self._program: Program | None = None

    def plan(self) -> Plan:
        """Return what a run would do; the folder of a try stands as NAME/TIME in it."""
        checked = checked_plan(self.overlay, self.processes, Given(self.options.model_dir, self.options.variables))
        findings = tuple(finding for finding in checked.findings if finding.rule not in FOR_A_CLUSTER)
        local = self._local(checked.workload, self.archive.root.absolute() / "runs" / "NAME" / "TIME" / "scratch")
        return replace(checked, text=redacted(checked), findings=findings, actions=actions(local), preset=preset(local))

    def attempt(self, plan: Plan, number: int, stop: Stop, display: Display) -> Ended:
        """Start one try and follow it to its end."""
        self.archive.sweep(self.host)
        self.host.remove_left_memory()
        started = self.host.now()
        run = self.archive.create(plan.workload.name, started)
        with removed_on_error(run):
            local = self._local(plan.workload, run.scratch.absolute())
            require_what_it_needs(plan, local, self.overlay, self.processes)
            run.write_plan(replace(plan, actions=actions(local)).to_text())
            pid, pid_started = self.host.own_process()
            record = RunRecord(
                name=plan.workload.name, kind=plan.workload.kind, overlay=str(self.overlay.resolve()), started=iso(started),
                try_number=number, output=str(local.output) if local.output else None, host=self.host.name(),
                pid=pid, pid_started=pid_started,
            )  # fmt: skip
            run.write(record)
            recorder = Recorder(run, record, display, plan.trains)
        return Ended(run, self._follow(local, run, recorder, stop, display))

    def interrupt(self, stop: Stop, number: int) -> None:
        """Ask the program to save and stop; a second Ctrl-C kills it."""
        if self._program is not None:
            self._program.interrupt(number)
        elif stop.reason is None:
            stop.reason = BY_SIGNAL

    def _local(self, workload: Workload, scratch: Path) -> LocalPlan:
        options = self.options
        return plan_local(workload, self.overlay, scratch, options.mounts, options.variables, options.model_dir, self.processes, self.host)

    def _follow(self, local: LocalPlan, run: ArchivedRun, recorder: Recorder, stop: Stop, display: Display) -> RunRecord:
        """Start the program and follow it to its end; return the record, which is in the archive too."""
        kills = self.host.memory_kills()
        code: int = LauncherExitCode.LAUNCHER_FAILED
        try:
            prepare(local)
            self._program = Program(self.processes, stop, display.console, lambda: display.silent(recorder.awaited))
            with self._program.pausable():
                first = together(local, run.folder / PODS) if len(local.processes) > 1 else local.main
                code = self._program.follow(self.processes.start(first.argv, env=first.environment, cwd=first.folder), recorder.take)
        finally:
            self._program = None
            recorder.end()
            shutil.rmtree(local.shared_memory, ignore_errors=True)
            run.remove_scratch()
            code = recorder.judged(code)
            record = recorder.record.at(
                ended=iso(self.host.now()),
                exit_code=code,
                stopped_by=stop.reason,
                out_of_memory=self.host.memory_kills() > kills,
                **recorder.cause(code),
            )
            recorder.write(record)
        return record
