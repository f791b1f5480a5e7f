"""What a local run starts: the overlay's workload and this machine, put together as a `LocalPlan`."""

from __future__ import annotations

import os
import shlex
import site
import sys
from collections.abc import Mapping
from pathlib import Path

from mlops_launch import contract
from mlops_launch.clients.host import Host
from mlops_launch.clients.process import Processes
from mlops_launch.commands.overlay.package import find_package
from mlops_launch.commands.runs.root import find_root
from mlops_launch.core.workload.local_mounts import volume_names
from mlops_launch.core.workload.local_plan import LocalPlan, Machine, localize
from mlops_launch.core.workload.model import Workload
from mlops_launch.core.workload.redaction import redact_value
from mlops_launch.errors import LauncherError, UsageError

# What of this shell's environment a training gets: language, time zone, and this Python's environment, which stands
# for the image's. Nothing else, so that a run does not depend on the shell it was started in.
PASSED_ON = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "USER", "LOGNAME", "HOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "PYTHONPATH")


def plan_local(
    workload: Workload,
    overlay: Path,
    scratch: Path,
    mounts: Mapping[str, Path],
    extra: Mapping[str, str],
    model_dir: Path | None,
    processes: Processes,
    host: Host,
) -> LocalPlan:
    """Return what to start here; nothing is made or changed yet.

    Args:
        workload: what was rendered.
        overlay: its folder; the checkout is looked for from there upwards.
        scratch: the folder for temporary files, to be made.
        mounts: claim → folder, from the user; the others lie below .mlops/volumes.
        extra: variables from the user.
        model_dir: the folder that holds common/ and models/, from the user.
        processes: knows whether this is root.
        host: this machine.

    Raises:
        UsageError: a mount that the workload does not have, or whose folder is missing.
        LauncherError: something that the workload needs is not here.
    """
    checkout = find_package(overlay) if model_dir is None else model_dir.resolve()
    machine = Machine(
        environment=base_environment(os.environ), programs=Path(sys.executable).parent, checkout=checkout,
        volumes=volume_folders(volume_names(workload), mounts), scratch=scratch,
        shared_memory=host.shared_memory(), is_root=processes.is_root(), free_port=host.free_port,
    )  # fmt: skip
    plan = localize(workload, machine, extra)
    words = [word for process in plan.processes for word in process.argv]
    for word in words:
        if plan.below_checkout(word) and not Path(word).exists():
            raise LauncherError(f"a file of the command does not exist: {word}", "correct MODEL_DIR, MODEL_SCRIPT or `--model-dir`")
    return plan


def volume_folders(writes: Mapping[str, bool], mounts: Mapping[str, Path]) -> dict[str, Path]:
    """Return a folder for each volume that keeps data.

    Args:
        writes: the volumes' names; True where the workload writes.
        mounts: the user's choice.

    Raises:
        UsageError: an unknown name, or a folder that is missing or is none.
    """
    for name, folder in mounts.items():
        if name not in writes:
            raise UsageError(f"no claim of that name in the overlay: {name}", f"known: {', '.join(writes) or 'none'}")
        if folder.exists() and not folder.is_dir() or not folder.exists() and not writes[name]:
            raise UsageError(f"no such folder for `--mount {name}`: {folder}", "give a folder that exists")
    return {name: mounts.get(name, find_root() / "volumes" / name).absolute() for name in writes}


def base_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what every program needs here, of this process's environment."""
    base = {name: environment[name] for name in PASSED_ON if environment.get(name)}
    # The container's HOME is another: packages of `pip install --user` are found by this.
    base.setdefault("PYTHONUSERBASE", site.getuserbase())
    return base | {"PATH": environment.get("PATH", os.defpath)}


def actions(plan: LocalPlan) -> tuple[str, ...]:
    """Return what starting `plan` does, a line each; secrets left out."""
    lines = [f"mount {mount.path}: {mount.source}" for mount in reversed(plan.mounts)]
    lines += [f"write {path}: {text.strip()}" if "\n" not in text.strip() else f"write {path}" for path, text in plan.files.items()]
    shared = dict(set.intersection(*(set(process.environment.items()) for process in plan.processes)))
    lines += [f"set {name}={redact_value(name, value)}" for name, value in sorted(shared.items())]
    for process in plan.processes:
        own = [f"{name}={redact_value(name, value)}" for name, value in sorted(process.environment.items()) if name not in shared]
        ranks = f"{plan.world_size} rank{'s' if plan.world_size > 1 else ''}"
        what = process.name if len(plan.processes) > 1 else ranks
        lines.append(f"start {what} in {process.folder}: {shlex.join([*own, *process.argv])}")
    return tuple(lines)


def prepare(plan: LocalPlan) -> None:
    """Make the plan's folders and write its files.

    Raises:
        LauncherError: one cannot be made.
    """
    try:
        for folder in plan.folders:
            folder.mkdir(parents=True, exist_ok=True)
        for path, text in plan.files.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LauncherError(f"cannot make a folder of the run: {error.filename}: {error.strerror}") from error


def preset(plan: LocalPlan) -> str | None:
    """Return the preset's name, to show it."""
    return plan.main.environment.get(contract.PRESET)
