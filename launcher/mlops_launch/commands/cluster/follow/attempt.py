"""One try on a cluster that was applied: follow, archive, say how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlops_launch import contract
from mlops_launch.clients.cluster import Cluster
from mlops_launch.clients.process import Processes
from mlops_launch.commands.cluster.follow.advice import of_deleted
from mlops_launch.commands.cluster.follow.instances import Place
from mlops_launch.commands.cluster.follow.restore import LogVolume
from mlops_launch.commands.cluster.follow.startup import NotStarted
from mlops_launch.commands.cluster.follow.training import TrainingFollower
from mlops_launch.commands.cluster.remove import remove
from mlops_launch.commands.runs.archive import ArchivedRun, Position
from mlops_launch.commands.runs.display import Display
from mlops_launch.commands.runs.loop import Stop
from mlops_launch.commands.runs.recorder import Recorder
from mlops_launch.contract import ExitCode, LauncherExitCode
from mlops_launch.core.kube.outcome import Outcome, may_hide_a_kill
from mlops_launch.core.kube.ownership import Reference
from mlops_launch.core.kube.times import iso
from mlops_launch.core.log.pieces import Gap, Piece, gap_text
from mlops_launch.core.record import BY_DETACHING, RunRecord
from mlops_launch.core.workload.model import Workload
from mlops_launch.errors import LauncherError, as_launcher_error


@dataclass(frozen=True)
class Applied:
    """What is in the cluster, and where it is kept in the archive.

    Args:
        workload: what was rendered.
        references: what was applied; it is deleted when it cannot start, and when the user asks for that.
        run: the run in the archive; its record names the namespace and the workload's uid.
        trains: it runs a trainer, which ends with a result.
    """

    workload: Workload
    references: Sequence[Reference]
    run: ArchivedRun
    trains: bool = False


class Attempt:
    """One try that was applied: its log goes to the archive and to the display, its end to the record.

    Args:
        cluster: where; patient.
        processes: runs kubectl.
        applied: the try.
        display: shows the log.
        stop: why the user, or the clock, wants it to stop.
    """

    def __init__(self, cluster: Cluster, processes: Processes, applied: Applied, display: Display, stop: Stop) -> None:
        self.cluster, self.processes, self.applied, self.stop, self.console = cluster, processes, applied, stop, display.console
        self.recorder = Recorder(applied.run, applied.run.read(), display, applied.trains)

    @property
    def record(self) -> RunRecord:
        """The run's record, as it is now."""
        return self.recorder.record

    def follow(self, start_timeout: float, delete_on_interrupt: bool = False, again: bool = False) -> RunRecord:
        """Follow it; return the record, without an exit code when the user has left.

        Args:
            start_timeout: seconds until its first container runs.
            delete_on_interrupt: it is deleted when the user leaves.
            again: resume from where another follower has come to.

        Raises:
            NotStarted: it was deleted, unless another has followed it before. Where another try may start, the record says so: worker lost.
            LauncherError: it cannot be followed; it keeps running in the cluster.
        """
        follower = TrainingFollower(self.cluster, self.applied.workload, self.applied.run, self.stop, self.console, again)
        try:
            follower.wait_for_start(start_timeout)
            for piece in follower.pieces():
                self._take(piece)
        except Exception as error:
            if again or not isinstance(error, NotStarted):
                follower.leave()
                self.detach()
                raise as_launcher_error(error) from error
            follower.gather()
            self.recorder.end()
            code = ExitCode.WORKER_LOST if error.again else LauncherExitCode.LAUNCHER_FAILED
            self._end(exit_code=code, reason=error.message)
            self._delete()
            if error.again:
                return self.record
            self.console.info(f"archive: {self.applied.run.folder}")
            raise NotStarted(error.message, of_deleted(error.hint or "", self.applied.run) or None) from error
        if follower.outcome is None:
            follower.leave()
            self._leave(delete_on_interrupt)
        else:
            follower.gather()
            self.recorder.end()
            self._finish(follower, follower.outcome)
        return self.record

    def detach(self) -> RunRecord:
        """Leave it alone, and say how to come back."""
        self.recorder.end()
        self._write(stopped_by=BY_DETACHING)
        record = self.record
        where = f" -n {record.namespace}" + (f" --context {record.context}" if record.context else "")
        self.console.info(f"detached: {record.kind} {record.name} keeps running in the cluster")
        self.console.info(f"follow:   mlops-launch logs -f {record.name}{where}")
        self.console.info(f"delete:   mlops-launch delete {record.name}{where}")
        return record

    def _finish(self, follower: TrainingFollower, found: Outcome) -> None:
        self.recorder.complete = not follower.unreadable
        if self.recorder.lacks_beginning:
            self._take(Gap(None, None))
        if self.record.gaps:
            self._complete(follower)
        kill = follower.memory_kill if may_hide_a_kill(found.code) else None
        reason = f"pod {kill.pod} was killed for memory at its limit of {kill.limit}" if kill else found.reason
        if self.stop.reason == BY_DETACHING:  # too late: there is nothing to leave any more
            self.stop.reason = None
        code = ExitCode.KILLED if kill else self.recorder.judged(found.code)
        self._end(exit_code=code, out_of_memory=kill is not None, stopped_by=self.stop.reason, reason=reason)

    def _complete(self, follower: TrainingFollower) -> None:
        """Fill the gaps from the copy on the output volume, where there is one."""
        pods = follower.main_pods
        if self.record.output is None or not pods:
            return
        volume = LogVolume(self.cluster, self.processes, self.applied.workload.main, self.record.output)
        if not volume.outlives_its_pod:
            return
        copy = f"{self.record.output}/{contract.LOG_COPY_FILE}"
        self.console.info(f"completing the archived log from {copy}")
        try:
            more = volume.complete(self.applied.run, pods, follower.workload)
        except LauncherError as error:
            self.console.warn(f"the archived log may not be whole: {error.message}")
            return
        self.recorder.record = self.record.at(gaps=())
        self.recorder.take_figures()
        self.console.info(f"the archived log is whole: {more} lines of it came from {copy}")

    def _leave(self, delete: bool) -> None:
        if not delete:
            self.detach()
            return
        self.recorder.end()
        self.console.info("saving, stopping and deleting; Ctrl-C again leaves at once")
        self._end(exit_code=ExitCode.INTERRUPTED, stopped_by="signal")
        self._delete()

    def _delete(self) -> None:
        removal = remove(self.cluster, self.record.name, str(self.record.namespace), self.applied.references)
        for line in removal.warnings:
            self.console.warn(line)
        for kind, name in removal.left:
            self.console.warn(f"still there: {kind} {name}")
        if not removal.left:
            self.console.info(f"deleted {self.record.kind} {self.record.name} and what came with it")

    def _take(self, piece: Piece | Place) -> None:
        match piece:
            case bytes():
                self.recorder.take(piece)
            case Gap():
                self._write(gaps=(*self.record.gaps, (piece.after, piece.before)))
                self.console.warn(gap_text(piece))
            case Place():
                self.recorder.place(Position(piece.read, piece.pod, self.recorder.size, piece.mark))

    def _end(self, exit_code: int, **changes: Any) -> None:
        self._write(ended=iso(self.cluster.host.now()), exit_code=exit_code, **self.recorder.cause(exit_code), **changes)
        self.applied.run.remove_position()

    def _write(self, **changes: Any) -> None:
        self.recorder.record = self.record.at(**changes)
        self.recorder.write(self.record)
