"""Train on a cluster: check, apply, wait for the start, follow, archive; again when another try may help."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mlops_launch import contract
from mlops_launch.clients.clients import Clients
from mlops_launch.clients.cluster import Cluster
from mlops_launch.clients.refusals import ApiError
from mlops_launch.commands.cluster.follow.attempt import Attempt, ClusterOptions
from mlops_launch.commands.cluster.limits import PATIENCE_S
from mlops_launch.commands.cluster.remove import remove
from mlops_launch.commands.cluster.submit import Say, Submission, apply, make_room, require_place, submission
from mlops_launch.commands.local.process import Stop
from mlops_launch.commands.overlay.planning import checked_plan, redacted
from mlops_launch.commands.runs.archive import Archive
from mlops_launch.commands.runs.display import Display
from mlops_launch.commands.runs.recorder import may_retry
from mlops_launch.commands.runs.streams import Streams
from mlops_launch.contract import ExitCode, LauncherExitCode
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube import ownership as belongings
from mlops_launch.core.kube.outcome import DELETED
from mlops_launch.core.kube.ownership import Reference
from mlops_launch.core.kube.times import iso
from mlops_launch.core.record import BY_DETACHING, BY_TIMEOUT, CLUSTER, RunRecord
from mlops_launch.core.workload.plan import Plan
from mlops_launch.errors import LauncherError


class ClusterRun:
    """One `run` of one overlay on a cluster."""

    def __init__(self, overlay: Path, options: ClusterOptions, clients: Clients, archive: Archive) -> None:
        self.overlay, self.options, self.clients, self.archive = overlay, options, clients, archive
        self.processes, self.host = clients.processes, clients.host

    def plan(self) -> tuple[Plan, Submission, Cluster]:
        """Return what would be done; the cluster is asked nothing.

        Raises:
            LauncherError: `check` has found an error, or no cluster is known.
        """
        checked = checked_plan(self.overlay, self.processes)
        cluster = self.clients.connect(self.options.context, self.options.namespace)
        planned = submission(checked, cluster, self.options.namespace)
        return (
            Plan(checked.overlay, redacted(checked.text), checked.workload, checked.findings, planned.actions(cluster)), planned, cluster,
        )  # fmt: skip

    def dry_run(self) -> str:
        """Return the plan as text; nothing is applied."""
        return self.plan()[0].to_text()

    def run(self, streams: Streams) -> int:
        """Train, and return the exit code of `mlops-launch run`.

        Raises:
            LauncherError: the training could not be started, or could not be followed.
        """
        plan, planned, cluster = self.plan()
        display = Display(streams, planned.workload.environment(planned.workload.main).get(contract.PRESET))
        for finding in plan.findings:
            display.say(finding.to_text())
        require_place(cluster, planned)
        stop = Stop(deadline=self.host.monotonic() + self.options.timeout if self.options.timeout else float("inf"))
        with detaching(stop):
            record = self._tries(plan, planned, cluster, display, stop)
        display.end_with_result()
        if stop.reason == BY_DETACHING:
            return LauncherExitCode.DETACHED
        if record.exit_code is None:  # --detach
            return 0
        timed_out = stop.reason == BY_TIMEOUT and record.exit_code != ExitCode.SUCCESS
        return LauncherExitCode.TIMEOUT if timed_out else record.exit_code

    def _tries(self, plan: Plan, planned: Submission, cluster: Cluster, display: Display, stop: Stop) -> RunRecord:
        """Try until it has succeeded, until another try cannot help, or until the user leaves; return the last record."""
        number = 1
        while True:
            make_room(cluster, planned, self.options.replace or number > 1, display.say)
            cluster = cluster.patient(PATIENCE_S)
            attempt = self._attempt(plan, planned, cluster, display, stop, number)
            if self.options.detach:
                return attempt.detach()
            record = attempt.follow(self.options.start_timeout, self.options.delete_on_interrupt)
            if number > self.options.retries or stop.reason is not None or not may_retry(record) or record.reason == DELETED:
                return record
            number += 1
            display.say(f"trying again: {number}")

    def _attempt(self, plan: Plan, planned: Submission, cluster: Cluster, display: Display, stop: Stop, number: int) -> Attempt:
        """Apply, and put the run into the archive."""
        workload, started = planned.workload, self.host.now()
        archived = self.archive.create(workload.name, started)
        pid, pid_started = self.host.own_process()
        record = RunRecord(
            name=workload.name, kind=workload.kind, overlay=str(self.overlay.resolve()), started=iso(started), try_number=number,
            output=workload.environment(workload.main).get(contract.OUTPUT_DIR), host=self.host.name(), pid=pid, pid_started=pid_started,
            engine=CLUSTER, namespace=planned.namespace, context=cluster.context,
        )  # fmt: skip
        references = [belongings.reference(item) for item in planned.objects]
        try:
            archived.write_plan(plan.to_text())
            applied = apply(cluster, planned)
        except BaseException as error:
            shutil.rmtree(archived.folder)
            if isinstance(error, ApiError):
                take_back(cluster, planned, references, display.say)
            raise
        archived.write(record.at(uid=facts.uid_of(applied)))
        display.say(f"applied {workload.kind} {workload.name} in namespace {planned.namespace}")
        return Attempt(cluster, self.processes, self.host, workload, references, archived, display, stop)


def take_back(cluster: Cluster, planned: Submission, references: Sequence[Reference], say: Say) -> None:
    """Delete what was applied before an object was refused."""
    try:
        left = remove(cluster, planned.workload.name, planned.namespace, references).left
    except LauncherError as error:
        say(f"Warning: what was applied is still there: {error.message}")
    else:
        for kind, name in left:
            say(f"Warning: still there: {kind} {name}")


@contextmanager
def detaching(stop: Stop) -> Iterator[None]:
    """Take the first SIGINT, SIGTERM or SIGHUP as the wish to leave; a second one ends the program."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.reason == BY_DETACHING:
            raise SystemExit(LauncherExitCode.DETACHED)
        stop.reason = BY_DETACHING

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
