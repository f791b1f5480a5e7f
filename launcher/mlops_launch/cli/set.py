"""`mlops-launch set`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops_launch.cli.shared import note, overlay_argument
from mlops_launch.clients.process import Processes
from mlops_launch.errors import UsageError

if TYPE_CHECKING:
    from mlops_launch.core.overlay.edits import Changes

# Option → the key of mlops.env that it stands for.
_KEYS = {
    "registry": "REGISTRY",
    "image_tag": "IMAGE_TAG",
    "dataset_dir": "DATASET_DIR",
    "model_dir": "MODEL_DIR",
    "output_dir": "OUTPUT_DIR",
}


@click.command("set")
@overlay_argument
@click.option("--user", metavar="U[:G[:F]]", help="uid, gid and fsGroup of the pods; gid defaults to uid, fsGroup to gid.")
@click.option("--gpus", type=int, metavar="N", help="GPUs per worker, or for the Pod.")
@click.option("--workers", type=int, metavar="N", help="Worker pods.")
@click.option("--slots", type=int, metavar="N", help="Ranks per worker (MPI slots).")
@click.option("--cpu", metavar="Q", help="CPU limit per worker, or of the Pod: 4, 500m.")
@click.option("--memory", metavar="Q", help="Memory limit per worker, or of the Pod: 8Gi.")
@click.option("--preset", metavar="P", help="A preset of the model; a wrong name lists them.")
@click.option("--namespace", metavar="NS", help="Namespace of all objects.")
@click.option("--registry", metavar="R", help="Where the image comes from, without its tag.")
@click.option("--image-tag", metavar="T", help="The image's tag.")
@click.option("--dataset-dir", metavar="P", help="Where the dataset claim is mounted.")
@click.option("--model-dir", metavar="P", help="The folder that holds common/ and models/.")
@click.option("--output-dir", metavar="P", help="This run's folder below the output claim's mount path.")
@click.option("--dry-run", is_flag=True, help="Print the difference and change nothing.")
@click.argument("variables", metavar="[KEY=VALUE]...", nargs=-1)
def command(overlay: Path, dry_run: bool, variables: tuple[str, ...], **options: Any) -> None:
    """Change values in the files of an overlay.

    Prints the difference. Comments, order and quotes of everything else stay. The rendered job then holds each
    value: where another file wins over it, that is named, and no file is changed. Nor is one when `check` would
    call the result an error. KEY=VALUE is any key of mlops.env: `mlops-launch check OVERLAY --settings` lists the
    settings of the model.

    \b
    Examples:
      mlops-launch set quickstart/k8s/mlops/multi-node --workers 5 --cpu 8
      mlops-launch set quickstart/k8s/mlops/multi-node \\
          --user 1234:5678 --preset one_epoch MLOPS_SEED=7
    """
    from mlops_launch.commands.overlay.edit import edit_overlay

    changes = _changes(variables, options)
    edit = edit_overlay(overlay, changes, Processes(), dry_run=dry_run)
    click.echo(edit.diff, nl=False)
    if not edit.texts:
        note("no change")
    elif dry_run:
        note("dry run: no file was changed")


def _changes(words: tuple[str, ...], options: dict[str, Any]) -> Changes:
    """Return the checked values as `Changes`."""
    from mlops_launch.core.overlay import values
    from mlops_launch.core.overlay.edits import Changes

    variables: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"not KEY=VALUE: {word}", "for instance MLOPS_SEED=7")
        _add(variables, key, value)
    for option, key in _KEYS.items():
        if options[option] is not None:
            _add(variables, key, options[option])
    if all(value is None for value in options.values()) and not variables:
        raise UsageError("nothing to set", "give an option or KEY=VALUE; `mlops-launch set --help` lists them")
    for key, form in (("REGISTRY", values.REGISTRY), ("IMAGE_TAG", values.TAG)):
        if key in variables:
            form.require(variables[key])
    readers: dict[str, Callable[[Any], Any]] = {
        "user": values.parse_user,
        "gpus": values.GPUS.require,
        "workers": values.WORKERS.require,
        "slots": values.SLOTS.require,
        "cpu": values.CPU.require,
        "memory": values.MEMORY.require,
        "preset": str,
        "namespace": values.NAMESPACE.require,
    }
    given = {option: read(options[option]) for option, read in readers.items() if options[option] is not None}
    return Changes(**given, variables=variables)


def _add(variables: dict[str, str], key: str, value: str) -> None:
    if variables.get(key, value) != value:
        raise UsageError(f"two values for `{key}`: {variables[key]} and {value}", "give one of them")
    if not value.strip():
        raise UsageError(f"no value for: {key}", "to get the default, remove the line from mlops.env by hand")
    variables[key] = value
