"""Delete what an overlay has created, or the job of a name."""

from __future__ import annotations

from pathlib import Path

from mlops_launch.clients.clients import Clients
from mlops_launch.commands.cluster.find import Place, last_place
from mlops_launch.commands.cluster.remove import Removal, remove
from mlops_launch.commands.cluster.submit import submission
from mlops_launch.commands.overlay.render import parse_objects, render_text
from mlops_launch.commands.runs.archive import Archive
from mlops_launch.commands.runs.console import Console
from mlops_launch.core.kube import ownership
from mlops_launch.core.workload.kinds import find_workload
from mlops_launch.core.workload.plan import Plan
from mlops_launch.errors import LauncherError


def delete(target: str, folder: Path, asked: Place, wait_s: float | None, clients: Clients, archive: Archive, console: Console) -> Removal:
    """Delete a job and what came with it.

    Args:
        target: an overlay's folder, or a job's name.
        folder: the same as a path.
        asked: the kubeconfig's context (None is the current one) and the namespace (None is the overlay's, else the context's);
            when nothing is asked for a name, both are those of its newest archived run.
        wait_s: seconds to wait; None is the pods' grace period and a minute.
        clients: the cluster, and what renders the overlay.
        archive: of the working directory.
        console: gets talk.

    Raises:
        LauncherError: there is no such job, or the cluster refuses.
    """
    if folder.is_dir():
        text = render_text(folder, clients.processes)
        objects = parse_objects(text)
        workload = find_workload(objects)
        cluster = clients.connect(asked.context, asked.namespace)
        planned = submission(Plan(target, text, objects, workload, (), ()), cluster, asked.namespace)
        name, place, references = workload.name, planned.namespace, [ownership.reference(item) for item in planned.objects]
    else:
        found = last_place(archive, clients.host, target, asked) if asked == Place() else asked
        cluster = clients.connect(found.context, found.namespace)
        name, place, references = target, cluster.namespace, []
    console.info(f"deleting {name} from namespace {place}" + (f" of context {cluster.context}" if cluster.context else ""))
    removal = remove(cluster, name, place, references, wait_s)
    if not removal.deleted and folder.is_dir():
        console.info("nothing to delete")
    elif not removal.deleted:
        raise LauncherError(f"no job of that name in namespace {place}: {name}", "`mlops-launch ls --cluster -A` lists all")
    return removal
