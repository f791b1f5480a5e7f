"""Where a name leads: to a run in the archive, or to a workload in a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mlops_launch.clients.clients import Clients
from mlops_launch.clients.cluster import Cluster
from mlops_launch.clients.host import Host
from mlops_launch.commands.runs.archive import Archive, ArchivedRun
from mlops_launch.commands.runs.listing import look
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.record import CLUSTER
from mlops_launch.errors import LauncherError, NoCluster

NOT_FOLLOWED: Final = ("detached", "lost")


@dataclass(frozen=True)
class Place:
    """A cluster, a namespace in it and a job; None stands for the kubeconfig's own, and for the newest."""

    context: str | None = None
    namespace: str | None = None
    name: str | None = None


def where(archive: Archive, host: Host, name: str | None, time: str | None, asked: Place, in_cluster: bool = False) -> ArchivedRun | Place:
    """Return the archived run that is meant, or the place in a cluster where to look.

    A cluster that is named is asked. Else it is the newest archived run that is running, or the newest, of that name: a local one, one
    that has ended, or one that `mlops-launch run` is following in another terminal. One that nobody follows is looked up
    in its cluster, and so is a name that the archive does not know.

    Args:
        archive: of the working directory.
        host: this machine.
        name: of a job; None is the newest.
        time: of an archived run; None is the newest.
        asked: what the user says of the place.
        in_cluster: what is asked for is not in the archive.

    Raises:
        LauncherError: no name, and no run in the archive.
    """
    if asked != Place() or name is not None and time is None and not archive.runs(name):
        return asked
    run = archive.find(name, time)
    if time is None:
        run = next((other for other in reversed(archive.runs(name)) if _is_running(other, host)), run)
    status = look(run, host)
    record = status.record
    alone = record.engine == CLUSTER and (in_cluster or status.state in NOT_FOLLOWED)
    return Place(record.context, record.namespace, record.name) if alone else run


def connect(found: Place, name: str | None, archive: Archive, clients: Clients) -> Cluster:
    """Return the cluster that was found to be asked.

    Raises:
        LauncherError: there is none; for a name that the archive does not know either, it says so.
    """
    try:
        return clients.connect(found.context, found.namespace)
    except NoCluster as error:
        if name is None or found != Place():  # a cluster was named, by the user or by the record
            raise
        known = ", ".join(dict.fromkeys(run.folder.parent.name for run in archive.runs()))
        hint = f"in {archive.root / 'runs'}: {known or 'no runs yet'}; to ask a cluster, set KUBECONFIG or write ~/.kube/config"
        raise LauncherError(f"no run of that name here, and no cluster to ask: {name}", hint) from error


def _is_running(run: ArchivedRun, host: Host) -> bool:
    """Return whether a run is running here for sure; one of another host cannot be seen."""
    try:
        status = look(run, host)
    except LauncherError:  # a damaged record
        return False
    return status.state == "running" and status.record.host == host.name()


def last_place(archive: Archive, host: Host, name: str, asked: Place) -> Place:
    """Return where the newest archived run of that name on a cluster was, else what was asked."""
    records = [look(run, host).record for run in archive.runs(name)]
    found = next((record for record in reversed(records) if record.engine == CLUSTER), None)
    return asked if found is None else Place(found.context, found.namespace, name)


def left_run(archive: Archive, host: Host, found: Object) -> ArchivedRun | None:
    """Return the archived run of an object in the cluster that has no end and that nobody follows, or None."""
    for run in reversed(archive.runs(facts.name_of(found))):
        status = look(run, host)
        if status.record.uid == facts.uid_of(found):
            return run if status.state in NOT_FOLLOWED else None
    return None
