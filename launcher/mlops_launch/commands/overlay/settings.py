"""List the settings and presets of models."""

from __future__ import annotations

from pathlib import Path

from mlops_launch.commands.overlay.files import read_files
from mlops_launch.commands.overlay.package import own_package, package_of
from mlops_launch.contract import MODEL_NAME
from mlops_launch.core.overlay.values import did_you_mean
from mlops_launch.core.settings.model import Model
from mlops_launch.errors import LauncherError


def list_models(overlay: Path | None) -> list[Model]:
    """Return the model that the overlay names, as its package has it; every model of the launcher's own package without one.

    Raises:
        UsageError: `overlay` holds no kustomization.
        LauncherError: it names no model, or one that its package does not have or cannot read.
    """
    if overlay is None:
        return list(own_package().models.values())
    found = read_files(overlay).env(MODEL_NAME)
    if found is None:
        raise LauncherError(f"no MODEL_NAME in the overlay: {overlay}", f"add `{MODEL_NAME}=…` to mlops.env")
    models, name = package_of(overlay).models, found[1].value
    if name not in models:
        near = did_you_mean(name, models)
        raise LauncherError(f"no such model in models/: {name}", f"did you mean `{near}`?" if near else f"one of {', '.join(models)}")
    if models[name].problems:
        problem = models[name].problems[0]
        place = problem.file if problem.line is None else f"{problem.file}:{problem.line}"
        raise LauncherError(f"{place}: {problem.message}", problem.hint)
    return [models[name]]
