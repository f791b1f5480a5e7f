"""Options and printing that several verbs share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mlops_launch.cli.ending import silence
from mlops_launch.commands.runs.console import Console
from mlops_launch.errors import UsageError

if TYPE_CHECKING:
    from mlops_launch.clients.clients import Clients


class Duration(click.ParamType[float]):
    """A duration in seconds, or with a unit: the one way to write one for every verb.

    Args:
        zero: whether it may be 0.
    """

    name = "duration"

    def __init__(self, zero: bool = False) -> None:
        self.zero = zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds; a wrong word ends the call."""
        from mlops_launch.core.kube.times import seconds_of

        seconds = seconds_of(str(value))
        if seconds is None or not (seconds or self.zero):
            self.fail(f"not a duration{'' if self.zero else ' above 0'}: {value}\n\nhint: for instance 90, 90s, 15m, 2h or 1d", param, ctx)
        return seconds


Command = TypeVar("Command", bound=Callable[..., Any])


def overlay_argument(command: Command) -> Command:
    """Add the argument OVERLAY, a folder; whether it holds a kustomization is for the library to say."""
    return click.argument("overlay", type=click.Path(path_type=Path), required=False, metavar="OVERLAY", callback=_required)(command)


def _required(context: click.Context, parameter: click.Parameter, overlay: Path | None) -> Path | None:
    if overlay is None and not context.resilient_parsing:
        raise no_overlay(context.info_name)
    return overlay


def no_overlay(verb: str | None) -> UsageError:
    """Return the error of a call without an overlay."""
    example = "." if (Path() / "kustomization.yaml").is_file() else "quickstart/k8s/mlops/multi-node"
    return UsageError("no overlay given", f"for instance `mlops-launch {verb} {example}`")


def json_option(command: Command) -> Command:
    """Add `--json`, handed to the command as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(command)


def cluster_options(command: Command) -> Command:
    """Add `--context` and `--namespace`."""
    command = click.option("-n", "--namespace", metavar="NAME", help="The namespace. [default: the overlay's, else the context's]")(command)
    return click.option("--context", "kube_context", metavar="NAME", help="The kubeconfig's context. [default: the current one]")(command)


def clients_of(context: click.Context) -> Clients:
    """Return the clients that the caller has passed in as the context's object, else those of this machine."""
    from mlops_launch.clients.clients import Clients

    return context.obj if isinstance(context.obj, Clients) else Clients()


def echo_json(fields: Mapping[str, Any]) -> None:
    """Print `fields` on stdout as JSON, with the version of its shape in front."""
    click.echo(json.dumps({"schema": 1, **fields}, indent=2))


def console() -> Console:
    """Return what talks to people, on stderr."""
    return Console(_say)


def note(message: str) -> None:
    """Print talk: a line on stderr."""
    console().info(message)


def _say(text: str) -> None:
    try:
        click.echo(text, err=True)
    except OSError:  # talk that nobody can hear stops nothing
        silence(sys.stderr)
