"""`mlops-launch render`."""

from __future__ import annotations

from pathlib import Path

import click

from mlops_launch.cli.shared import clients_of, overlay_argument
from mlops_launch.errors import ProcessError


@click.command("render")
@overlay_argument
@click.pass_context
def command(context: click.Context, overlay: Path) -> None:
    """Print the Kubernetes objects of an overlay.

    The same bytes as `kubectl kustomize OVERLAY`; the files are not changed and no cluster is asked.

    \b
    Example:
      mlops-launch render quickstart/k8s/mlops/multi-node
    """
    from mlops_launch.commands.overlay.render import render_text

    processes = clients_of(context).processes
    try:
        click.echo(render_text(overlay, processes), nl=False)
    except ProcessError as error:
        # Imported only now: the rules would slow down every rendering.
        from mlops_launch.commands.overlay.check import explain

        raise explain(overlay, error) from error
