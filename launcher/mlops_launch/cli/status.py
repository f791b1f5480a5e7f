"""`mlops-launch status`."""

from __future__ import annotations

import time

import click

from mlops_launch.cli.shared import echo_json, json_option

WATCH_S = 1.0


@click.command("status")
@click.argument("name", required=False)
@click.option("--run", "run_time", metavar="TIME", help="The run that began then. [default: the newest]")
@click.option("--watch", is_flag=True, help="Show it again every second until the run has ended.")
@json_option
def command(name: str | None, run_time: str | None, watch: bool, as_json: bool) -> None:
    """Show the state of a run: the newest, or the newest of NAME.

    \b
    Examples:
      mlops-launch status
      mlops-launch status resnet50v1-5 --watch
    """
    from mlops_launch.doors.host import Host
    from mlops_launch.use.archive import Archive
    from mlops_launch.use.runs import look

    host = Host()
    run = Archive().find(name, run_time)
    while True:
        status = look(run, host)
        if as_json:
            echo_json(status.to_json())
        else:
            if watch:
                click.clear()  # only on a terminal
            click.echo(status.to_text())
        if not watch or status.state != "running":
            return
        time.sleep(WATCH_S)
