"""Wait, for a bounded time, until a training's first container runs; say what it waits for."""

from __future__ import annotations

from contextlib import suppress

from mlops_launch.clients.cluster import Cluster, Json
from mlops_launch.commands.cluster.follow.watch import Observer
from mlops_launch.commands.cluster.jobs import nodes_of, related_events
from mlops_launch.commands.runs.console import Console
from mlops_launch.core.kube.causes import Cause
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.workload import state
from mlops_launch.core.workload.model import Workload
from mlops_launch.errors import LauncherError

ASK_S = 2.0  # between two looks at the events
SAY_AFTER_S = 5.0  # a cause that is gone by then is not worth a word


class NotStarted(LauncherError):
    """The training has not started in time, or cannot; `again`: another try may."""

    def __init__(self, message: str, hint: str | None, again: bool = False) -> None:
        super().__init__(message, hint)
        self.again = again


class Startup:
    """The wait for one training."""

    def __init__(self, cluster: Cluster, workload: Workload, namespace: str, observer: Observer, console: Console) -> None:
        self._cluster, self._workload, self._namespace, self._observer, self._console = cluster, workload, namespace, observer, console
        self._applied = self._began = self._asked = cluster.host.monotonic()  # `_began`: the time in a queue left out
        self._told: Cause | None = None
        self._looked_at: tuple[Object | None, list[Object]] = None, []  # and found to wait

    def look(self, limit: float) -> bool:
        """Return whether it has started, or has ended already; call it again and again.

        Args:
            limit: seconds that the wait may take; the time in a queue does not count.

        Raises:
            NotStarted: it cannot start, or the time is over; the message is the cause.
        """
        try:
            return self._look(limit)
        except NotStarted:
            # A late watch may show a worker's end before the start of what trains, which must not be deleted: look at what there is now.
            with suppress(LauncherError):
                self._observer.refresh()
            self._asked = float("-inf")
            return self._look(limit)

    def _look(self, limit: float) -> bool:
        workload, pods = self._observer.workload, self._observer.pods
        if workload is None or workload is not self._looked_at[0] or pods is not self._looked_at[1]:
            if workload is None or state.has_started(workload, pods):
                return True
            hopeless = state.hopeless(workload, pods)
            if hopeless is not None:
                raise NotStarted(hopeless.text, hopeless.hint, hopeless.again)
            if state.finished(workload):
                return True
            self._looked_at = workload, pods
        now = self._cluster.host.monotonic()
        if state.is_suspended(workload):
            self._began = now
        if now - self._asked < ASK_S and now - self._began < limit:
            return False
        self._asked = now
        waited = now - self._began
        found = state.causes(workload, pods, self._events(workload, pods), waited, nodes_of(self._cluster, pods, waited))
        if found:
            self._judge(found[0], len(found), now)
        if now - self._began > limit:
            cause = found[0] if found else Cause(f"{self._workload.kind} {self._workload.name} has not started", "`kubectl describe` it")
            raise NotStarted(f"not started within {limit:.0f} s: {cause.text}", cause.hint)
        return False

    def _judge(self, cause: Cause, count: int, now: float) -> None:
        if cause.final:
            raise NotStarted(cause.text, cause.hint, cause.again)
        if cause != self._told and now - self._applied > SAY_AFTER_S:
            self._told = cause
            more = f" ({count - 1} more)" if count > 1 else ""
            self._console.info(f"waiting: {cause.text}{more}")

    def _events(self, workload: Object, pods: list[Object]) -> list[Json]:
        try:
            return related_events(self._cluster, self._namespace, workload, pods)
        except LauncherError:
            return []  # they explain; the wait does not depend on them
