"""`mlops-launch delete`."""

from __future__ import annotations

from pathlib import Path

import click

from mlops_launch.cli.shared import cluster_options, note
from mlops_launch.clients.process import Processes


@click.command("delete")
@click.argument("target", metavar="OVERLAY|NAME")
@cluster_options
@click.option("--wait-seconds", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait that long. [default: grace period + 60]")
@click.pass_context
def command(context: click.Context, target: str, kube_context: str | None, namespace: str | None, wait_seconds: float | None) -> None:
    """Delete a training from a cluster, with all that came with it; wait, and look whether anything is left.

    A training that runs gets the time to save. Older ConfigMaps of the overlay go too; what another training still uses
    stays, and so do claims and data. OVERLAY is a folder, NAME a training. Exit code 1 when something is left.

    \b
    Examples:
      mlops-launch delete quickstart/k8s/mlops/multi-node -n team-a
      mlops-launch delete resnet50v1-5
    """
    from mlops_launch.commands.cluster.delete import delete

    removal = delete(target, Path(target), kube_context, namespace, wait_seconds, Processes(), note)
    for kind, name in removal.deleted:
        if (kind, name) not in removal.left:
            click.echo(f"deleted {kind} {name}")
    for kind, name in removal.kept:
        note(f"kept, another training uses it: {kind} {name}")
    for kind, name in removal.left:
        click.echo(f"left {kind} {name}")
    for line in removal.warnings:
        note(line)
    if removal.left:
        note("\nhint: is its node alive? `kubectl describe` says what it waits for")
        context.exit(1)
