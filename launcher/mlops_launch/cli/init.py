"""`mlops-launch init`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from mlops_launch.cli.shared import note


@click.command("init")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--upgrade", is_flag=True, help="Bring files that you have not edited to this version; beside an edited one: FILE.new.")
@click.option("--force", is_flag=True, help="Write every file, also in a folder with content; an edited one stays as FILE.mine.")
def command(folder: Path, upgrade: bool, force: bool) -> None:
    """Unpack the model package into a folder.

    Writes quickstart (what you edit and apply), common and models (the training code), and k8s (what a platform engineer
    applies: mpi-operator, storage, rights, quota) into DIR. Files of your own stay as they are in any case.

    \b
    Examples:
      mlops-launch init my-training
      mlops-launch init my-training --upgrade
    """
    from mlops_launch.commands.overlay.init import PARTS, unpack

    done = unpack(folder, force=force, upgrade=upgrade)
    if upgrade:
        for name in done.written:
            click.echo(f"written {folder / name}")
        for name in done.removed:
            click.echo(f"removed {folder / name}")
        for name, new in done.kept.items():
            click.echo(f"edited {folder / name}, the new version is {folder / new}")
        if not (done.written or done.removed or done.kept):
            note(f"nothing to upgrade in: {folder}")
        return
    for part in PARTS:
        click.echo(folder / part)
    for name, mine in done.kept.items():
        note(f"your version of {folder / name} is kept: {folder / mine}")
    overlay = shlex.quote(str(folder / "quickstart/k8s/mlops/multi-node"))
    note(f"\nnext:\n  mlops-launch check {overlay}\n  mlops-launch run --local {overlay}")
