"""The trainer under mpirun where ranks see different data or were given different settings: they end before the first step, and in time."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from common.data.records import FOOTER, HEADER, frame, scan
from mlops_launch.contract import ExitCode
from tests.models.conftest import TINY, Ended, Trainer

# From the first line of the log: what came before is the start of Python and TensorFlow.
SECONDS = 20


def run_apart(trainer: Trainer, tmp_path: Path, library: str, more: str = "") -> tuple[Ended, float]:
    """Run two ranks, each with a dataset folder of its own, `data0` and `data1`, and with `more` flags, a shell's words.

    Returns how they ended, and how many seconds after the first line.
    """
    command = trainer.command([*TINY, "--comm", library], ranks=2)
    program = command.index(next(part for part in command if "python" in Path(part).name))
    script = f'exec "$@" --dataset-dir {tmp_path}/data$OMPI_COMM_WORLD_RANK {more}'
    command[program:program] = ["sh", "-c", script, "sh"]
    environment = trainer.environment(tmp_path / "run", {})
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = process.stdout.readline()
    begin = time.monotonic()
    try:
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    return Ended(process.returncode, first + out, err), time.monotonic() - begin


def relabel_one(folder: Path) -> None:
    """Change the bytes of one record and its checksum, as a corrected label does."""
    path = folder / "train-00002-of-00004"
    data, length = path.read_bytes(), int(scan(path).lengths[0])
    record = bytearray(data[HEADER : HEADER + length])
    record[-1] ^= 1
    path.write_bytes(frame(bytes(record)) + data[HEADER + length + FOOTER :])


@pytest.mark.parametrize(
    ("library", "damage", "what"),
    [
        ("horovod", relabel_one, "the same number of records, but other content or another order of them: train"),
        ("horovod", lambda folder: (folder / "train-00003-of-00004").unlink(), "a record file of the manifest is missing: "),
        ("mpi4py", shutil.rmtree, "no such dataset folder: "),
    ],
)
def test_ranks_with_different_data_end_with_65_and_the_name_of_the_host(
    trainer: Trainer, tmp_path: Path, library: str, damage: object, what: str
) -> None:
    for rank in (0, 1):
        shutil.copytree(trainer.dataset, tmp_path / f"data{rank}")
    damage(tmp_path / "data1")  # type: ignore[operator]
    ended, seconds = run_apart(trainer, tmp_path, library)
    assert ended.code == ExitCode.BAD_DATA, ended.err
    assert ended.err.count("error: ") == 1
    assert ended.error.startswith("error: rank 1 on host ") and what in ended.error
    assert not any(line.startswith(("plan ", "step=")) for line in ended.lines)
    assert seconds < SECONDS


@pytest.mark.parametrize(
    ("library", "flags", "what"),
    [
        ("horovod", ["--synthetic --classes 10", ""], "classes 10 expected: 0, synthetic True expected: False"),
        ("horovod", ["", "--base-learning-rate 0.3"], "base_learning_rate 0.256 expected: 0.3"),
        # Neither alone could be divided among two ranks, nor would the other number of steps ever meet this one.
        ("mpi4py", ["", "--global-batch 51 --epochs 9"], "epochs 2 expected: 9, global_batch 50 expected: 51"),
    ],
)
def test_ranks_with_different_settings_end_with_78_and_the_names_of_host_and_setting(
    trainer: Trainer, tmp_path: Path, library: str, flags: list[str], what: str
) -> None:
    for rank in (0, 1):
        shutil.copytree(trainer.dataset, tmp_path / f"data{rank}")
    ended, seconds = run_apart(trainer, tmp_path, library, f"$([ $OMPI_COMM_WORLD_RANK = 0 ] && echo {flags[0]} || echo {flags[1]})")
    assert ended.code == ExitCode.CONFIGURATION, ended.err
    assert ended.err.count("error: ") == 1
    host = socket.gethostname()
    assert ended.error == f"error: rank 1 on host {host} does not have the settings of rank 0 on host {host}: {what}"
    assert not any(line.startswith(("plan ", "step=")) for line in ended.lines)
    assert seconds < SECONDS


def test_what_one_rank_alone_cannot_read_is_told_with_its_host(trainer: Trainer, tmp_path: Path) -> None:
    """Damaged behind its headers and footers, which is all that is compared before the first step."""
    for rank in (0, 1):
        shutil.copytree(trainer.dataset, tmp_path / f"data{rank}")
    path = tmp_path / "data1" / "train-00002-of-00004"
    data, at = bytearray(path.read_bytes()), 0
    for length in scan(path).lengths:
        data[at + HEADER] ^= 1
        at += HEADER + int(length) + FOOTER
    path.write_bytes(data)
    ended, _ = run_apart(trainer, tmp_path, "horovod")
    assert ended.code == ExitCode.BAD_DATA, ended.err
    assert ended.error.startswith(f"error: rank 1 on host {socket.gethostname()}: `{path}` is damaged, wrong checksum: record ")


def test_a_batch_larger_than_the_dataset_is_refused(trainer: Trainer, tmp_path: Path) -> None:
    ended = trainer.run(tmp_path / "run", *TINY, "--global-batch", "4096")
    assert (ended.code, ended.error) == (
        ExitCode.CONFIGURATION,
        "error: the global batch is larger than the 1412 images of an epoch: 4096",
    )
