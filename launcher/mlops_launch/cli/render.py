"""`mlops-launch render`."""

from __future__ import annotations

from pathlib import Path

import click

from mlops_launch.cli.shared import overlay_argument
from mlops_launch.doors.process import Processes


@click.command("render")
@overlay_argument
def command(overlay: Path) -> None:
    """Print the Kubernetes objects of an overlay.

    The same bytes as `kubectl kustomize OVERLAY`; the files are not changed and no cluster is asked.

    \b
    Example:
      mlops-launch render quickstart/k8s/mlops/multi-node
    """
    from mlops_launch.use.render import render_or_explain

    click.echo(render_or_explain(overlay, Processes()), nl=False)
