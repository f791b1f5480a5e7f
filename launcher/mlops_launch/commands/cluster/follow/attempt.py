"""One try on a cluster that was applied: follow, archive, say how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlops_launch import contract
from mlops_launch.clients.cluster import Cluster
from mlops_launch.clients.host import Host
from mlops_launch.clients.process import Processes
from mlops_launch.commands.cluster.follow.container import gap_text
from mlops_launch.commands.cluster.follow.restore import LogVolume
from mlops_launch.commands.cluster.follow.startup import NotStarted
from mlops_launch.commands.cluster.follow.training import Listener, Session
from mlops_launch.commands.cluster.limits import START_S
from mlops_launch.commands.cluster.remove import remove
from mlops_launch.commands.local.process import Stop
from mlops_launch.commands.runs.archive import ArchivedRun, Position
from mlops_launch.commands.runs.display import Display
from mlops_launch.commands.runs.recorder import Recorder
from mlops_launch.contract import ExitCode, LauncherExitCode
from mlops_launch.core.kube.outcome import Outcome, may_hide_a_kill
from mlops_launch.core.kube.ownership import Reference
from mlops_launch.core.kube.times import iso
from mlops_launch.core.log.stream import Gap, Mark
from mlops_launch.core.record import BY_DETACHING, RunRecord, exit_hint, exit_name
from mlops_launch.core.workload.model import Workload
from mlops_launch.errors import LauncherError


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
    """Follows one try that was applied: its log goes to the archive and to the display, its end to the record.

    Args:
        cluster: where; patient.
        processes: runs kubectl.
        host: this machine.
        workload: what was rendered.
        references: what was applied; it is deleted when it cannot start, and when the user asks for that.
        archived: the run in the archive; its record names the namespace and the workload's uid.
        display: shows the log.
        stop: why the user, or the clock, wants it to stop.
    """

    def __init__(
        self, cluster: Cluster, processes: Processes, host: Host, workload: Workload, references: Sequence[Reference],
        archived: ArchivedRun, display: Display, stop: Stop,
    ) -> None:  # fmt: skip
        self.cluster, self.processes, self.host, self.workload, self.references = cluster, processes, host, workload, references
        self.archived, self.display, self.say, self.stop = archived, display, display.say, stop
        self.recorder = Recorder(archived, archived.read(), display)

    @property
    def record(self) -> RunRecord:
        """The run's record, as it is now."""
        return self.recorder.record

    def follow(self, start_timeout: float, delete_on_interrupt: bool = False, again: bool = False) -> RunRecord:
        """Follow it; return the record, without an exit code when the user has left.

        Args:
            start_timeout: seconds until its first container runs.
            delete_on_interrupt: it is deleted when the user leaves.
            again: go on from where another follower has come to.

        Raises:
            NotStarted: it was deleted, unless another has followed it before.
            LauncherError: it cannot be followed; it goes on in the cluster.
        """
        position = self.archived.read_position() if again else None
        session = Session(
            self.cluster, self.workload, str(self.record.namespace), str(self.record.uid), self.archived, self.stop,
            Listener(self.recorder.take, self._gap, self._mark, self.say), again, position,
        )  # fmt: skip
        try:
            session.wait_for_start(start_timeout)
            found = session.follow()
        except LauncherError as error:
            if again or not isinstance(error, NotStarted):
                session.leave()
                self.detach()
                raise
            session.gather()
            self.recorder.end()
            self._end(exit_code=LauncherExitCode.LAUNCHER_FAILED, reason=error.message)
            self._delete()
            self.say(f"archive: {self.archived.folder}")
            raise
        if found is None:
            session.leave()
            self._leave(delete_on_interrupt)
        else:
            session.gather()
            self.recorder.end()
            self._finish(session, found)
        return self.record

    def detach(self) -> RunRecord:
        """Leave it alone, and say how to come back."""
        self.recorder.end()
        self._write(stopped_by=BY_DETACHING)
        record = self.record
        where = f" -n {record.namespace}" + (f" --context {record.context}" if record.context else "")
        self.say(f"detached: {record.kind} {record.name} goes on in the cluster")
        self.say(f"follow:   mlops-launch logs -f {record.name}{where}")
        self.say(f"delete:   mlops-launch delete {record.name}{where}")
        return record

    def _finish(self, session: Session, found: Outcome) -> None:
        if self.record.gaps:
            self._complete(session)
        kill = session.memory_kill if may_hide_a_kill(found.code) else None
        reason = f"pod {kill.pod} was killed for memory at its limit of {kill.limit}" if kill else found.reason
        if self.stop.reason == BY_DETACHING:  # too late: there is nothing to leave any more
            self.stop.reason = None
        self._end(
            exit_code=ExitCode.KILLED if kill else found.code, out_of_memory=kill is not None, stopped_by=self.stop.reason, reason=reason,
        )  # fmt: skip
        self._summarize()

    def _complete(self, session: Session) -> None:
        """Fill the gaps from the copy on the output volume, where there is one."""
        pods = session.main_pods
        if self.record.output is None or not pods:
            return
        volume = LogVolume(self.cluster, self.processes, self.workload.main, self.record.output)
        if not volume.outlives_its_pod:
            return
        copy = f"{self.record.output}/{contract.LOG_COPY_FILE}"
        self.say(f"completing the archived log from {copy}")
        try:
            more = volume.complete(self.archived, pods, session.workload)
        except LauncherError as error:
            self.say(f"Warning: the archived log may not be whole: {error.message}")
            return
        self.recorder.record = self.record.at(gaps=())
        self.recorder.take_figures()
        self.say(f"the archived log is whole: {more} lines of it came from {copy}")

    def _leave(self, delete: bool) -> None:
        if not delete:
            self.detach()
            return
        self.recorder.end()
        self.say("saving, stopping and deleting; Ctrl-C again leaves at once")
        self._end(exit_code=ExitCode.INTERRUPTED, stopped_by="signal")
        self._delete()

    def _delete(self) -> None:
        removal = remove(self.cluster, self.record.name, str(self.record.namespace), self.references)
        for line in removal.warnings:
            self.say(line)
        for kind, name in removal.left:
            self.say(f"Warning: still there: {kind} {name}")
        if not removal.left:
            self.say(f"deleted {self.record.kind} {self.record.name} and what came with it")

    def _gap(self, gap: Gap) -> None:
        self._write(gaps=(*self.record.gaps, (gap.after, gap.before)))
        self.say(gap_text(gap))

    def _mark(self, read: tuple[str, ...], pod: str, mark: Mark) -> None:
        self.recorder.place(Position(read, pod, self.recorder.size, mark))

    def _end(self, **changes: Any) -> None:
        self._write(ended=iso(self.host.now()), **changes)
        self.archived.remove_position()

    def _write(self, **changes: Any) -> None:
        self.recorder.record = self.record.at(**changes)
        self.recorder.write(self.record)

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
