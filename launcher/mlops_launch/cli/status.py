"""`mlops-launch status`."""

from __future__ import annotations

import click

from mlops_launch.cli.shared import clients_of, cluster_options, echo_json, json_option

WATCH_S = 1.0
NOT_ENDED = ("running", "waiting", "suspended", "deleting")


@click.command("status")
@click.argument("name", required=False)
@click.option("--run", "run_time", metavar="TIME", help="The archived run that started at TIME. [default: the newest]")
@click.option("--watch", is_flag=True, help="Show it again every second until the run has ended.")
@cluster_options
@json_option
@click.pass_context
def command(
    context: click.Context,
    name: str | None,
    run_time: str | None,
    watch: bool,
    kube_context: str | None,
    namespace: str | None,
    as_json: bool,
) -> None:
    """Show the state of a run, the newest, or the newest of NAME; one that is running comes first.

    Reads the archive in .mlops/runs. Reads the cluster instead if the run was detached, if the archive does not know
    NAME, and with --context or --namespace. For a job that waits, it names the cause.

    \b
    Examples:
      mlops-launch status
      mlops-launch status resnet50v1-5 --watch
      mlops-launch status resnet50v1-5 -n team-a --json
    """
    from mlops_launch.commands.cluster.find import Place, connect, where
    from mlops_launch.commands.runs.archive import Archive
    from mlops_launch.commands.runs.listing import look

    clients = clients_of(context)
    host = clients.host
    archive = Archive()
    found = where(archive, host, name, run_time, Place(kube_context, namespace))
    cluster = connect(found, name, archive, clients) if isinstance(found, Place) else None
    while True:
        if isinstance(found, Place):
            from mlops_launch.commands.cluster.limits import PATIENCE_S
            from mlops_launch.commands.cluster.view import status_of

            assert cluster is not None
            training = status_of(cluster, found.name or name)
            cluster = cluster.patient(PATIENCE_S)  # it has answered once
            state, text, fields = training.state, training.to_text(), training.to_json()
        else:
            status = look(found, host)
            state, text, fields = status.state, status.to_text(), status.to_json()
        if as_json:
            echo_json(fields)
        else:
            if watch:
                click.clear()  # only on a terminal
            click.echo(text)
        if not watch or state not in NOT_ENDED:
            return
        host.sleep(WATCH_S)
