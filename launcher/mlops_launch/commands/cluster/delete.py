"""Delete what an overlay has made, or the training of a name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlops_launch.clients.cluster import Cluster
from mlops_launch.clients.host import Host
from mlops_launch.clients.process import Processes
from mlops_launch.commands.cluster.find import Place, last_place
from mlops_launch.commands.cluster.remove import Removal, remove
from mlops_launch.commands.cluster.submit import submission
from mlops_launch.commands.overlay.render import parse_objects, render_text
from mlops_launch.commands.runs.archive import Archive
from mlops_launch.core.kube import ownership as belongings
from mlops_launch.core.workload.model import find_workload
from mlops_launch.core.workload.plan import Plan
from mlops_launch.errors import LauncherError


def delete(
    target: str,
    folder: Path,
    context: str | None,
    namespace: str | None,
    wait_s: float | None,
    processes: Processes,
    say: Callable[[str], None],
) -> Removal:
    """Delete a training and what came with it.

    Args:
        target: an overlay's folder, or a training's name.
        folder: the same as a path.
        context: of the kubeconfig; None is the current one, or that of the training's newest archived run.
        namespace: None is the overlay's, that of the newest archived run, or the context's.
        wait_s: seconds to wait; None is the pods' grace period and a minute.
        processes: renders the overlay.
        say: gets talk.

    Raises:
        LauncherError: there is no such training, or the cluster refuses.
    """
    asked = Place(context, namespace)
    if folder.is_dir():
        text = render_text(folder, processes)
        workload = find_workload(parse_objects(text))
        cluster = Cluster.connect(context, namespace)
        planned = submission(Plan(target, text, workload, (), ()), cluster, namespace)
        name, place, references = workload.name, planned.namespace, [belongings.reference(item) for item in planned.objects]
    else:
        found = last_place(Archive(), Host(), target, asked) if asked == Place() else asked
        cluster = found.connect()
        name, place, references = target, cluster.namespace, []
    say(f"deleting {name} from namespace {place}" + (f" of context {cluster.context}" if cluster.context else ""))
    removal = remove(cluster, name, place, references, wait_s)
    if not removal.deleted and folder.is_dir():
        say("nothing was there")
    elif not removal.deleted:
        raise LauncherError(f"no training of that name in namespace {place}: {name}", "`mlops-launch ls --cluster -A` lists all")
    return removal
