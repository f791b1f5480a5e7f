"""`mlops-launch logs`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import click

from mlops_launch.cli.shared import clients_of, cluster_options, console
from mlops_launch.errors import UsageError

if TYPE_CHECKING:
    from mlops_launch.commands.runs.archive import ArchivedRun


@click.command("logs")
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help="Keep printing until the run has ended.")
@click.option("--run", "run_time", metavar="TIME", help="The archived run that started at TIME, as `ls` shows it. [default: the newest]")
@click.option("--all", "everything", is_flag=True, help="Cluster: logs of all pods, each line prefixed with the pod's name.")
@click.option("--role", metavar="ROLE", help="The logs of the pods of a role, such as worker; of several, each line with its pod's name.")
@click.option("--index", type=click.IntRange(min=0), metavar="N", help="With --role: the log of its pod number N.")
@click.option("--since", metavar="AGE|TIME", help="Cluster: lines of the last 90s, 5m, 2h, 1d, or since 2026-01-02T03:04:05Z.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="The last N lines; with -f, and what follows.")
@cluster_options
@click.pass_context
def command(
    context: click.Context,
    name: str | None,
    follow: bool,
    run_time: str | None,
    everything: bool,
    role: str | None,
    index: int | None,
    since: str | None,
    tail: int | None,
    kube_context: str | None,
    namespace: str | None,
) -> None:
    """Print the log of a run, the newest, or the newest of NAME; one that is running comes first.

    Reads the archive in .mlops/runs. Reads the cluster instead if the run was detached, if the archive does not know
    NAME, and with --context, --namespace, --all or --since. Following survives every broken connection: no line appears
    twice, and where the kubelet has rotated lines away meanwhile, stderr says between which times. Following a detached
    run also resumes its archive and completes it, unless --all, --since or --tail asks for a part of its log.

    \b
    Examples:
      mlops-launch logs -f --tail 20
      mlops-launch logs resnet50v1-5 --run 20260102T030405Z
      mlops-launch logs resnet50v1-5 -n team-a --all --since 10m
      mlops-launch logs resnet50v1-5 --role worker --index 1
    """
    from mlops_launch.commands.cluster.find import Place, connect, left_run, where
    from mlops_launch.commands.runs.archive import Archive
    from mlops_launch.commands.runs.listing import follow_log
    from mlops_launch.commands.runs.streams import Streams, standard_output

    if index is not None and role is None:
        raise UsageError("only with --role: --index", "for instance `--role worker --index 1`")
    out = standard_output()
    clients = clients_of(context)
    archive, host = Archive(), clients.host
    found = where(archive, host, name, run_time, Place(kube_context, namespace), in_cluster=everything or since is not None)
    if isinstance(found, Place):
        from mlops_launch.commands.cluster.jobs import workload_of
        from mlops_launch.commands.cluster.logs import Asked, show_logs

        moment = _moment(since, host.now())
        cluster, name = connect(found, name, archive, clients), found.name or name
        workload, item = workload_of(cluster, name)
        if follow and not everything and role is None and since is None and tail is None:
            run = left_run(archive, host, item)
            if run is not None:
                from mlops_launch.commands.cluster.resume import follow_on  # all of `run`, which takes longer to load than a short log

                streams = Streams(out, sys.stderr, terminal=False)
                context.exit(follow_on(run, workload, cluster, clients.processes, host, streams))
        show_logs(cluster, workload, item, Asked(out, console(), follow, everything, role, index, moment, tail))
        return
    _refuse(found, "--all" if everything else None if since is None else "--since")
    for chunk in follow_log(found, host, follow, tail) if role is None else _of_role(found, role, index, follow, tail):
        out.write(chunk)
        out.flush()


def _refuse(run: ArchivedRun, option: str | None) -> None:
    """Raise when an option is given that means nothing for a run of this machine.

    Raises:
        UsageError: it is given.
    """
    if option is not None:
        which = f"{run.folder.parent.name} {run.time}"
        raise UsageError(f"only for a run on a cluster: {option}", f"{which} ran on this machine: `--tail N` prints its end")


def _of_role(run: ArchivedRun, role: str, index: int | None, follow: bool, tail: int | None) -> Iterable[bytes]:
    """Return what the archive has of a role's pods.

    Raises:
        UsageError: it is to be followed.
        LauncherError: there is nothing of that role.
    """
    from mlops_launch.commands.runs.pods import pod_logs

    if follow:
        raise UsageError("only for a run on a cluster: --follow with --role", "leave one of them out")
    return pod_logs(run, role, index, tail)


def _moment(since: str | None, now: datetime) -> str | None:
    """Return an age or a time as RFC 3339.

    Raises:
        UsageError: it is neither.
    """
    from mlops_launch.core.kube.times import seconds_of

    if since is None:
        return None
    seconds = seconds_of(since)
    if seconds is not None:
        return f"{now - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"
    try:
        moment = datetime.fromisoformat(since.replace("Z", "+00:00"))
    except ValueError as error:
        raise UsageError(f"neither an age nor a time: {since}", "for instance `--since 10m` or `--since 2026-01-02T03:04:05Z`") from error
    return f"{moment.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
