"""`mlops-launch ls`."""

from __future__ import annotations

import click

from mlops_launch.cli.shared import echo_json, json_option, note


@click.command("ls")
@json_option
def command(as_json: bool) -> None:
    """List the runs of this folder, oldest first.

    A state is running, succeeded, failed, interrupted (it saved and can go on), or lost (killed, no result).

    \b
    Example:
      mlops-launch ls
    """
    from mlops_launch.doors.host import Host
    from mlops_launch.use.archive import Archive
    from mlops_launch.use.runs import list_runs, table

    runs = list_runs(Archive(), Host(), note)
    if as_json:
        echo_json({"runs": [run.to_json() for run in runs]})
    elif runs:
        click.echo(table(runs))
    else:
        note("no runs in .mlops/runs")
