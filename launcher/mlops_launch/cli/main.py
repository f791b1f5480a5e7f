"""The command `mlops-launch`: finds the verb, loads its module, and shows its errors.

Only click is imported here; each verb's module is imported when the verb runs, so that `--help` stays fast.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, Final

import click

from mlops_launch import __version__
from mlops_launch.errors import LauncherError

# Verb → the one line of `mlops-launch --help`. The verb's module is `mlops_launch.cli.<verb>`, its command `command`.
VERBS: Final = {
    "init": "Unpack the model package into a folder.",
    "set": "Change values in the files of an overlay.",
    "render": "Print the Kubernetes objects of an overlay.",
    "check": "Look for mistakes in an overlay.",
    "run": "Train: check, apply, follow the log, exit with its exit code.",
    "logs": "Print or follow the log of a run.",
    "status": "Show the state of a run.",
    "ls": "List the runs.",
    "delete": "Delete a job from a cluster.",
    "gc": "Delete finished jobs from a cluster.",
}


class ShownError(click.ClickException):
    """A LauncherError as click shows it: the message, a blank line, the hint."""

    def __init__(self, error: LauncherError) -> None:
        super().__init__(error.message)
        self.hint = error.hint
        self.exit_code = error.exit_code  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        """Print the error on stderr."""
        from mlops_launch.cli.shared import console

        console().error(self.message, self.hint)


class Verbs(click.Group):
    """A group whose commands are stand-ins (name and short help) until one is called."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb's name, its command from its own module, and what is left of `args`."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        if name is None or stand_in is None:
            return name, stand_in, rest
        return name, import_module(f"mlops_launch.cli.{name}").command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; turn the library's errors, and the system's, into what the command line shows."""
        try:
            return super().invoke(ctx)
        except LauncherError as error:
            raise ShownError(error) from error
        except BrokenPipeError:
            raise  # click ends quietly: the reader of a pipe has left
        except OSError as error:
            if error.filename is None:
                raise
            raise ShownError(LauncherError(f"{error.strerror or type(error).__name__}: {error.filename}")) from error


@click.group(
    cls=Verbs,
    commands=[click.Command(name, short_help=line) for name, line in VERBS.items()],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="mlops-launch")
@click.pass_context
def main(context: click.Context) -> None:
    """Train ResNet-50 v1.5 from one kustomize overlay: on a cluster, or on this machine.

    OVERLAY is a folder such as quickstart/k8s/mlops/multi-node. Shell completion: see
    https://click.palletsprojects.com/en/stable/shell-completion/ (the program's name is mlops-launch).
    """
    if os.environ.get("NO_COLOR"):
        context.color = False
