"""`mlops-launch gc`."""

from __future__ import annotations

from datetime import timedelta

import click

from mlops_launch.cli.shared import Duration, clients_of, cluster_options, console, note


@click.command("gc")
@click.option(
    "--older-than",
    type=Duration(zero=True),
    metavar="DURATION",
    default="2d",
    show_default=True,
    help="Only jobs that ended at least this long ago: 90s, 30m, 12h, 2d.",
)
@click.option("-A", "--all-namespaces", is_flag=True, help="In every namespace.")
@click.option("--dry-run", is_flag=True, help="Show what would be deleted.")
@cluster_options
@click.pass_context
def command(
    context: click.Context, older_than: float, all_namespaces: bool, dry_run: bool, kube_context: str | None, namespace: str | None
) -> None:
    """Delete finished jobs completely: the workload and everything created for it.

    The operator's own time limit deletes the launcher's Job only. Claims and data stay, and so does .mlops/runs.

    \b
    Examples:
      mlops-launch gc --older-than 2d --dry-run
      mlops-launch gc --older-than 12h --all-namespaces
    """
    from mlops_launch.commands.cluster.jobs import old_jobs
    from mlops_launch.commands.cluster.remove import remove
    from mlops_launch.core.kube import objects as facts
    from mlops_launch.core.kube import ownership

    cluster = clients_of(context).connect(kube_context, namespace)
    found = old_jobs(cluster, None if all_namespaces else cluster.namespace, timedelta(seconds=older_than), cluster.host.now())
    left = 0
    warnings: dict[str, None] = {}  # each once
    for item in found:
        name, place = facts.name_of(item), str(item["metadata"]["namespace"])
        if not dry_run:
            removal = remove(cluster, name, place, [ownership.reference(item)])
            left += len(removal.left)
            warnings |= dict.fromkeys(removal.warnings)
            for kind, other in removal.left:
                click.echo(f"still there: {kind} {other} in namespace {place}")
        click.echo(f"{'would delete' if dry_run else 'deleted'} {item['kind']} {name} in namespace {place}")
    for line in warnings:
        console().warn(line)
    if not found:
        note(f"no job ended more than {_in_words(older_than)} ago")
    if left:
        context.exit(1)


def _in_words(seconds: float) -> str:
    """Return a duration in the largest unit that fits it exactly: 1h, 2d, 90s."""
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    return next((f"{seconds / size:.0f}{unit}" for unit, size in units.items() if seconds and seconds % size == 0), f"{seconds:g}s")
