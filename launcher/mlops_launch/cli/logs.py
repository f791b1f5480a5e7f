"""`mlops-launch logs`."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone

import click

from mlops_launch.cli.shared import clients_of, cluster_options, console
from mlops_launch.errors import UsageError


@click.command("logs")
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help="Keep printing until the run has ended.")
@click.option("--run", "run_time", metavar="TIME", help="The archived run that started at TIME, as `ls` shows it. [default: the newest]")
@click.option("--all", "everything", is_flag=True, help="Cluster: logs of all pods, each line prefixed with the pod's name.")
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
    """
    from mlops_launch.commands.cluster.find import Place, connect, left_run, where
    from mlops_launch.commands.runs.archive import Archive
    from mlops_launch.commands.runs.listing import follow_log
    from mlops_launch.commands.runs.streams import Streams, standard_output

    out = standard_output()
    clients = clients_of(context)
    archive, host = Archive(), clients.host
    asked = Place(kube_context, namespace)
    found = where(archive, host, name, run_time, asked, in_cluster=everything or since is not None)
    if isinstance(found, Place):
        from mlops_launch.commands.cluster.jobs import workload_of
        from mlops_launch.commands.cluster.logs import Asked, show_logs

        moment = _moment(since, host.now())
        cluster, name = connect(found, name, archive, clients), found.name or name
        workload, item = workload_of(cluster, name)
        if follow and not everything and since is None and tail is None:
            run = left_run(archive, host, item)
            if run is not None:
                from mlops_launch.commands.cluster.resume import follow_on  # all of `run`, which takes longer to load than a short log

                streams = Streams(out, sys.stderr, terminal=False)
                context.exit(follow_on(run, workload, cluster, clients.processes, host, streams))
        show_logs(cluster, workload, item, Asked(out, console(), follow, everything, moment, tail))
        return
    if everything or since is not None:
        option = "--all" if everything else "--since"
        which = f"{found.folder.parent.name} {found.time}"
        raise UsageError(f"only for a run on a cluster: {option}", f"{which} ran on this machine: `--tail N` prints its end")
    for chunk in follow_log(found, host, follow, tail):
        out.write(chunk)
        out.flush()


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
