"""Show the jobs in a cluster: for `status` and `ls`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from mlops_launch.clients.cluster import Cluster, Json
from mlops_launch.clients.refusals import ApiError
from mlops_launch.commands.cluster.jobs import OURS_ONLY, listing, nodes_of, pods_of, related_events, workload_of, workloads
from mlops_launch.contract import ExitCode
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube import outcome
from mlops_launch.core.kube.causes import Cause
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.kube.times import moment, short
from mlops_launch.core.record import exit_hint, exit_name
from mlops_launch.core.workload import kinds, state

COLUMNS: Final = ("NAMESPACE", "NAME", "KIND", "STATE", "EXIT", "AGE")


@dataclass(frozen=True)
class Job:
    """A workload as it is now.

    Args:
        item: the object.
        pods: its pods; empty when they were not asked for.
        causes: why it waits, as texts; empty when it runs.
        context: the kubeconfig's.
        seen: when it was asked for, UTC.
    """

    item: Object
    pods: Sequence[Object]
    causes: tuple[Cause, ...]
    context: str | None
    seen: datetime

    @property
    def state(self) -> str:
        """`succeeded`, `failed`, `deleting`, `suspended`, `running` or `waiting`."""
        return state.word_for(self.item)

    @property
    def exit_code(self) -> int | None:
        """The run's exit code; None while it runs."""
        word = state.finished(self.item)
        if word == facts.SUCCEEDED:
            return int(ExitCode.SUCCESS)
        found = state.outcome(self.item, self.item, self.pods) if word and self.pods else None
        return None if found is None else int(found.code)

    @property
    def workers(self) -> dict[str, int]:
        """How many pods beside the main one are wanted, created, ready and ended; empty for a kind without such pods."""
        wanted = sum(1 if role.replicas is None else int(role.replicas) for role in kinds.kind_of(self.item).roles(self.item)) - 1
        if not wanted:
            return {}
        created = kinds.other_pods(self.item, self.pods)
        ended = sum(facts.has_ended(pod) for pod in created)
        return {"wanted": wanted, "made": len(created), "ready": sum(facts.is_ready(pod) for pod in created), "ended": ended}

    def to_json(self) -> dict[str, Any]:
        """Return what is known, for `--json`."""
        code = self.exit_code
        return {
            "name": facts.name_of(self.item), "kind": self.item["kind"], "namespace": self.item["metadata"]["namespace"],
            "context": self.context, "uid": facts.uid_of(self.item), "state": self.state, "exit_code": code,
            "exit_name": None if code is None else exit_name(code, self._memory() is not None),
            "created": facts.created_at(self.item), "ended": state.ended_at(self.item), "workers": self.workers,
            "waiting_for": [cause.text for cause in self.causes],
        }  # fmt: skip

    def row(self) -> tuple[str, ...]:
        """Return the cells under `COLUMNS`."""
        code = self.exit_code
        return (
            str(self.item["metadata"]["namespace"]), facts.name_of(self.item), str(self.item["kind"]), self.state,
            "-" if code is None else str(code), self._age(),
        )  # fmt: skip

    def to_text(self) -> str:
        """Return the status for people, a `key: value` line each."""
        code, workers, kill = self.exit_code, self.workers, self._memory()
        place = str(self.item["metadata"]["namespace"]) + (f" of context {self.context}" if self.context else "")
        count = f"{workers['ready']} of {workers['wanted']} ready" if workers else None
        ended = f", {workers['ended']} ended" if workers and workers["ended"] else ""
        lines: list[tuple[str, str | None]] = [
            ("job", f"{self.item['kind']} {facts.name_of(self.item)}"),
            ("namespace", place),
            ("state", self.state),
            ("age", self._age()),
            ("ended", state.ended_at(self.item)),
            ("exit code", None if code is None else f"{code} ({exit_name(code, kill is not None)})"),
            ("memory", None if kill is None else f"pod {kill.pod} was killed at its limit of {kill.limit}"),
            ("workers", None if count is None or self.state in ("succeeded", "failed") else count + ended),
            *(("waiting", cause.text) for cause in self.causes[:3]),
            ("hint", self.causes[0].hint if self.causes else None if code is None else exit_hint(code, kill is not None)),
        ]
        return "\n".join(f"{key + ':':<11}{value}" for key, value in lines if value is not None)

    def _age(self) -> str:
        return short((self.seen - moment(facts.created_at(self.item))).total_seconds())

    def _memory(self) -> outcome.MemoryKill | None:
        return outcome.memory_kill(self.pods, kinds.main_pods(self.item, self.pods), [])


def status_of(cluster: Cluster, name: str | None) -> Job:
    """Return a job with its pods and, while it waits, the causes.

    Raises:
        LauncherError: there is none of that name.
    """
    _, item = workload_of(cluster, name)
    pods = pods_of(cluster, item, cluster.namespace)
    now = cluster.host.now()
    job = Job(item, pods, (), cluster.context, now)
    if job.state not in ("waiting", "suspended"):
        return job
    try:
        events = related_events(cluster, cluster.namespace, item, pods)
    except ApiError:
        events = []  # not allowed: the pods say something too
    waited = (now - moment(facts.created_at(item))).total_seconds()
    return Job(item, pods, tuple(state.causes(item, pods, events, waited, nodes_of(cluster, pods, waited))), cluster.context, now)


def all_jobs(cluster: Cluster, namespace: str | None) -> list[Job]:
    """Return all jobs of ours, oldest first, with their main pods only.

    Args:
        cluster: where.
        namespace: None is all.

    Raises:
        LauncherError: they cannot be listed.
    """
    found = []
    mains: dict[str, list[Json]] = {}
    for item in sorted(workloads(cluster, namespace), key=facts.created_at):
        kind = kinds.kind_of(item)
        if kind.main_selector is not None and kind.name not in mains:
            selector = f"{OURS_ONLY},{kind.main_selector}"
            mains[kind.name] = cluster.list(listing(cluster, *facts.POD, namespace), labelSelector=selector)
        pods = [pod for pod in mains.get(kind.name, []) if _belongs(pod, item)]
        found.append(Job(item, [item] if kind.pod_label is None else pods, (), cluster.context, cluster.host.now()))
    return found


def _belongs(pod: Object, item: Object) -> bool:
    label = kinds.kind_of(item).pod_label or ""
    same = (pod["metadata"]["namespace"], facts.labels(pod).get(label)) == (item["metadata"]["namespace"], facts.name_of(item))
    return same and facts.created_at(pod) >= facts.created_at(item)
