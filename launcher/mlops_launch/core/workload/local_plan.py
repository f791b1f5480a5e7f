"""A rendered workload as a program of this machine: its command, environment, folders and files.

Volumes become folders, and every value or argument that equals a mount path, or lies below one, becomes that folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_launch import contract
from mlops_launch.core.workload.expansion import expand, expand_environment
from mlops_launch.core.workload.kinds import lookup
from mlops_launch.core.workload.model import Mount, Volume, Workload
from mlops_launch.errors import LauncherError

# The kinds of volume that begin empty and end with the pod.
SCRATCH_KINDS = frozenset({"emptyDir", "ephemeral"})
CHECKOUT = "checkout"  # the name of the mount at MODEL_DIR when it is no volume
CHECKOUT_HINT = "give the folder that holds common/ and models/ with `--model-dir`, or unpack one with `mlops-launch init DIR`"


@dataclass(frozen=True)
class Machine:
    """What a local run takes from this machine.

    Args:
        environment: the variables that every program needs here: PATH, HOME, LANG …
        programs: the folder of this Python's programs (python3, mpirun); first on PATH.
        checkout: the folder that holds common/ and models/; None when it was not found.
        volumes: a folder for each claim, and for each volume of a kind that keeps data.
        scratch: an empty folder that ends with the run.
        shared_memory: a folder in memory for Open MPI, ends with the run.
        is_root: mpirun wants to be told.
    """

    environment: Mapping[str, str]
    programs: Path
    checkout: Path | None
    volumes: Mapping[str, Path]
    scratch: Path
    shared_memory: Path
    is_root: bool


@dataclass(frozen=True)
class LocalMount:
    """A path of the container and the folder (or file) of this machine that stands for it."""

    path: str
    source: Path
    volume: str


@dataclass(frozen=True)
class LocalPlan:
    """What a local run starts.

    Args:
        argv: the command; its first word is looked up on the environment's PATH.
        environment: all variables of the process.
        folder: where it starts.
        mounts: the paths that were rewritten, longest first.
        folders: to be made before.
        files: to be written before.
        world_size: ranks.
        shared_memory: one of the folders; to be removed after.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    mounts: tuple[LocalMount, ...]
    folders: tuple[Path, ...]
    files: Mapping[Path, str]
    world_size: int
    shared_memory: Path

    @property
    def output(self) -> Path | None:
        """The run's output folder, or None when the workload names none."""
        value = self.environment.get(contract.OUTPUT_DIR)
        return Path(value) if value else None

    def below_checkout(self, path: str) -> bool:
        """Return whether `path` lies in the folder that holds common/ and models/."""
        return any(path.startswith(f"{mount.source}/") for mount in self.mounts if mount.volume == CHECKOUT)


def volume_names(workload: Workload) -> dict[str, bool]:
    """Return the names for `--mount`, claims and other volumes that keep data; True where the workload writes to it."""
    names: dict[str, bool] = {}
    for mount, volume in _mounted(workload):
        if volume.kind not in SCRATCH_KINDS | {"configMap"}:
            name = volume.claim or volume.name
            writes = not (mount.read_only or volume.source.get("readOnly", False))
            names[name] = names.get(name, False) or writes
    return names


def localize(workload: Workload, machine: Machine, extra: Mapping[str, str]) -> LocalPlan:
    """Return what to start here for `workload`.

    Args:
        workload: what was rendered.
        machine: this machine.
        extra: variables of the user, as if they stood last in the container's `env`.

    Raises:
        LauncherError: the workload needs something that only a cluster has.
    """
    role = workload.main
    mounts, folders, files = _mounts(workload, machine)
    variables = expand_environment(workload.environment_sources(role), [*_entries(workload, extra), *extra.items()])
    model_dir = variables.get(contract.MODEL_DIR, contract.IMAGE_MODEL_DIR)
    if _source(model_dir, mounts) is None:
        if machine.checkout is None:
            raise LauncherError(f"no folder of this machine stands for MODEL_DIR: {model_dir}", CHECKOUT_HINT)
        mounts += [LocalMount(path, machine.checkout, CHECKOUT) for path in dict.fromkeys([model_dir, contract.IMAGE_MODEL_DIR])]
    mounts.sort(key=lambda mount: len(mount.path), reverse=True)

    container = {name: rewrite(value, mounts) for name, value in variables.items()}
    temporary = rewrite("/tmp", mounts) if _source("/tmp", mounts) else str(machine.scratch / "tmp")
    environment = {**machine.environment, "TMPDIR": temporary, **container}
    path = [folder for folder in environment.get("PATH", "/usr/bin:/bin").split(":") if folder != str(machine.programs)]
    environment["PATH"] = ":".join([str(machine.programs), *path])
    one_host = lookup(workload.kind).on_one_host(workload, machine.scratch, machine.shared_memory, machine.is_root)
    environment |= one_host.environment
    folders += [Path(temporary), machine.scratch, machine.shared_memory]
    working_folder = str(role.container.get("workingDir") or model_dir)
    return LocalPlan(
        argv=tuple(rewrite(expand(word, variables), mounts) for word in role.command),
        environment=environment,
        folder=Path(rewrite(working_folder, mounts)),
        mounts=tuple(mounts),
        folders=tuple(dict.fromkeys(folders)),
        files={**files, **one_host.files},
        world_size=one_host.ranks,
        shared_memory=machine.shared_memory,
    )


def rewrite(value: str, mounts: list[LocalMount]) -> str:
    """Return `value` with a mount path at its head replaced; `mounts` longest first.

    >>> rewrite("/outputs/a", [LocalMount("/outputs", Path("/home/me/runs"), "outputs")])
    '/home/me/runs/a'
    >>> rewrite("/outputs2/a", [LocalMount("/outputs", Path("/home/me/runs"), "outputs")])
    '/outputs2/a'
    """
    mount = _source(value, mounts)
    return value if mount is None else f"{mount.source}{value[len(mount.path) :]}"


def _source(value: str, mounts: list[LocalMount]) -> LocalMount | None:
    """Return the longest mount at or above the path `value`."""
    above = [mount for mount in mounts if value == mount.path or value.startswith(mount.path + "/")]
    return max(above, key=lambda mount: len(mount.path), default=None)


def _mounted(workload: Workload) -> list[tuple[Mount, Volume]]:
    """Return each mount with its volume: the main role's first, then those of the roles whose containers the ranks would be in."""
    found = []
    for role in workload.roles:
        found += [(mount, volume) for mount in role.mounts if (volume := role.volume_of(mount)) is not None]
    return found


def _mounts(workload: Workload, machine: Machine) -> tuple[list[LocalMount], list[Path], dict[Path, str]]:
    """Return the mounts, the folders to make and the files to write; one mount a path, the first role's."""
    mounts: dict[str, LocalMount] = {}
    folders: list[Path] = []
    files: dict[Path, str] = {}
    for mount, volume in _mounted(workload):
        path = mount.path.rstrip("/")
        if path in mounts or not path:
            continue
        if volume.kind in SCRATCH_KINDS | {"configMap"}:
            name, source = volume.name, machine.scratch / "volumes" / volume.name
        else:
            name = volume.claim or volume.name
            source = machine.volumes[name]
        folders.append(source)
        if volume.kind == "configMap":
            data = workload.config_maps.get(str(volume.source.get("name")), {})
            keys = {item["key"]: item["path"] for item in volume.source.get("items") or []} or {key: key for key in data}
            files |= {source / target: data[key] for key, target in keys.items() if key in data}
        mounts[path] = LocalMount(path, source / mount.sub_path if mount.sub_path else source, name)
    return list(mounts.values()), folders, files


def _entries(workload: Workload, extra: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the list `env`, the pod's own fields filled in.

    Raises:
        LauncherError: a value comes from somewhere that is not here, and the user gives none.
    """
    fields = {"metadata.name": workload.name, "metadata.namespace": workload.namespace or "default"}
    entries = []
    for entry in workload.main.container.get("env") or []:
        name, origin = str(entry["name"]), entry.get("valueFrom")
        if not origin or "value" in entry:
            entries.append((name, str(entry.get("value") or "")))
        elif (path := (origin.get("fieldRef") or {}).get("fieldPath")) in fields:
            entries.append((name, fields[path]))
        elif name not in extra:
            raise LauncherError(f"a variable's value comes from the cluster: {name}", f"give one for the local run: `--env {name}=VALUE`")
    return entries
