"""Several ranks under a real mpirun, with Horovod and with mpi4py."""

import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mlops_launch.contract import ExitCode
from tests.models.conftest import TINY, Trainer, metrics, newest_checkpoint, traced
from tests.models.test_training import STEPS, TRAIN_IMAGES, VALIDATION_IMAGES

LIBRARIES = ["horovod", "mpi4py"]

# One step of the full network, its batch norm on the moving statistics, so that images do not depend on each other.
# Weight decay and momentum act after the sum; the momentum after one step is the gradient itself.
ONE_STEP = [
    "--preset", "demo", "--max-steps", "1", "--batch-norm", "moving", "--no-zero-gamma", "--weight-decay", "0",
    "--evaluation-epochs", "0", "--no-summaries",
]  # fmt: skip


# One step: the mean of the ranks' means is the mean over the whole batch, but for the odd image of 49.
TINY_STEP = [*TINY, "--max-steps", "1", "--evaluation-epochs", "0"]


@pytest.fixture(scope="module")
def whole_batch_statistics(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    output = tmp_path_factory.mktemp("whole") / "run"
    assert trainer.run(output, *TINY_STEP, "--comm", "single").code == 0
    return newest_checkpoint(output)


@pytest.fixture(scope="module")
def whole_batch_gradient(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    output = tmp_path_factory.mktemp("whole") / "run"
    ended = trainer.run(output, *ONE_STEP, "--comm", "single")
    assert ended.code == 0, ended.err
    return {name: value for name, value in newest_checkpoint(output).items() if name.startswith("momentum/")}


@pytest.mark.parametrize("library", LIBRARIES)
def test_two_ranks_with_half_the_batch_take_the_gradient_step_of_one_with_all(
    trainer: Trainer, whole_batch_gradient: dict[str, np.ndarray], tmp_path: Path, library: str
) -> None:
    ended = trainer.run(tmp_path / "run", *ONE_STEP, "--comm", library, ranks=2)
    assert ended.code == 0, ended.err
    assert ended.lines[0].startswith(f"start comm={library} world_size=2 ")
    halves = newest_checkpoint(tmp_path / "run")
    difference = {
        name: float(np.linalg.norm(halves[name] - gradient) / np.linalg.norm(gradient)) for name, gradient in whole_batch_gradient.items()
    }
    assert len(difference) == 161
    assert max(difference.values()) < 1e-4, max(difference.items(), key=lambda item: item[1])


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_image_is_seen_once_an_epoch_and_evaluated_once(trainer: Trainer, tmp_path: Path, library: str) -> None:
    ended = trainer.run(tmp_path / "run", *TINY, "--trace-samples", str(tmp_path / "trace"), "--comm", library, ranks=2)
    assert ended.code == 0, ended.err
    steps = traced(tmp_path / "trace")
    assert sorted(steps) == list(range(1, STEPS + 1))
    for epoch in (steps_of_epoch(steps, 1), steps_of_epoch(steps, 2)):
        assert sorted(epoch) == list(range(TRAIN_IMAGES))
    assert [e["images"] for e in metrics(tmp_path / "run", "evaluation")] == [VALIDATION_IMAGES, VALIDATION_IMAGES]


def test_stopped_with_two_ranks_and_resumed_with_one_every_image_is_still_seen_once_an_epoch(trainer: Trainer, tmp_path: Path) -> None:
    trace = ["--trace-samples", str(tmp_path / "trace")]
    stopped = trainer.stop_after(40, signal.SIGUSR1, tmp_path / "run", *TINY, *trace, "--comm", "horovod", ranks=2)
    assert stopped.code == ExitCode.INTERRUPTED
    resumed = trainer.run(tmp_path / "run", *TINY, *trace, "--comm", "single")
    assert resumed.code == 0, resumed.err
    steps = traced(tmp_path / "trace")
    assert len(list((tmp_path / "trace").iterdir())) == 3
    for epoch in (1, 2):
        assert Counter(steps_of_epoch(steps, epoch)) == Counter(range(TRAIN_IMAGES))


def test_a_failing_rank_ends_all_of_them_with_its_own_code(trainer: Trainer, tmp_path: Path) -> None:
    ended = trainer.run(tmp_path / "run", *TINY, "--dataset-dir", str(tmp_path / "nothing"), "--comm", "horovod", ranks=2)
    assert ended.code == ExitCode.NO_DATA
    # Both ranks meet the error, one says it.
    assert ended.err.count("error: ") == 1


def test_ranks_on_one_host_where_two_were_asked_for(trainer: Trainer, tmp_path: Path) -> None:
    ended = trainer.run(tmp_path / "run", *TINY, "--comm", "mpi4py", ranks=2, MLOPS_WORKERS="2", MLOPS_SLOTS_PER_WORKER="1")
    assert ended.code == ExitCode.CONFIGURATION
    assert ended.error.startswith("error: asked for 1 ranks on each of 2 hosts, found: 2 on ")


def test_a_global_batch_that_ranks_cannot_share(trainer: Trainer, tmp_path: Path) -> None:
    ended = trainer.run(tmp_path / "run", *TINY, "--comm", "mpi4py", "--global-batch", "51", ranks=2)
    assert ended.code == ExitCode.CONFIGURATION
    assert ended.error == "error: a global batch of 51 images cannot be divided among 2 ranks"


@pytest.mark.parametrize("library", LIBRARIES)
def test_moving_statistics_in_a_checkpoint_are_the_mean_over_ranks(
    trainer: Trainer, whole_batch_statistics: dict[str, np.ndarray], tmp_path: Path, library: str
) -> None:
    assert trainer.run(tmp_path / "run", *TINY_STEP, "--comm", library, ranks=2).code == 0
    averaged, whole = newest_checkpoint(tmp_path / "run")["statistics/stem/mean"], whole_batch_statistics["statistics/stem/mean"]
    # 24/49 and 25/49 against a half each moves the mean by a fiftieth of the ranks' difference; one rank's own mean
    # differs by half of it.
    assert np.linalg.norm(averaged - whole) < 0.02 * np.linalg.norm(whole)


def steps_of_epoch(steps: dict[int, list[int]], epoch: int) -> list[int]:
    per_epoch = STEPS // 2
    return [record for step in range((epoch - 1) * per_epoch + 1, epoch * per_epoch + 1) for record in steps[step]]
