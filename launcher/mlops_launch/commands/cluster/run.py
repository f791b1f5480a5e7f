"""The engine on a cluster: one try is applied, waited for, followed to its end and archived."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlops_launch import contract
from mlops_launch.clients.clients import Clients
from mlops_launch.clients.cluster import Cluster
from mlops_launch.clients.refusals import ApiError
from mlops_launch.commands.cluster.follow.attempt import Applied, Attempt
from mlops_launch.commands.cluster.limits import PATIENCE_S, START_S
from mlops_launch.commands.cluster.remove import remove
from mlops_launch.commands.cluster.submit import Submission, apply, make_room, require_place, submission
from mlops_launch.commands.overlay.planning import checked_plan, redacted
from mlops_launch.commands.runs.archive import Archive
from mlops_launch.commands.runs.beginning import removed_on_error
from mlops_launch.commands.runs.console import Console
from mlops_launch.commands.runs.display import Display
from mlops_launch.commands.runs.loop import Ended, Stop
from mlops_launch.contract import LauncherExitCode
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube import ownership
from mlops_launch.core.kube.ownership import Reference
from mlops_launch.core.kube.times import iso
from mlops_launch.core.record import BY_DETACHING, CLUSTER, RunRecord
from mlops_launch.core.workload.plan import Plan
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
    """

    context: str | None = None
    namespace: str | None = None
    detach: bool = False
    replace: bool = False
    delete_on_interrupt: bool = False
    start_timeout: float = START_S


class ClusterEngine:
    """Runs one overlay on a cluster."""

    def __init__(self, overlay: Path, options: ClusterOptions, clients: Clients, archive: Archive) -> None:
        self.overlay, self.options, self.clients, self.archive = overlay, options, clients, archive
        self.processes, self.host = clients.processes, clients.host
        self._planned: tuple[Submission, Cluster] | None = None

    def plan(self) -> Plan:
        """Return what a run would do; the cluster is asked nothing."""
        checked = checked_plan(self.overlay, self.processes)
        cluster = self.clients.connect(self.options.context, self.options.namespace)
        planned = submission(checked, cluster, self.options.namespace)
        self._planned = planned, cluster
        preset = planned.workload.environment(planned.workload.main).get(contract.PRESET)
        return replace(checked, text=redacted(checked), actions=planned.actions(cluster), preset=preset)

    def attempt(self, plan: Plan, number: int, stop: Stop, display: Display) -> Ended:
        """Apply, wait for the start, and follow it to its end."""
        assert self._planned is not None, "plan() comes first"
        planned, cluster = self._planned
        if number == 1:
            require_place(cluster, planned)
        make_room(cluster, planned, self.options.replace or number > 1, display.console)
        cluster = cluster.patient(PATIENCE_S)
        applied = self._apply(plan, planned, cluster, number, display.console)
        attempt = Attempt(cluster, self.processes, applied, display, stop)
        if self.options.detach:
            return Ended(applied.run, attempt.detach())
        return Ended(applied.run, attempt.follow(self.options.start_timeout, self.options.delete_on_interrupt))

    def interrupt(self, stop: Stop, number: int) -> None:
        """Leave it; a second signal ends the program."""
        detach(stop, number)

    def _apply(self, plan: Plan, planned: Submission, cluster: Cluster, number: int, console: Console) -> Applied:
        """Apply, and put the run into the archive."""
        workload, started = planned.workload, self.host.now()
        archived = self.archive.create(workload.name, started)
        pid, pid_started = self.host.own_process()
        record = RunRecord(
            name=workload.name, kind=workload.kind, overlay=str(self.overlay.resolve()), started=iso(started), try_number=number,
            output=workload.environment(workload.main).get(contract.OUTPUT_DIR), host=self.host.name(), pid=pid, pid_started=pid_started,
            engine=CLUSTER, namespace=planned.namespace, context=cluster.context,
        )  # fmt: skip
        references = [ownership.reference(item) for item in planned.objects]
        with removed_on_error(archived):
            archived.write_plan(plan.to_text())
        try:
            applied = apply(cluster, planned)
        except BaseException as error:
            shutil.rmtree(archived.folder)
            if isinstance(error, ApiError):
                take_back(cluster, planned, references, console)
            raise
        archived.write(record.at(uid=facts.uid_of(applied)))
        console.info(f"applied {workload.kind} {workload.name} in namespace {planned.namespace}")
        return Applied(workload, references, archived, plan.trains)


def take_back(cluster: Cluster, planned: Submission, references: Sequence[Reference], console: Console) -> None:
    """Delete what was applied before an object was refused."""
    try:
        left = remove(cluster, planned.workload.name, planned.namespace, references).left
    except LauncherError as error:
        console.warn(f"what was applied is still there: {error.message}")
    else:
        for kind, name in left:
            console.warn(f"still there: {kind} {name}")


def detach(stop: Stop, number: int) -> None:
    """Take a signal as the wish to leave.

    Raises:
        SystemExit: it is the second one.
    """
    if stop.reason == BY_DETACHING:
        raise SystemExit(LauncherExitCode.DETACHED)
    stop.reason = BY_DETACHING
