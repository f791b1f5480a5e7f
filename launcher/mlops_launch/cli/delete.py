"""`mlops-launch delete`."""

from __future__ import annotations

from pathlib import Path

import click

from mlops_launch.cli.shared import Duration, clients_of, cluster_options, console, note


@click.command("delete")
@click.argument("target", metavar="OVERLAY|NAME")
@cluster_options
@click.option(
    "--wait-seconds",
    type=Duration(zero=True),
    metavar="DURATION",
    help="How long to wait until everything is gone. [default: grace period + 60]",
)
@click.pass_context
def command(context: click.Context, target: str, kube_context: str | None, namespace: str | None, wait_seconds: float | None) -> None:
    """Delete a job and everything created for it, wait, and report what remains.

    A running job is given time to save. Older ConfigMaps of the overlay are deleted too. What another job still uses
    stays, and so do claims and data. OVERLAY is a folder, NAME a job. The exit code is 1 when something remains.

    \b
    Examples:
      mlops-launch delete quickstart/k8s/mlops/multi-node -n team-a
      mlops-launch delete resnet50v1-5
    """
    from mlops_launch.commands.cluster.delete import delete
    from mlops_launch.commands.cluster.find import Place
    from mlops_launch.commands.runs.archive import Archive

    removal = delete(target, Path(target), Place(kube_context, namespace), wait_seconds, clients_of(context), Archive(), console())
    for kind, name in removal.deleted:
        if (kind, name) not in removal.left:
            click.echo(f"deleted {kind} {name}")
    for kind, name in removal.kept:
        note(f"kept, another job uses it: {kind} {name}")
    for kind, name in removal.left:
        click.echo(f"still there: {kind} {name}")
    for line in removal.warnings:
        console().warn(line)
    if removal.left:
        note("\nhint: is its node alive? `kubectl describe` says what it waits for")
        context.exit(1)
