"""`mlops-launch run`."""

from __future__ import annotations

from pathlib import Path

import click

from mlops_launch.cli.shared import overlay_argument
from mlops_launch.contract import LauncherExitCode
from mlops_launch.doors.process import Processes
from mlops_launch.errors import LauncherError, UsageError


@click.command("run")
@overlay_argument
@click.option("--local", is_flag=True, help="Train on this machine.")
@click.option("--mount", "mounts", metavar="CLAIM=DIR", multiple=True, help="The folder for a claim. [default: .mlops/volumes/CLAIM]")
@click.option("--env", "variables", metavar="KEY=VALUE", multiple=True, help="A variable, over those of the overlay.")
@click.option(
    "--model-dir", type=click.Path(path_type=Path, exists=True, file_okay=False), help="The folder that holds common/ and models/."
)
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Save and stop after that time; exit with 124."
)
@click.option("--retries", type=click.IntRange(min=0), default=0, show_default=True, help="More tries after an exit code of 128-255.")
@click.option("--dry-run", is_flag=True, help="Print what would be started, and start nothing.")
@click.option("--quiet", is_flag=True, help="Print only the result line; the archive has the log.")
@click.pass_context
def command(
    context: click.Context,
    overlay: Path,
    local: bool,
    mounts: tuple[str, ...],
    variables: tuple[str, ...],
    model_dir: Path | None,
    timeout: float | None,
    retries: int,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Train: check the overlay, start it, follow its log, end with its exit code.

    With --local the launcher's command of the overlay runs here: workers times slots ranks by mpirun, each claim a
    folder. Ctrl-C saves a checkpoint and stops; the same command then goes on from it. Plan, log and result are
    kept in .mlops/runs/NAME/TIME.

    Exit codes: the training's; 124 time limit, 125 the launcher could not start it, 2 wrong call.

    \b
    Examples:
      mlops-launch run quickstart/k8s/mlops/multi-node --local --mount datasets=/data/digits
      mlops-launch run quickstart/k8s/mlops/multi-node --local --env MLOPS_EPOCHS=2 --dry-run
    """
    from mlops_launch.doors.host import Host
    from mlops_launch.use.archive import Archive
    from mlops_launch.use.display import Streams
    from mlops_launch.use.run import LocalRun, RunOptions

    if not local:
        raise UsageError("where to train is not given", "`--local` trains on this machine; for a cluster: kubectl apply -k OVERLAY")
    options = RunOptions(
        mounts={name: Path(folder) for name, folder in _pairs("--mount", "CLAIM=DIR", mounts).items()},
        variables=_pairs("--env", "KEY=VALUE", variables), model_dir=model_dir, timeout=timeout, retries=retries,
    )  # fmt: skip
    run = LocalRun(overlay, options, Processes(), Host(), Archive())
    try:
        if dry_run:
            click.echo(run.dry_run(), nl=False)
        else:
            context.exit(run.run(Streams.standard(quiet)))
    except UsageError:
        raise
    except LauncherError as error:
        # 1 would be the training's own code.
        error.exit_code = LauncherExitCode.LAUNCHER_FAILED
        raise


def _pairs(option: str, form: str, words: tuple[str, ...]) -> dict[str, str]:
    """Return NAME=VALUE words as a mapping.

    Raises:
        UsageError: a word has no name or no `=`.
    """
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            example = "datasets=/data/digits" if option == "--mount" else "MLOPS_EPOCHS=2"
            raise UsageError(f"not {form}: {word}", f"for instance `{option} {example}`")
        pairs[name] = value
    return pairs
