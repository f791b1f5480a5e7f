"""Watch the objects of one training in the background: each in its newest state, deleted ones remembered."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from mlops_launch.clients.cluster import Cluster, Json
from mlops_launch.clients.refusals import ApiError, Disconnected
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.workload import kinds
from mlops_launch.core.workload.model import Workload
from mlops_launch.errors import LauncherError, as_launcher_error

WATCH_S: Final = 300  # of one watch; the server ends it then, and another begins
SILENCE_S: Final = 90.0  # without a word, not even a bookmark: the connection is dead
LONGEST_PAUSE_S: Final = 3.0


class Watched:
    """One list of objects, kept up to date by a thread."""

    def __init__(self, cluster: Cluster, path: str, selector: Mapping[str, str], changed: threading.Condition) -> None:
        self.objects: dict[str, Json] = {}  # by uid
        self.deleted: dict[str, Json] = {}  # by uid, as they were last seen
        self.changes = 0  # of the two, so far
        self.failing_since: float | None = None  # of the monotonic clock
        self.failure: LauncherError | None = None
        self._cluster, self._path, self._selector = cluster, path, dict(selector)
        self._changed = changed
        self._version: str | None = None
        self._ended = cluster.host.event()

    def start(self) -> None:
        """List once, then watch in the background.

        Raises:
            LauncherError: the list is refused.
        """
        self._list()
        self._cluster.host.start_thread(f"watch {self._path}", self._run)

    def stop(self) -> None:
        """End the thread, soon."""
        self._ended.set()

    def _run(self) -> None:
        pause = 0.1
        while not self._ended.is_set():
            try:
                if self._version is None:
                    self._list()
                self._watch()
                pause = 0.1
            except Exception as error:  # not a word of the server, nor a defect of ours, may leave the run waiting for a dead thread
                if not isinstance(error, Disconnected):
                    self._version = None  # 410: too old; or the server has forgotten it
                with self._changed:
                    self.failure = as_launcher_error(error)
                    self.failing_since = self.failing_since or self._cluster.host.monotonic()
                self._ended.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)

    def refresh(self) -> None:
        """List now: a watch may be late.

        Raises:
            LauncherError: the list is refused.
        """
        self._list()

    def _list(self) -> None:
        answer = self._cluster.get(self._path, **self._selector)
        # The items of a list carry neither kind nor version.
        head = {"apiVersion": answer["apiVersion"], "kind": answer["kind"].removesuffix("List")}
        found = {facts.uid_of(item): {**item, **head} for item in answer["items"]}
        with self._changed:
            self.deleted.update({uid: self._gone(item) for uid, item in self.objects.items() if uid not in found})
            self.objects = found
            self.changes += 1
            self._version = answer["metadata"]["resourceVersion"]
            self._well()

    def _watch(self) -> None:
        query = {**self._selector, "watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_S)}
        stream = self._cluster.open(self._path, SILENCE_S, **query, resourceVersion=str(self._version))
        rest = b""
        try:
            with self._changed:
                self._well()
            while not self._ended.is_set() and (chunk := stream.read()):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))
        finally:
            stream.close()

    def _take(self, event: Mapping[str, Any]) -> None:
        item = event["object"]
        if event["type"] == "ERROR":
            raise ApiError(f"the watch ended: {item.get('message')}", None, int(item.get("code") or 500))
        with self._changed:
            self._version = _newest(self._version, item["metadata"]["resourceVersion"])
            if event["type"] == "DELETED":
                self.objects.pop(facts.uid_of(item), None)
                self.deleted[facts.uid_of(item)] = self._gone(item)
            elif event["type"] != "BOOKMARK":
                self._keep(item)
            self.changes += 1
            self._changed.notify_all()

    def _keep(self, item: Json) -> None:
        """Take an object's state, unless a list has brought a newer one while the event was under way."""
        uid, version = facts.uid_of(item), item["metadata"]["resourceVersion"]
        known = self.objects.get(uid) or self.deleted.get(uid)
        if known is None or _newest(known["metadata"]["resourceVersion"], version) == version and uid not in self.deleted:
            self.objects[uid] = item

    def _gone(self, item: Json) -> Json:
        """Return the last state of an object that is gone, marked as deleted: it may have been seen while it ran, and never again."""
        at = f"{self._cluster.host.now():%Y-%m-%dT%H:%M:%SZ}"
        return {**item, "metadata": {"deletionTimestamp": at, **item["metadata"]}}

    def _well(self) -> None:
        self.failing_since = self.failure = None
        self._changed.notify_all()


class Pods(NamedTuple):
    """The pods of one workload, deleted ones in their last state: all, those that train, the others."""

    all: list[Object]
    mains: list[Object]
    others: list[Object]


class Observer:
    """One workload with this uid, and its pods."""

    def __init__(self, cluster: Cluster, workload: Workload, namespace: str, uid: str) -> None:
        self.uid = uid
        self.changed = cluster.host.condition()
        self._host = cluster.host
        self._kind = kinds.lookup(workload.kind)
        path = cluster.path(self._kind.api_version, self._kind.name, None, namespace)
        self._workloads = self._pods = Watched(cluster, path, {"fieldSelector": f"metadata.name={workload.name}"}, self.changed)
        self._watched = [self._workloads]
        self._manifest = workload.manifest
        self._owned, self._changes = Pods([], [], []), 0
        if self._kind.pod_label is not None:  # else the workload is its own pod
            selector = {"labelSelector": f"{self._kind.pod_label}={workload.name}"}
            self._pods = Watched(cluster, cluster.path(*facts.POD, None, namespace), selector, self.changed)
            self._watched.append(self._pods)

    def start(self) -> None:
        """Begin to watch.

        Raises:
            LauncherError: a list is refused.
        """
        for watched in self._watched:
            watched.start()

    def stop(self) -> None:
        """End the threads, soon."""
        for watched in self._watched:
            watched.stop()

    @property
    def workload(self) -> Object | None:
        """The newest state; None when it is gone."""
        with self.changed:
            return self._workloads.objects.get(self.uid)

    @property
    def pods(self) -> list[Object]:
        """All its pods, deleted ones in their last state; the same list until something has changed."""
        return self._sorted().all

    @property
    def main_pods(self) -> list[Object]:
        """Those of `pods` whose log and exit code are the run's, oldest first."""
        return self._sorted().mains

    @property
    def other_pods(self) -> list[Object]:
        """Those of `pods` that are not main ones."""
        return self._sorted().others

    def _sorted(self) -> Pods:
        """Return the pods; asked with every piece of a log, so it is done again only after a change."""
        with self.changed:
            if self._changes != self._pods.changes:
                both = {**self._pods.deleted, **self._pods.objects}
                owned: list[Object] = [pod for pod in both.values() if self._kind.owns(self.uid, pod)]
                self._owned = Pods(owned, kinds.main_pods(self._manifest, owned), kinds.other_pods(self._manifest, owned))
                self._changes = self._pods.changes
            return self._owned

    @property
    def is_blind(self) -> bool:
        """Whether something may have happened that is not known: a watch has failed and no other has begun."""
        with self.changed:
            return any(watched.failing_since is not None for watched in self._watched)

    def refresh(self) -> None:
        """Look at everything now: the end of a workload may be known before the end of its pods.

        Raises:
            LauncherError: a list is refused.
        """
        for watched in self._watched:
            watched.refresh()

    def pod(self, uid: str) -> Object | None:
        """Return a pod that exists, or None."""
        with self.changed:
            return self._pods.objects.get(uid)

    def failure(self, patience: float) -> LauncherError | None:
        """Return why nothing has been heard for more than `patience` seconds, or None."""
        with self.changed:
            for watched in self._watched:
                if watched.failing_since is not None and self._host.monotonic() - watched.failing_since > patience:
                    return watched.failure
        return None


def _newest(known: str | None, other: str) -> str:
    """Return the newer of two resource versions; they are numbers (KEP-5504), and one that is not counts as the newest."""
    return other if known is None or not (known.isdigit() and other.isdigit()) or int(other) >= int(known) else known
