"""What stands on this machine for a workload's volumes: folders, and the files of ConfigMaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_launch.core.workload.model import Mount, Volume, Workload

# The kinds of volume that begin empty and end with the pod.
SCRATCH_KINDS = frozenset({"emptyDir", "ephemeral"})


@dataclass(frozen=True)
class LocalMount:
    """A path of the container and the folder (or file) of this machine that stands for it."""

    path: str
    source: Path
    volume: str


def volume_names(workload: Workload) -> dict[str, bool]:
    """Return the names for `--mount`, claims and other volumes that keep data; True where the workload writes to it."""
    names: dict[str, bool] = {}
    for mount, volume in _mounted(workload):
        if volume.kind not in SCRATCH_KINDS | {"configMap"}:
            name = volume.claim or volume.name
            writes = not (mount.read_only or volume.source.get("readOnly", False))
            names[name] = names.get(name, False) or writes
    return names


def rewrite(value: str, mounts: list[LocalMount]) -> str:
    """Return `value` with a mount path at its head replaced; `mounts` longest first.

    >>> rewrite("/outputs/a", [LocalMount("/outputs", Path("/home/me/runs"), "outputs")])
    '/home/me/runs/a'
    >>> rewrite("/outputs2/a", [LocalMount("/outputs", Path("/home/me/runs"), "outputs")])
    '/outputs2/a'
    """
    mount = mount_of(value, mounts)
    return value if mount is None else f"{mount.source}{value[len(mount.path) :]}"


def mount_of(value: str, mounts: list[LocalMount]) -> LocalMount | None:
    """Return the longest mount at or above the path `value`."""
    above = [mount for mount in mounts if value == mount.path or value.startswith(mount.path + "/")]
    return max(above, key=lambda mount: len(mount.path), default=None)


def _mounted(workload: Workload) -> list[tuple[Mount, Volume]]:
    """Return each mount with its volume: the main role's first, then those of the roles whose containers the ranks would be in."""
    found = []
    for role in workload.roles:
        found += [(mount, volume) for mount in role.mounts if (volume := role.volume_of(mount)) is not None]
    return found


def mounts_of(workload: Workload, scratch: Path, volumes: Mapping[str, Path]) -> tuple[list[LocalMount], list[Path], dict[Path, str]]:
    """Return the mounts, the folders to make and the files to write; one mount a path, the first role's."""
    mounts: dict[str, LocalMount] = {}
    folders: list[Path] = []
    files: dict[Path, str] = {}
    for mount, volume in _mounted(workload):
        path = mount.path.rstrip("/")
        if path in mounts or not path:
            continue
        if volume.kind in SCRATCH_KINDS | {"configMap"}:
            name, source = volume.name, scratch / "volumes" / volume.name
        else:
            name = volume.claim or volume.name
            source = volumes[name]
        folders.append(source)
        if volume.kind == "configMap":
            data = workload.config_maps.get(str(volume.source.get("name")), {})
            keys = {item["key"]: item["path"] for item in volume.source.get("items") or []} or {key: key for key in data}
            files |= {source / target: data[key] for key, target in keys.items() if key in data}
        mounts[path] = LocalMount(path, source / mount.sub_path if mount.sub_path else source, name)
    return list(mounts.values()), folders, files
