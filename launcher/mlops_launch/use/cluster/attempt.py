"""One try on a cluster: apply, follow, archive, say how it ended."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from mlops_launch import contract
from mlops_launch.contract import ExitCode, LauncherExitCode
from mlops_launch.core import belongings
from mlops_launch.core import pods as facts
from mlops_launch.core.logstream import Gap
from mlops_launch.core.outcome import Outcome, may_hide_a_kill
from mlops_launch.core.plan import Plan
from mlops_launch.core.status import BY_DETACHING, CLUSTER, RunRecord, exit_hint, exit_name
from mlops_launch.doors.cluster import Cluster
from mlops_launch.doors.host import Host
from mlops_launch.errors import LauncherError
from mlops_launch.use.archive import Archive
from mlops_launch.use.cluster.follow import gap_text
from mlops_launch.use.cluster.remove import remove
from mlops_launch.use.cluster.session import Session
from mlops_launch.use.cluster.startup import NotStarted
from mlops_launch.use.cluster.submit import Submission, apply
from mlops_launch.use.display import Display
from mlops_launch.use.engine import Stop
from mlops_launch.use.recorder import Recorder, iso

START_S: Final = 900.0  # to the training's first container; a cluster may add nodes meanwhile


@dataclass(frozen=True)
class ClusterOptions:
    """What the user asks for beside the overlay.

    Args:
        context: of the kubeconfig; None is the current one.
        namespace: None is the overlay's, else the context's.
        detach: apply, and leave.
        replace: stop a workload of that name that runs.
        delete_on_interrupt: Ctrl-C saves, stops and deletes.
        start_timeout: seconds to the training's start.
        timeout: seconds for all tries together; None is no limit.
        retries: more tries after an exit code that may be retried.
    """

    context: str | None = None
    namespace: str | None = None
    detach: bool = False
    replace: bool = False
    delete_on_interrupt: bool = False
    start_timeout: float = START_S
    timeout: float | None = None
    retries: int = 0


class Attempt:
    """One try: its archive, its record, its session."""

    def __init__(
        self, plan: Plan, planned: Submission, cluster: Cluster, options: ClusterOptions, host: Host, archive: Archive,
        display: Display, stop: Stop, number: int,
    ) -> None:  # fmt: skip
        self.plan, self.planned, self.cluster, self.options, self.host = plan, planned, cluster, options, host
        self.display, self.say, self.stop = display, display.say, stop
        started = host.now()
        self.archived = archive.create(planned.workload.name, started)
        pid, pid_started = host.own_process()
        output = planned.workload.environment(planned.workload.main).get(contract.OUTPUT_DIR)
        self.record = RunRecord(
            name=planned.workload.name, kind=planned.workload.kind, overlay=str(Path(plan.overlay).resolve()), started=iso(started),
            try_number=number, output=output, host=host.name(), pid=pid, pid_started=pid_started,
            engine=CLUSTER, namespace=planned.namespace, context=cluster.context,
        )  # fmt: skip
        self.recorder = Recorder(self.archived, self.record, display)

    def run(self) -> RunRecord:
        """Apply and follow; return the record, without an exit code when the user has left."""
        try:
            self.archived.write_plan(self.plan.to_text())
            applied = apply(self.cluster, self.planned)
        except BaseException:
            shutil.rmtree(self.archived.folder)
            raise
        self.recorder.record = self.record = self.record.at(uid=facts.uid_of(applied))
        self.archived.write(self.record)
        self.say(f"applied {self.record.kind} {self.record.name} in namespace {self.record.namespace}")
        if self.options.detach:
            self._write(stopped_by=BY_DETACHING)
            self._say_how_to_go_on()
            return self.record
        session = Session(
            self.cluster, self.planned.workload, self.planned.namespace, facts.uid_of(applied), self.archived, self.stop,
            self.recorder.take, self._gap, self.say,
        )  # fmt: skip
        try:
            session.wait_for_start(self.options.start_timeout)
            found = session.follow()
        except LauncherError as error:
            self._fail(session, error)
            raise
        if found is None:
            return self._leave(session)
        session.gather()
        return self._end(session, found)

    def _end(self, session: Session, found: Outcome) -> RunRecord:
        self.recorder.end()
        kill = session.memory_kill if may_hide_a_kill(found.code) else None
        reason = f"pod {kill.pod} was killed for memory at its limit of {kill.limit}" if kill else found.reason
        self.record = self.recorder.record.at(
            ended=iso(self.host.now()), exit_code=ExitCode.KILLED if kill else found.code, out_of_memory=kill is not None,
            stopped_by=self.stop.reason, reason=reason,
        )  # fmt: skip
        self.recorder.write(self.record)
        self._summarize()
        return self.record

    def _fail(self, session: Session, error: LauncherError) -> None:
        """The training has not started, or cannot be followed: keep the facts; what has not started is deleted."""
        session.gather()
        self.recorder.end()
        self._write(ended=iso(self.host.now()), exit_code=LauncherExitCode.LAUNCHER_FAILED, reason=error.message)
        if isinstance(error, NotStarted):
            self._delete()
        self.say(f"archive: {self.archived.folder}")

    def _leave(self, session: Session) -> RunRecord:
        session.leave()
        self.recorder.end()
        if self.options.delete_on_interrupt:
            self.say("saving, stopping and deleting; Ctrl-C again leaves at once")
            self._write(ended=iso(self.host.now()), exit_code=ExitCode.INTERRUPTED, stopped_by="signal")
            self._delete()
        else:
            self._write(stopped_by=BY_DETACHING)
            self._say_how_to_go_on()
        return self.record

    def _delete(self) -> None:
        removal = remove(self.cluster, self.record.name, self.planned.namespace, [belongings.reference(i) for i in self.planned.objects])
        for kind, name in removal.left:
            self.say(f"Warning: still there: {kind} {name}")
        if not removal.left:
            self.say(f"deleted {self.record.kind} {self.record.name} and what came with it")

    def _gap(self, gap: Gap) -> None:
        self.recorder.record = self.recorder.record.at(gaps=(*self.recorder.record.gaps, (gap.after, gap.before)))
        self.say(gap_text(gap))

    def _write(self, **changes: Any) -> None:
        self.record = self.recorder.record.at(**changes)
        self.archived.write(self.record)

    def _say_how_to_go_on(self) -> None:
        record = self.record
        where = f" -n {record.namespace}" + (f" --context {record.context}" if record.context else "")
        self.say(f"detached: {record.kind} {record.name} goes on in the cluster")
        self.say(f"follow:   mlops-launch logs -f {record.name}{where}")
        self.say(f"delete:   mlops-launch delete {record.name}{where}")

    def _summarize(self) -> None:
        record = self.record
        code = record.exit_code or 0
        if code != ExitCode.SUCCESS:
            self.say(f"Error: the training ended with exit code {code}: {exit_name(code, record.out_of_memory)}")
            if record.reason is not None:
                self.say(f"reason: {record.reason}")
            hint = exit_hint(code, record.out_of_memory)
            if hint is not None:
                self.say(f"\nhint: {hint}\n")
        else:
            seconds = (datetime.fromisoformat(str(record.ended)) - datetime.fromisoformat(record.started)).total_seconds()
            self.say(f"{record.name} succeeded after {seconds:.0f} s")
        self.say(f"archive: {self.archived.folder}")
