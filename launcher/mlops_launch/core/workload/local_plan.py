"""A rendered workload as a program of this machine: its command, environment, folders and files.

Volumes become folders, and every value or argument that equals a mount path, or lies below one, becomes that folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_launch import contract
from mlops_launch.core.workload.expansion import expand, expand_environment
from mlops_launch.core.workload.kinds import lookup
from mlops_launch.core.workload.local_mounts import LocalMount, mount_of, mounts_of, rewrite
from mlops_launch.core.workload.model import Here, OneHost, PodHere, Role, Workload, is_integer
from mlops_launch.errors import LauncherError

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
        free_port: returns a TCP port of loopback on which nobody listens, another one each time.
    """

    environment: Mapping[str, str]
    programs: Path
    checkout: Path | None
    volumes: Mapping[str, Path]
    scratch: Path
    shared_memory: Path
    is_root: bool
    free_port: Callable[[], int]


@dataclass(frozen=True)
class LocalProcess:
    """A program to be started.

    Args:
        name: of its pod.
        argv: the command; its first word is looked up on the environment's PATH.
        environment: all variables of the process.
        folder: where it starts.
        grace: seconds to save, after it was asked to stop.
        counts: success waits for it.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    grace: float = 30.0
    counts: bool = True


@dataclass(frozen=True)
class LocalPlan:
    """What a local run starts.

    Args:
        processes: what is started, the one whose output is the log first; any other ends with it.
        any_success: the first of them that counts and ends with 0 is enough.
        mounts: the paths that were rewritten, longest first.
        folders: to be made before.
        files: to be written before.
        world_size: ranks.
        scratch: one of the folders; ends with the run.
        shared_memory: one of the folders; to be removed after.
    """

    processes: tuple[LocalProcess, ...]
    mounts: tuple[LocalMount, ...]
    folders: tuple[Path, ...]
    files: Mapping[Path, str]
    world_size: int
    scratch: Path
    shared_memory: Path
    any_success: bool = False

    @property
    def main(self) -> LocalProcess:
        """The process whose output is the log."""
        return self.processes[0]

    @property
    def output(self) -> Path | None:
        """The run's output folder, or None when the workload names none."""
        value = self.main.environment.get(contract.OUTPUT_DIR)
        return Path(value) if value else None

    def below_checkout(self, path: str) -> bool:
        """Return whether `path` lies in the folder that holds common/ and models/."""
        return any(path.startswith(f"{mount.source}/") for mount in self.mounts if mount.volume == CHECKOUT)


def localize(workload: Workload, machine: Machine, extra: Mapping[str, str]) -> LocalPlan:
    """Return what to start here for `workload`.

    Args:
        workload: what was rendered.
        machine: this machine.
        extra: variables of the user, as if they stood last in the container's `env`.

    Raises:
        LauncherError: the workload needs something that only a cluster has.
    """
    here = Here(machine.scratch, machine.shared_memory, machine.is_root, machine.free_port)
    one_host = lookup(workload.kind).on_one_host(workload, here)
    pods = one_host.pods or (_only_pod(workload),)
    mounts, folders, files = mounts_of(workload, machine.scratch, machine.volumes)
    model_dir = _variables(workload, pods[0], extra).get(contract.MODEL_DIR, contract.IMAGE_MODEL_DIR)
    if mount_of(model_dir, mounts) is None:
        if machine.checkout is None:
            raise LauncherError(f"no folder of this machine stands for MODEL_DIR: {model_dir}", CHECKOUT_HINT)
        mounts += [LocalMount(path, machine.checkout, CHECKOUT) for path in dict.fromkeys([model_dir, contract.IMAGE_MODEL_DIR])]
    mounts.sort(key=lambda mount: len(mount.path), reverse=True)
    temporary = rewrite("/tmp", mounts) if mount_of("/tmp", mounts) else str(machine.scratch / "tmp")
    base = {**machine.environment, "TMPDIR": temporary}
    folders += [Path(temporary), machine.scratch, machine.shared_memory]
    return LocalPlan(
        processes=tuple(_process(workload, pod, extra, base, machine.programs, mounts, one_host) for pod in pods),
        mounts=tuple(mounts),
        folders=tuple(dict.fromkeys(folders)),
        files={**files, **one_host.files},
        world_size=one_host.ranks,
        scratch=machine.scratch,
        shared_memory=machine.shared_memory,
        any_success=one_host.any_success,
    )


def _only_pod(workload: Workload) -> PodHere:
    fields = {"metadata.name": workload.name, "metadata.namespace": workload.namespace or "default"}
    return PodHere(workload.name, workload.main.name, fields)


def _variables(workload: Workload, pod: PodHere, extra: Mapping[str, str]) -> dict[str, str]:
    """Return a pod's variables, those of the user last."""
    role = _role(workload, pod)
    return expand_environment(workload.environment_sources(role), [*_entries(role, pod, extra), *pod.environment.items(), *extra.items()])


def _process(
    workload: Workload,
    pod: PodHere,
    extra: Mapping[str, str],
    base: Mapping[str, str],
    programs: Path,
    mounts: list[LocalMount],
    one_host: OneHost,
) -> LocalProcess:
    """Return a pod as a program: `base` are the variables that every program needs here, `programs` is first on PATH."""
    role, variables = _role(workload, pod), _variables(workload, pod, extra)

    def here(value: str) -> str:
        value = rewrite(value, mounts)
        for name, address in one_host.names.items():
            value = value.replace(name, address)
        return value

    environment = {**base, **{name: here(value) for name, value in variables.items()}}
    path = [folder for folder in environment.get("PATH", "/usr/bin:/bin").split(":") if folder != str(programs)]
    environment["PATH"] = ":".join([str(programs), *path])
    working_folder = str(role.container.get("workingDir") or variables.get(contract.MODEL_DIR, contract.IMAGE_MODEL_DIR))
    grace = role.pod.get("terminationGracePeriodSeconds")
    return LocalProcess(
        pod.name,
        tuple(here(expand(word, variables)) for word in role.command),
        {**environment, **one_host.environment},
        Path(rewrite(working_folder, mounts)),
        float(grace or 0) if is_integer(grace) else 30.0,
        pod.counts,
    )


def _role(workload: Workload, pod: PodHere) -> Role:
    return next(role for role in workload.roles if role.name == pod.role)


def _entries(role: Role, pod: PodHere, extra: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the list `env`, the pod's own fields filled in.

    Raises:
        LauncherError: a value comes from somewhere that is not here, and neither the user nor the pod's contract gives one.
    """
    entries = []
    for entry in role.container.get("env") or []:
        name, origin = str(entry["name"]), entry.get("valueFrom")
        if not origin or "value" in entry:
            entries.append((name, str(entry.get("value") or "")))
        elif (path := str((origin.get("fieldRef") or {}).get("fieldPath"))) in pod.fields:
            entries.append((name, pod.fields[path]))
        elif name not in extra and name not in pod.environment:
            raise LauncherError(f"a variable's value comes from the cluster: {name}", f"give one for the local run: `--env {name}=VALUE`")
    return entries
