"""`mlops-launch init`."""

from __future__ import annotations

from pathlib import Path

import click

from mlops_launch.cli.shared import note


@click.command("init")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace quickstart, common and models in a folder with content.")
def command(folder: Path, force: bool) -> None:
    """Unpack the model package into a folder.

    Writes quickstart (what you edit and apply), common and models (the training code) into DIR.

    \b
    Example:
      mlops-launch init my-training
    """
    from mlops_launch.commands.overlay.init import unpack

    for part in unpack(folder, force=force):
        click.echo(folder / part)
    overlay = folder / "quickstart/k8s/mlops/multi-node"
    note(f"\nnext:\n  mlops-launch check {overlay}\n  mlops-launch run --local {overlay}")
