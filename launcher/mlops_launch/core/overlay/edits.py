"""What `set` was asked to change, and the texts that come out: no file is read or written here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ruamel.yaml.nodes import Node, SequenceNode

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
from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.envfile import EnvFile
from mlops_launch.core.overlay.files import OverlayFiles
from mlops_launch.core.overlay.values import User, did_you_mean, parse_quantity
from mlops_launch.core.overlay.yamledit import YamlText
from mlops_launch.core.path import Named, Path
from mlops_launch.core.settings.model import Model, Package
from mlops_launch.core.workload import kinds
from mlops_launch.core.workload.kinds import Kind
from mlops_launch.core.workload.model import mapping
from mlops_launch.errors import LauncherError, UsageError

KNOWN_KEYS: Final = (REGISTRY, IMAGE_TAG, DATASET_DIR, MODEL_DIR, OUTPUT_DIR, MODEL_NAME, MODEL_SCRIPT, PRESET)
# Variables of Horovod and TensorFlow, beside those of the trainer.
LIBRARY_PREFIXES: Final = ("HOROVOD_", "TF_")
KNOWN_PREFIXES: Final = (FLAG_PREFIX, *LIBRARY_PREFIXES)
DEFAULT_GPU: Final = "nvidia.com/gpu"


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


def apply_changes(files: OverlayFiles, changes: Changes, package: Package) -> dict[str, str]:
    """Return the texts that differ, by file name.

    Args:
        files: the overlay's.
        changes: what to change.
        package: the overlay's, which knows the settings, presets and scripts.

    Raises:
        UsageError: an unknown key or preset, workers of a Pod.
        LauncherError: a file that is needed is missing, or cannot be edited in place.
    """
    texts = dict(_env_texts(files, changes, package))
    texts.update(_patch_text(files, changes))
    if changes.namespace is not None:
        name = files.kustomization
        texts[name] = _set(YamlText(files.texts[name]), name, ("namespace",), changes.namespace).text
    return {name: text for name, text in texts.items() if text != files.texts[name]}


def _env_texts(files: OverlayFiles, changes: Changes, package: Package) -> Iterator[tuple[str, str]]:
    wanted = dict(changes.variables)
    if not wanted and changes.preset is None:
        return
    if not files.env_files:
        raise LauncherError(
            f"no env file in the overlay: {files.folder}",
            "`configMapGenerator` in kustomization.yaml names it in `envs`",
        )
    model = package.model_of({key: value for file in files.env_files.values() for key, value in file.values.items()} | wanted)
    if changes.preset is not None:
        key, value = _preset_variable(files, changes.preset, package, model)
        if wanted.get(key, value) != value:
            raise UsageError(f"`--preset` and `{key}` disagree: {value} and {wanted[key]}", "give one of them")
        wanted[key] = value
    edited: dict[str, EnvFile] = {}
    for key, value in wanted.items():
        _require_known(files, key, model)
        found = files.env(key)
        name = found[0] if found else next(iter(files.env_files))
        edited[name] = edited.get(name, files.env_files[name]).with_value(key, value)
    yield from ((name, file.text) for name, file in edited.items())


def _require_known(files: OverlayFiles, key: str, model: Model | None) -> None:
    there = {entry.key for file in files.env_files.values() for entry in file.entries}
    settings = set() if model is None or model.settings is None else {*model.by_variable(), *NOT_FLAGS, PRESET}
    if key in there or key in settings or known_variables.is_known(key, KNOWN_KEYS, LIBRARY_PREFIXES):
        return
    if key.startswith(FLAG_PREFIX) and not settings:
        return  # nothing is known of this model's settings
    near = did_you_mean(key, {*KNOWN_KEYS, *there, *settings})
    ways = "a key that mlops.env has, a setting of the model (`mlops-launch check OVERLAY --settings`), or a variable of a library"
    raise UsageError(f"unknown key: {key}", f"did you mean `{near}`?" if near else ways)


def _preset_variable(files: OverlayFiles, preset: str, package: Package, model: Model | None) -> tuple[str, str]:
    """Return the key and the value that choose `preset`: a script of its own where mlops.env names none, else the preset's key."""
    presets = sorted(model.presets) if model else []
    if presets and preset not in presets:
        near = did_you_mean(preset, presets)
        raise UsageError(f"unknown preset: {preset}", f"did you mean `{near}`?" if near else f"one of {', '.join(presets)}")
    if files.env(PRESET) is None and (script := files.env(MODEL_SCRIPT)) is not None:
        name = _script_of(package, preset, script[1].value)
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


def _patch_text(files: OverlayFiles, changes: Changes) -> Iterator[tuple[str, str]]:
    parts = (changes.user, changes.gpus, changes.workers, changes.slots, changes.cpu, changes.memory)
    if all(part is None for part in parts):
        return
    for name in files.patch_names:
        if name in files.syntax_errors:
            raise _in_file(files.syntax_errors[name], name)
    if files.workload_patch is None:
        raise LauncherError(
            f"no patch file for a workload ({' or '.join(kinds.names())}) in the overlay: {files.folder}",
            "`patches` in kustomization.yaml names it with `path`",
        )
    name, tree = files.workload_patch
    kind = kinds.lookup(yamltext.scalar(yamltext.child(tree, "kind")) or "")
    before = after = YamlText(files.texts[name])
    for path, value in _patch_values(before, kind, tree, changes):
        after = _set(after, name, path, value)
    yield name, after.text


def _patch_values(text: YamlText, kind: Kind, tree: Node, changes: Changes) -> Iterator[tuple[Path, int | str]]:
    """Yield each path of the patch and its new value."""
    for name, count in (("workers", changes.workers), ("slots", changes.slots)):
        if count is None:
            continue
        if name not in kind.edits:
            others = " or ".join(other.name for other in kinds.KINDS if name in other.edits)
            raise UsageError(f"`--{name}` needs an {others}, this overlay holds a: {kind.name}", "use the multi-node overlay")
        yield kind.edits[name], count
    there = [role.name for role in kind.roles(mapping(text.data))]
    for role in dict.fromkeys([*kind.needs, *there]):
        pod = kind.pod_path(role)
        if changes.user is not None:
            yield (*pod, "securityContext", "runAsUser"), changes.user.uid
            yield (*pod, "securityContext", "runAsGroup"), changes.user.gid
            yield (*pod, "securityContext", "fsGroup"), changes.user.fs_group
        if kind.is_sized(role):
            resources: Path = (*pod, "containers", Named(_container(tree, pod) or kind.base_container(role)), "resources")
            yield from _resource_values(text, resources, changes)


def _container(tree: Node, pod: Path) -> str | None:
    """Return the name of the first container that the patch names."""
    containers = yamltext.find(tree, (*pod, "containers"))
    first = next(iter(containers.value), None) if isinstance(containers, SequenceNode) else None
    return yamltext.scalar(yamltext.child(first, "name"))


def _resource_values(text: YamlText, resources: Path, changes: Changes) -> Iterator[tuple[Path, int | str]]:
    limits, requests = (text.get((*resources, part)) or {} for part in ("limits", "requests"))
    if changes.gpus is not None:
        name = next((str(key) for key in [*limits, *requests] if str(key).endswith("/gpu")), DEFAULT_GPU)
        yield (*resources, "limits", name), changes.gpus
        if name in requests:
            yield (*resources, "requests", name), changes.gpus
    for name, wanted in (("cpu", changes.cpu), ("memory", changes.memory)):
        if wanted is None:
            continue
        # A request above its limit is refused by the API server; a smaller one stays as it is.
        limit, request = parse_quantity(wanted), parse_quantity(str(requests.get(name, "")))
        if limit is not None and request is not None and request > limit:
            yield (*resources, "requests", name), wanted
        yield (*resources, "limits", name), wanted


def _set(text: YamlText, file: str, path: Path, value: int | str) -> YamlText:
    try:
        return text.with_value(path, value)
    except LauncherError as error:
        raise _in_file(error, file) from error


def _in_file(error: LauncherError, file: str) -> LauncherError:
    return LauncherError(f"{file}: {error.message}", error.hint)
