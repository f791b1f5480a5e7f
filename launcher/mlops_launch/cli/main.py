"""The command `mlops-launch`: finds the verb, loads its module, and shows its errors.

Only click is imported here; each verb's module is imported when the verb runs, so that `--help` stays fast.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Any, Final

import click

from mlops_launch import __version__
from mlops_launch.cli.ending import READER_LEFT, exit_code_of, silence, was_interrupted

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


# What people type that know other programs, and what to do instead.
MEANT: Final = {
    "help": "`mlops-launch --help`, `mlops-launch VERB --help`",
    "version": "`mlops-launch --version`",
    **dict.fromkeys(("start", "train", "submit", "apply"), "`mlops-launch run OVERLAY`"),
    **dict.fromkeys(("stop", "cancel", "kill"), "`mlops-launch delete NAME` lets a job save first; Ctrl-C stops a run on this machine"),
    **dict.fromkeys(("describe", "get", "show"), "`mlops-launch status NAME`"),
    "list": "`mlops-launch ls`",
}

NARROWEST: Final = 30  # columns of help
WIDEST: Final = 100
LAUNCHER_FAILED: Final = 125  # contract.LauncherExitCode, which `--help` need not import


class ShownError(click.ClickException):
    """An error as click shows it: the message, a blank line, the hint.

    Args:
        error: of the library, of the system, or one that nobody has thought of.
        verb: `run` fails with 125, since 1 would be the training's own code.
    """

    def __init__(self, error: BaseException, verb: str | None = None) -> None:
        from mlops_launch.cli.defect import shown

        known = shown(error)
        super().__init__(known.message)
        self.hint = known.hint
        failed = LAUNCHER_FAILED if verb == "run" and known.exit_code == 1 else known.exit_code
        self.exit_code = failed  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        """Print the error on stderr."""
        from mlops_launch.cli.shared import console

        console().error(self.message, self.hint)


class Verbs(click.Group):
    """A group whose commands are stand-ins (name and short help) until one is called."""

    def make_context(self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any) -> click.Context:
        """Return the context; help is as wide as the terminal, where click would take no less than 50 columns."""
        extra.setdefault("terminal_width", min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST) - 2)
        return super().make_context(info_name, args, parent, **extra)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb's name, its command from its own module, and what is left of `args`."""
        if args and args[0] in MEANT:
            ctx.fail(f"No such command '{args[0]}'.\n\nhint: {MEANT[args[0]]}")
        name, stand_in, rest = super().resolve_command(ctx, args)
        if name is None or stand_in is None:
            return name, stand_in, rest
        return name, import_module(f"mlops_launch.cli.{name}").command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; turn every exception into what the command line shows."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except BrokenPipeError as error:  # click would end with 1
            silence(sys.stdout)
            raise click.exceptions.Exit(READER_LEFT) from error
        except Exception as error:
            if was_interrupted(error):
                raise KeyboardInterrupt from error
            raise ShownError(error, ctx.invoked_subcommand) from error

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line and end the process; what no verb has caught is told here."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        call = partial(super().main, args, prog_name, complete_var, False, **extra)
        sys.exit(exit_code_of(call, ShownError))


@click.group(
    cls=Verbs,
    commands=[click.Command(name, short_help=line) for name, line in VERBS.items()],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="mlops-launch")
@click.pass_context
def main(context: click.Context) -> None:
    """Train ResNet-50 v1.5 from one kustomize overlay: on a cluster, or on this machine.

    OVERLAY is a folder such as quickstart/k8s/mlops/multi-node. Shell completion, where the program's name is mlops-launch:

    \b
    https://click.palletsprojects.com/en/stable/shell-completion/
    """
    if os.environ.get("NO_COLOR"):
        context.color = False
