"""A small dataset, and the trainer as the processes that a user starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models.forks import Forks

ROOT = Path(__file__).parents[2]
MAIN = ROOT / "models" / "resnet50v1_5" / "main.py"

# The network for mechanics: everything else is as in a real training.
TINY = [
    "--model",
    "tiny",
    "--image-size",
    "16",
    "--augment",
    "none",
    "--epochs",
    "2",
    "--global-batch",
    "50",
    "--log-steps",
    "1",
    "--no-summaries",
]


@dataclass(frozen=True)
class Ended:
    """A trainer that ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def error(self) -> str:
        """The line that names what is wrong."""
        return next((line for line in self.err.splitlines() if line.startswith("error: ")), "")


class Trainer:
    """Starts the trainer as its own process, or as ranks of a real mpirun."""

    def __init__(self, dataset: Path, forks: Forks) -> None:
        self.dataset, self._forks = dataset, forks

    def command(self, flags: Sequence[str], ranks: int | None) -> list[str]:
        program = [sys.executable, str(MAIN), *flags]
        if ranks is None:
            return program
        mpirun = str(Path(sys.executable).parent / "mpirun")
        return [mpirun, "-n", str(ranks), "--oversubscribe", "--bind-to", "none", *program]

    def environment(self, output: Path, extra: Mapping[str, str]) -> dict[str, str]:
        root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"} if os.geteuid() == 0 else {}
        # As the overlay has it: a rank that waits leaves the cores to the others.
        idle = {"OMPI_MCA_mpi_yield_when_idle": "1"}
        folders = {"DATASET_DIR": str(self.dataset), "OUTPUT_DIR": str(output), "PYTHONPATH": str(ROOT / "launcher")}
        return without_ranks() | root | idle | folders | dict(extra)

    def run(self, output: Path, *flags: str, ranks: int | None = None, **extra: str) -> Ended:
        """Run to the end; a single process is forked from one that has imported TensorFlow."""
        if ranks is not None:
            return self.run_anew(output, *flags, ranks=ranks, **extra)
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            code = self._forks.run([str(MAIN), *flags], self.environment(output, extra), out, err, timeout=300)
            out.seek(0)
            err.seek(0)
            return Ended(code, out.read(), err.read())

    def run_anew(self, output: Path, *flags: str, ranks: int | None = None, **extra: str) -> Ended:
        """Run to the end, as a user starts it."""
        ended = subprocess.run(self.command(flags, ranks), env=self.environment(output, extra), capture_output=True, text=True, timeout=300)
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def stop_after(self, step: int, number: signal.Signals, output: Path, *flags: str, ranks: int | None = None, **extra: str) -> Ended:
        """Run until the log shows `step`, send the signal, and wait for the end."""
        process = subprocess.Popen(
            self.command(flags, ranks), env=self.environment(output, extra), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith(f"step={step}/"):
                process.send_signal(number)
                break
        out, err = process.communicate(timeout=120)
        return Ended(process.returncode, "".join(lines) + out, err)


def without_ranks() -> dict[str, str]:
    """This process's environment, without what an mpirun or a training has put there."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MLOPS_", "OMPI_", "PMIX_", "PRTE_"))}


@pytest.fixture(scope="session")
def trainer(digits: Path) -> Iterator[Trainer]:
    with Forks(without_ranks() | {"PYTHONPATH": str(ROOT / "launcher")}) as forks:
        yield Trainer(digits, forks)


def newest_checkpoint(output: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the tensors of the newest checkpoint by name."""
    from safetensors.numpy import load_file

    return dict(load_file(max((output / "checkpoints").glob("step-*.safetensors"))))


def metrics(output: Path, kind: str) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if record["kind"] == kind]


def traced(folder: Path) -> dict[int, list[int]]:
    """Return the record numbers that all ranks together consumed, by step."""
    steps: dict[int, list[int]] = {}
    for path in folder.glob("rank-*.jsonl"):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            steps.setdefault(entry["step"], []).extend(entry["records"])
    return steps
