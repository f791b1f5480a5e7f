"""How a training ended, as its objects say it: for sure, and in a bounded time whoever is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mlops_launch.clients.host import Host
from mlops_launch.commands.cluster.follow.watch import Observer
from mlops_launch.commands.cluster.limits import PATIENCE_S
from mlops_launch.commands.runs.console import Console
from mlops_launch.contract import ExitCode
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.kube.outcome import Outcome
from mlops_launch.core.workload import kinds, state
from mlops_launch.core.workload.model import Workload
from mlops_launch.errors import LauncherError

WORD_S: Final = 30.0  # from the container's end to the operator's word on it
BLIND_S: Final = 300.0  # the same while the cluster does not answer: its word may be under way
ASK_S: Final = 2.0  # between two tries to list
POD_GONE: Final = "its pod is gone, and the cluster does not say how it ended"


class Ending:
    """Looks for the end of one workload; call `look` again and again."""

    def __init__(self, workload: Workload, observer: Observer, host: Host) -> None:
        self._workload, self._observer, self._host = workload, observer, host
        # What the newest state of the objects says: asked for with every piece of the log, and mostly there is no news.
        self._pods: Sequence[Object] = ()
        self._item: Object | None = None
        self._found: Outcome | None = None
        self._main: Object | None = None  # the newest pod that trains
        self._is_listed = False  # everything was, since the end was known
        self._since: float | None = None  # the pod that trains has ended or is gone ...
        self._pod: str | None = None  # ... with this uid
        self._ask_at = self._ask_until = 0.0  # the next try to list, the last one

    def look(self) -> Outcome | None:
        """Return how it ended, None while it has not."""
        self._take_news()
        main, item = self._main, self._item
        if self._found is not None:
            return self._found
        lives = main is not None and not facts.has_ended(main) and self._observer.pod(facts.uid_of(main)) is not None
        if main is None or lives or item is not None and kinds.kind_of(item).is_under_way(item, self._pods):
            self._since = None
            return None
        now, end, uid = self._host.monotonic(), facts.container_end(main), facts.uid_of(main)
        if self._since is None or uid != self._pod:
            self._since, self._pod, self._is_listed = now, uid, False
        # The operator may be away. What the container said is the training's end all the same.
        if end is not None:
            return Outcome(end.code) if now - self._since > (BLIND_S if self._observer.is_blind else WORD_S) else None
        return Outcome(ExitCode.WORKER_LOST, POD_GONE) if now - self._since > PATIENCE_S else None

    def _take_news(self) -> None:
        pods, item = self._observer.pods, self._observer.workload
        if pods is not self._pods or item is not self._item:
            self._pods, self._item = pods, item
            self._found = state.outcome(self._workload.manifest, item, pods)
            mains = kinds.main_pods(self._workload.manifest, pods)
            self._main = mains[-1] if mains else None

    def is_sure(self, console: Console) -> bool:
        """Return whether everything was listed since the end was known: a pod that a late watch has not shown has the log and the code."""
        now = self._host.monotonic()
        if self._is_listed or now < self._ask_at:
            return self._is_listed
        self._ask_at, self._ask_until = now + ASK_S, self._ask_until or now + PATIENCE_S
        try:
            self._observer.refresh()
        except LauncherError as error:
            if now < self._ask_until:
                return False
            console.warn(f"the pods cannot be listed: {error.message}")
        self._is_listed = True
        return False
