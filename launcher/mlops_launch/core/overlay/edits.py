"""What `set` was asked to change, and what the rendered workload must then hold: no file is read or written here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mlops_launch.contract import (
    DATASET_DIR,
    FLAG_PREFIX,
    IMAGE_TAG,
    MODEL_DIR,
    MODEL_NAME,
    MODEL_SCRIPT,
    NOT_FLAGS,
    OUTPUT_DIR,
    PRESET,
    REGISTRY,
)
from mlops_launch.core.overlay import known_variables
from mlops_launch.core.overlay.devices import ACCELERATOR, DEFAULT_GPU
from mlops_launch.core.overlay.files import OverlayFiles
from mlops_launch.core.overlay.goals import DeviceGoal, FieldGoal, Goal, NamespaceGoal, VariableGoal, no_patch
from mlops_launch.core.overlay.places import workload_documents
from mlops_launch.core.overlay.rendered import Rendered
from mlops_launch.core.overlay.values import User, did_you_mean, parse_quantity
from mlops_launch.core.path import Named, Path
from mlops_launch.core.settings.model import Model, Package
from mlops_launch.core.workload import kinds
from mlops_launch.core.workload.kinds import Kind
from mlops_launch.core.workload.model import Role, mapping
from mlops_launch.errors import LauncherError, UsageError

KNOWN_KEYS: Final = (REGISTRY, IMAGE_TAG, DATASET_DIR, MODEL_DIR, OUTPUT_DIR, MODEL_NAME, MODEL_SCRIPT, PRESET)
# Variables of Horovod and TensorFlow, beside those of the trainer.
LIBRARY_PREFIXES: Final = ("HOROVOD_", "TF_")
KNOWN_PREFIXES: Final = (FLAG_PREFIX, *LIBRARY_PREFIXES)


@dataclass(frozen=True)
class Changes:
    """New values; None leaves the old one. `gpus`, `cpu` and `memory` mean the Worker, or the Pod's container."""

    user: User | None = None
    gpus: int | None = None
    workers: int | None = None
    slots: int | None = None
    cpu: str | None = None
    memory: str | None = None
    preset: str | None = None
    namespace: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


def goals_of(files: OverlayFiles, changes: Changes, package: Package, rendered: Rendered | None) -> list[Goal]:
    """Return what the rendered workload must hold.

    Args:
        files: the overlay's.
        changes: what to change.
        package: the overlay's, which knows the settings, presets and scripts.
        rendered: the overlay before the edit; None where it does not render.

    Raises:
        UsageError: an unknown key or preset, workers of a Pod.
        LauncherError: a file that is needed is missing.
    """
    goals: list[Goal] = [VariableGoal(key, value) for key, value in _variables(files, changes, package, rendered).items()]
    goals.extend(_field_goals(files, changes, rendered))
    if changes.namespace is not None:
        goals.append(NamespaceGoal(f"--namespace {changes.namespace}", changes.namespace))
    return goals


def _variables(files: OverlayFiles, changes: Changes, package: Package, rendered: Rendered | None) -> dict[str, str]:
    wanted = dict(changes.variables)
    if not wanted and changes.preset is None:
        return {}
    there = _there(files, rendered)
    model = package.model_of(there | wanted)
    if changes.preset is not None:
        key, value = _preset_variable(there, changes.preset, package, model)
        if wanted.get(key, value) != value:
            raise UsageError(f"`--preset` and `{key}` disagree: {value} and {wanted[key]}", "give one of them")
        wanted[key] = value
    for key in wanted:
        _require_known(there, key, model)
    return wanted


def _there(files: OverlayFiles, rendered: Rendered | None) -> dict[str, str]:
    """Return the variables that the job has: those of its container, and those of the env files where it does not render."""
    there = {entry.key: entry.value for file in files.env_files.values() for entry in file.entries}
    return there if rendered is None else there | rendered.variables(rendered.workload.main)


def _require_known(there: Mapping[str, str], key: str, model: Model | None) -> None:
    settings = set() if model is None or model.settings is None else {*model.by_variable(), *NOT_FLAGS, PRESET}
    if key in there or key in settings or known_variables.is_known(key, KNOWN_KEYS, LIBRARY_PREFIXES):
        return
    if key.startswith(FLAG_PREFIX) and not settings:
        return  # nothing is known of this model's settings
    near = did_you_mean(key, {*KNOWN_KEYS, *there, *settings})
    ways = "a key that mlops.env has, a setting of the model (`mlops-launch check OVERLAY --settings`), or a variable of a library"
    raise UsageError(f"unknown key: {key}", f"did you mean `{near}`?" if near else ways)


def _preset_variable(there: Mapping[str, str], preset: str, package: Package, model: Model | None) -> tuple[str, str]:
    """Return the key and the value that choose `preset`: a script of its own where mlops.env names none, else the preset's key."""
    presets = sorted(model.presets) if model else []
    if presets and preset not in presets:
        near = did_you_mean(preset, presets)
        raise UsageError(f"unknown preset: {preset}", f"did you mean `{near}`?" if near else f"one of {', '.join(presets)}")
    if PRESET not in there and MODEL_SCRIPT in there:
        name = _script_of(package, preset, there[MODEL_SCRIPT])
        if name is not None:
            return MODEL_SCRIPT, name
    return PRESET, preset


def _script_of(package: Package, preset: str, now: str) -> str | None:
    """Return the script that starts `preset` when no variable does, with the same flags otherwise as the one `now`; None without it."""
    if now not in package.scripts:
        return None
    rest = {**package.scripts[now].flags, "preset": ""}
    for name, script in sorted(package.scripts.items()):
        if script.flag("preset", {}) == preset and {**script.flags, "preset": ""} == rest:
            return name
    return None


def _field_goals(files: OverlayFiles, changes: Changes, rendered: Rendered | None) -> Iterator[Goal]:
    parts = (changes.user, changes.gpus, changes.workers, changes.slots, changes.cpu, changes.memory)
    if all(part is None for part in parts):
        return
    for name in files.patch_names:
        if name in files.syntax_errors:
            error = files.syntax_errors[name]
            raise LauncherError(f"{name}: {error.message}", error.hint)
    kind, manifest = _workload(files, rendered)
    for name, count in (("workers", changes.workers), ("slots", changes.slots)):
        if count is None:
            continue
        if name not in kind.edits:
            others = " or ".join(other.name for other in kinds.KINDS if name in other.edits)
            raise UsageError(f"`--{name}` needs an {others}, this overlay holds a: {kind.name}", "use the multi-node overlay")
        yield FieldGoal(f"--{name} {count}", count, kind, kind.edits[name])
    roles = {role.name: role for role in kind.roles(manifest)}
    for role in dict.fromkeys([*kind.needs, *roles]):
        pod = kind.pod_path(role)
        if changes.user is not None:
            ids = (("runAsUser", changes.user.uid), ("runAsGroup", changes.user.gid), ("fsGroup", changes.user.fs_group))
            for field_name, number in ids:
                yield FieldGoal(
                    f"--user {changes.user.uid}:{changes.user.gid}:{changes.user.fs_group}",
                    number,
                    kind,
                    (*pod, "securityContext", field_name),
                )
        if kind.is_sized(role):
            container = _container(roles.get(role), kind.base_container(role))
            path: Path = (*pod, "containers", Named(container[0]), "resources")
            yield from _resource_goals(kind, path, container[1], changes)


def _workload(files: OverlayFiles, rendered: Rendered | None) -> tuple[Kind, Mapping[str, Any]]:
    """Return the workload's kind and its manifest, or what the overlay's first patch has of it where it does not render."""
    if rendered is not None:
        return kinds.lookup(rendered.workload.kind), rendered.workload.manifest
    for document in workload_documents(files):
        return kinds.lookup(str(document["kind"])), document
    raise no_patch(files)


def _container(role: Role | None, base: str) -> tuple[str, Mapping[str, Any]]:
    """Return name and `resources` of the container that trains; in a patch alone it may have another name than the base's."""
    containers = role.containers if role is not None else []
    named = next((each for each in containers if each.get("name") == base), None)
    found = named or next(iter(containers), {})
    return str(found.get("name") or base), mapping(found.get("resources"))


def _resource_goals(kind: Kind, path: Path, resources: Mapping[str, Any], changes: Changes) -> Iterator[Goal]:
    limits, requests = (mapping(resources.get(part)) for part in ("limits", "requests"))
    if changes.gpus is not None:
        names = list(dict.fromkeys(str(key) for key in [*limits, *requests] if ACCELERATOR.fullmatch(str(key))))
        used = [name for name in names if str(limits.get(name, requests.get(name))) != "0"] or names[:1] or [DEFAULT_GPU]
        if len(used) > 1:
            raise LauncherError(f"`--gpus` of the devices of two names: {', '.join(used)}", "remove one of them, or edit the patch by hand")
        yield DeviceGoal(f"--gpus {changes.gpus}", changes.gpus, kind, (*path, "limits", used[0]))
        if used[0] in requests:
            yield DeviceGoal(f"--gpus {changes.gpus}", changes.gpus, kind, (*path, "requests", used[0]))
    for name, wanted in (("cpu", changes.cpu), ("memory", changes.memory)):
        if wanted is None:
            continue
        # A request above its limit is refused by the API server; a smaller one stays as it is.
        limit, request = parse_quantity(wanted), parse_quantity(str(requests.get(name, "")))
        if limit is not None and request is not None and request > limit:
            yield FieldGoal(f"--{name} {wanted}", wanted, kind, (*path, "requests", name), is_quantity=True)
        yield FieldGoal(f"--{name} {wanted}", wanted, kind, (*path, "limits", name), is_quantity=True)
