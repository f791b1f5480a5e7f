"""`mlops-launch logs`."""

from __future__ import annotations

import sys

import click


@click.command("logs")
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option("--run", "run_time", metavar="TIME", help="The run that began then, as in `ls`. [default: the newest]")
def command(name: str | None, follow: bool, run_time: str | None) -> None:
    """Print the log of a run: the newest, or the newest of NAME.

    \b
    Examples:
      mlops-launch logs -f
      mlops-launch logs resnet50v1-5 --run 20260102T030405Z
    """
    from mlops_launch.doors.host import Host
    from mlops_launch.use.archive import Archive
    from mlops_launch.use.runs import follow_log

    out = sys.stdout.buffer
    for chunk in follow_log(Archive().find(name, run_time), Host(), follow):
        out.write(chunk)
        out.flush()
