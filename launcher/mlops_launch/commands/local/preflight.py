"""What would end a run on this machine soon after its start, looked for before: packages that are missing, data that are not there."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlops_launch import contract
from mlops_launch.clients.process import Processes
from mlops_launch.commands.overlay.package import package_of
from mlops_launch.contract import ExitCode
from mlops_launch.core.settings.imports import packages_of
from mlops_launch.core.settings.model import Model, Package
from mlops_launch.core.workload.local_plan import LocalPlan
from mlops_launch.core.workload.plan import Plan
from mlops_launch.errors import LauncherError

HOROVOD: Final = "horovod"
MPI4PY: Final = "mpi4py"
MPIRUN: Final = "mpirun"
# How ranks talk, by the setting `comm`: the packages of which one is enough.
COMM_PACKAGES: Final = {"horovod": (HOROVOD,), "mpi4py": (MPI4PY,), "auto": (HOROVOD, MPI4PY)}
LOOK: Final = "import importlib.util as u, sys; print(*(name for name in sys.argv[1:] if u.find_spec(name) is None))"
RECORDS: Final = ("train-*", "val-*", "valid-*", "validation-*", "manifest.json")  # common/data/shards.py


class NoData(LauncherError):
    """The dataset folder holds none; with the exit code that the trainer would end with."""

    exit_code = ExitCode.NO_DATA


@dataclass(frozen=True)
class Trainer:
    """The program of the package that a plan starts.

    Args:
        folder: the package's: common/ and models/.
        package: what it says about models and scripts.
        model: which of them.
        variables: what the program reads, as this machine has it.
    """

    folder: Path
    package: Package
    model: Model
    variables: Mapping[str, str]

    def setting(self, name: str) -> object:
        """Return the value of a setting, or None when it cannot be known."""
        return self.package.effective(self.model, name, self.variables, self.variables.get(contract.MODEL_SCRIPT))

    def packages(self) -> frozenset[str]:
        """Return the packages that the program needs; none where its script may prepare another Python."""
        script = self.folder / "quickstart" / self.variables.get(contract.MODEL_SCRIPT, "")
        if not _only_runs_python(script):
            return frozenset()
        files = {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for part in ("common", "models")
            for path in _sources(self.folder / part)
        }
        return packages_of(f"models/{self.model.name}/main.py", files)


def require_what_it_needs(plan: Plan, local: LocalPlan, overlay: Path, processes: Processes) -> None:
    """Look whether a run has what it needs of this machine.

    Args:
        plan: of the overlay.
        local: what is to be started.
        overlay: the folder.
        processes: runs Python.

    Raises:
        LauncherError: something is missing; the hint can be pasted.
    """
    trainer = _trainer(local, overlay) if plan.trains else None
    require_packages(local, trainer, processes)
    require_data(trainer)


def _trainer(local: LocalPlan, overlay: Path) -> Trainer | None:
    """Return the program of the package that is started; None where the package cannot be read or does not have it."""
    folder = Path(local.main.environment.get(contract.MODEL_DIR, ""))
    try:
        package = package_of(overlay, folder)
    except LauncherError:
        return None
    model = package.model_of(local.main.environment)
    return None if model is None else Trainer(folder, package, model, local.main.environment)


def require_packages(plan: LocalPlan, trainer: Trainer | None, processes: Processes) -> None:
    """Look whether what the plan starts is installed in this Python, without importing it.

    Args:
        plan: what is to be started.
        trainer: the program of the package that it starts; None when it starts another one, of which only mpirun is known.
        processes: runs that Python.

    Raises:
        LauncherError: something is missing; the hint can be pasted.
    """
    missing = {MPIRUN} if MPIRUN in plan.main.argv and shutil.which(MPIRUN, path=plan.main.environment["PATH"]) is None else set()
    if trainer is not None:
        needed = trainer.packages()
        ways = COMM_PACKAGES.get(str(trainer.setting("comm")), ()) if MPIRUN in plan.main.argv else ()
        absent = _absent(needed, plan, processes)
        missing |= absent - {HOROVOD, MPI4PY}
        if ways and not set(ways) & needed - absent and set(ways) <= needed:
            missing.add(ways[0])
    if missing:
        raise LauncherError(f"what this run needs is not installed here: {', '.join(sorted(missing))}", _hint(missing))


def require_data(trainer: Trainer | None) -> None:
    """Look whether there are records in the dataset folder of a trainer that reads some.

    Raises:
        NoData: there are none, as the trainer would say some time later.
    """
    folder = "" if trainer is None or trainer.setting("synthetic") is not False else str(trainer.setting("dataset_dir") or "")
    if not folder:
        return
    if not Path(folder).is_dir():
        raise NoData(f"no such dataset folder: {folder}", contract.NO_DATA_HINT)
    if not any(True for pattern in RECORDS for _ in Path(folder).glob(pattern)):
        raise NoData(f"no files `train-*` or `validation-*` in the dataset folder: {folder}", contract.NO_DATA_HINT)


def _absent(names: Collection[str], plan: LocalPlan, processes: Processes) -> frozenset[str]:
    """Return which packages the Python of the plan does not find; none when that Python cannot be asked."""
    python = shutil.which("python3", path=plan.main.environment["PATH"])
    if not names or python is None:
        return frozenset()
    asked = processes.run([python, "-c", LOOK, *sorted(names)], env=plan.main.environment, check=False)
    return frozenset(asked.stdout.split()) if asked.returncode == 0 else frozenset()


def _hint(missing: Collection[str]) -> str:
    without_horovod = "without Horovod, which has to be built (`make venv` in a checkout): `--env MLOPS_COMM=mpi4py`"
    if set(missing) == {HOROVOD}:
        return without_horovod
    install = f"{shlex.quote(sys.executable)} -m pip install 'mlops-launch[train]'"
    return f"{install}\n{without_horovod}" if HOROVOD in missing else install


def _only_runs_python(script: Path) -> bool:
    """Return whether a script does nothing but start `python3`, the first one on PATH."""
    try:
        lines = script.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    commands = [line.removeprefix("exec ") for line in map(str.strip, lines) if line and not line.startswith("#")]
    return len(commands) == 1 and commands[0].startswith("python3 ")


def _sources(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.py") if path.is_file()]
