"""`mlops-launch run`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from mlops_launch.cli.shared import Duration, clients_of, cluster_options, overlay_argument
from mlops_launch.errors import UsageError

if TYPE_CHECKING:
    from mlops_launch.clients.clients import Clients
    from mlops_launch.commands.runs.loop import Engine


# Option → parameter, of those that mean something on one of the two engines only.
LOCAL_ONLY: Final = {"--mount": "mounts", "--env": "variables", "--model-dir": "model_dir"}
CLUSTER_ONLY: Final = {
    "--context": "kube_context", "--namespace": "namespace", "--detach": "detach", "--replace": "replace",
    "--delete-on-interrupt": "delete_on_interrupt", "--start-timeout": "start_timeout",
}  # fmt: skip


@click.command("run")
@overlay_argument
@click.option("--local", is_flag=True, help="Train on this machine, not on a cluster.")
@click.option("--mount", "mounts", metavar="CLAIM=DIR", multiple=True, help="Local: a claim's folder. [default: .mlops/volumes/CLAIM]")
@click.option("--env", "variables", metavar="KEY=VALUE", multiple=True, help="Local: set a variable, overriding the overlay.")
@click.option(
    "--model-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Local: the folder that holds common/ and models/.",
)
@cluster_options
@click.option("--detach", is_flag=True, help="Cluster: apply and detach; `logs -f` follows later.")
@click.option("--replace", is_flag=True, help="Cluster: stop a running job of that name first.")
@click.option("--delete-on-interrupt", is_flag=True, help="Cluster: Ctrl-C saves, stops and deletes instead of detaching.")
@click.option(
    "--start-timeout", type=Duration(), metavar="DURATION", help="Cluster: give up if no container has started by then. [default: 15m]"
)
@click.option("--timeout", type=Duration(), metavar="DURATION", help="Save and stop after 90, 90s, 15m, 2h, 1d; exit with 124.")
@click.option("--retries", type=click.IntRange(min=0), default=0, show_default=True, help="More tries after an exit code of 128-255.")
@click.option("--dry-run", is_flag=True, help="Print what would be applied or started, and do nothing.")
@click.option("--quiet", is_flag=True, help="Print only the result line; the archive has the log.")
@click.pass_context
def command(
    context: click.Context, /, overlay: Path, local: bool, timeout: float | None, retries: int, dry_run: bool, quiet: bool, **chosen: Any
) -> None:
    """Train: check the overlay, apply it, follow its log, end with its exit code.

    On a cluster, Ctrl-C detaches: the job keeps running, and a message says how to follow and to delete it. With --local,
    the overlay's own command runs on this machine: mpirun starts workers × slots ranks, and each claim becomes a folder;
    Ctrl-C saves a checkpoint and stops. Either way, the same command then resumes from the checkpoint. Plan, log and
    result are kept in .mlops/runs/NAME/TIME.

    Exit codes: the training's own; 124 time limit, 125 the launcher itself failed, 130 detached with Ctrl-C, 2 usage error.

    \b
    Examples:
      mlops-launch run quickstart/k8s/mlops/multi-node -n team-a
      mlops-launch run quickstart/k8s/mlops/multi-node --retries 2 --timeout 1d
      mlops-launch run quickstart/k8s/mlops/multi-node --local \\
          --mount datasets=/data/digits
    """
    from mlops_launch.commands.runs.loop import Limits, run
    from mlops_launch.commands.runs.streams import Streams

    clients = clients_of(context)
    _refuse(CLUSTER_ONLY if local else LOCAL_ONLY, chosen, local)
    engine = _local_engine(overlay, clients, chosen) if local else _cluster_engine(overlay, clients, chosen)
    code = 0
    if dry_run:
        click.echo(engine.plan().to_text(), nl=False)
    else:
        code = run(engine, Limits(timeout, retries), clients.host, Streams.standard(quiet))
    context.exit(code)


def _local_engine(overlay: Path, clients: Clients, chosen: Mapping[str, Any]) -> Engine:
    from mlops_launch.commands.local.run import LocalEngine, LocalOptions
    from mlops_launch.commands.runs.archive import Archive

    options = LocalOptions(
        mounts={name: Path(folder) for name, folder in _pairs("--mount", "CLAIM=DIR", chosen["mounts"]).items()},
        variables=_pairs("--env", "KEY=VALUE", chosen["variables"]),
        model_dir=chosen["model_dir"],
    )
    return LocalEngine(overlay, options, clients.processes, clients.host, Archive())


def _cluster_engine(overlay: Path, clients: Clients, chosen: Mapping[str, Any]) -> Engine:
    from mlops_launch.commands.cluster.limits import START_S
    from mlops_launch.commands.cluster.run import ClusterEngine, ClusterOptions
    from mlops_launch.commands.runs.archive import Archive

    options = ClusterOptions(
        context=chosen["kube_context"],
        namespace=chosen["namespace"],
        detach=chosen["detach"],
        replace=chosen["replace"],
        delete_on_interrupt=chosen["delete_on_interrupt"],
        start_timeout=chosen["start_timeout"] or START_S,
    )
    return ClusterEngine(overlay, options, clients, Archive())


def _refuse(names: Mapping[str, str], chosen: Mapping[str, Any], local: bool) -> None:
    """Raise when an option is given that means nothing here.

    Raises:
        UsageError: the first such option.
    """
    given = [option for option, name in names.items() if chosen[name]]
    if given:
        where, hint = ("a cluster", "leave out `--local`") if local else ("this machine", "add `--local`, or set it in the overlay")
        raise UsageError(f"only for a run on {where}: {given[0]}", hint)


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
