"""`mlops-launch ls`."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import click

from mlops_launch.cli.shared import clients_of, cluster_options, console, echo_json, json_option, note

if TYPE_CHECKING:
    from mlops_launch.clients.cluster import Cluster


@click.command("ls")
@click.option("--cluster", "in_cluster", is_flag=True, help="The jobs in a cluster instead of the archive.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Cluster: of every namespace.")
@click.option("--long", "in_full", is_flag=True, help="Every column, also where a terminal is too narrow for them.")
@cluster_options
@json_option
@click.pass_context
def command(
    context: click.Context,
    in_cluster: bool,
    all_namespaces: bool,
    in_full: bool,
    kube_context: str | None,
    namespace: str | None,
    as_json: bool,
) -> None:
    """List the runs of the nearest .mlops folder, oldest first; with --cluster, the jobs in a cluster.

    A state is running, succeeded, failed, interrupted (stopped; it saved and can resume), stopped (nothing was
    saved), detached (it kept running in the cluster), or lost (killed, no result).
    --context, --namespace and --all-namespaces imply --cluster.

    \b
    Examples:
      mlops-launch ls
      mlops-launch ls -n team-a
    """
    if in_cluster or all_namespaces or kube_context or namespace:
        _cluster(clients_of(context).connect(kube_context, namespace), all_namespaces, as_json)
        return
    from mlops_launch.commands.runs.archive import Archive
    from mlops_launch.commands.runs.listing import list_runs, table

    archive = Archive()
    runs = list_runs(archive, clients_of(context).host, console().warn)
    if as_json:
        echo_json({"runs": [run.to_json() for run in runs]})
    elif runs:
        click.echo(table(runs, None if in_full or not sys.stdout.isatty() else shutil.get_terminal_size().columns))
    else:
        note(f"no runs in {archive.root / 'runs'}")


def _cluster(cluster: Cluster, all_namespaces: bool, as_json: bool) -> None:
    from mlops_launch.commands.cluster.view import COLUMNS, all_jobs
    from mlops_launch.commands.runs.listing import aligned

    found = all_jobs(cluster, None if all_namespaces else cluster.namespace)
    if as_json:
        echo_json({"trainings": [job.to_json() for job in found]})
    elif found:
        click.echo(aligned([COLUMNS, *(job.row() for job in found)]))
    else:
        note("no jobs in the cluster" if all_namespaces else f"no jobs in namespace {cluster.namespace}")
