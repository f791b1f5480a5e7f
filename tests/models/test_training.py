"""The trainer as one process: what it writes, how it stops, resumes and refuses."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlops_launch.contract import ExitCode, parse_fields
from tests.models.conftest import ROOT, TINY, Trainer, metrics, newest_checkpoint

# scikit-learn's digits as this project splits them, in batches of 50.
TRAIN_IMAGES, VALIDATION_IMAGES, STEPS = 1412, 385, 58


@pytest.fixture(scope="module")
def finished(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed, deterministic training of two epochs."""
    output = tmp_path_factory.mktemp("finished") / "run"
    ended = trainer.run_anew(output, *TINY, "--deterministic", "--summaries")
    assert (ended.code, ended.err) == (0, "")
    (output / "stdout").write_text(ended.out)
    return output


class TestOutput:
    def test_the_first_line_names_the_ranks_and_the_last_the_result(self, finished: Path) -> None:
        lines = (finished / "stdout").read_text().splitlines()
        assert lines[0].startswith("start comm=single world_size=1 ranks=0:")
        assert lines[1].startswith("plan model=tiny ")
        assert lines[-1].startswith("result top1=")
        result = parse_fields(lines[-1])
        assert (result["step"], result["epochs"], result["world_size"]) == (str(STEPS), "2", "1")

    def test_a_step_s_line_holds_what_the_contract_says(self, finished: Path) -> None:
        line = next(line for line in (finished / "stdout").read_text().splitlines() if line.startswith("step=30/"))
        assert list(parse_fields(line)) == ["step", "epoch", "loss", "top1", "lr", "images_per_s", "eta_s"]
        assert parse_fields(line)["epoch"] == "2"

    def test_metrics_hold_every_step_once_and_an_evaluation_an_epoch_over_all_images(self, finished: Path) -> None:
        assert [record["step"] for record in metrics(finished, "train")] == list(range(1, STEPS + 1))
        evaluations = metrics(finished, "evaluation")
        assert [(e["step"], e["epoch"], e["images"]) for e in evaluations] == [(29, 1, VALIDATION_IMAGES), (58, 2, VALIDATION_IMAGES)]
        assert evaluations[-1]["loss"] < evaluations[0]["loss"]

    def test_top1_and_top5_count_images(self, finished: Path) -> None:
        evaluation = metrics(finished, "evaluation")[-1]
        for name in ("top1", "top5"):
            hits = evaluation[name] * VALIDATION_IMAGES
            assert hits == pytest.approx(round(hits))
        assert evaluation["top1"] <= evaluation["top5"] <= 1

    def test_tensorboard_reads_the_summaries(self, finished: Path) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(finished / "tensorboard"), size_guidance={"tensors": 0})
        events.Reload()
        assert {"train/loss", "train/lr", "evaluation/top1"} <= set(events.Tags()["tensors"])
        assert len(events.Tensors("train/loss")) == STEPS

    def test_evaluations_and_checkpoints_do_not_count_for_the_rate(self, finished: Path) -> None:
        rates = [record["images_per_s"] for record in metrics(finished, "train")]
        # The first step holds the graph's compilation and has no time of its own.
        assert rates[0] == 0
        # An evaluation and a checkpoint take as long as many steps; the step after them takes its own time only.
        assert rates[29] > sorted(rates)[len(rates) // 2] / 5

    def test_a_second_call_says_that_it_is_finished_and_repeats_the_result(self, trainer: Trainer, finished: Path) -> None:
        again = trainer.run(finished, *TINY, "--deterministic")
        assert again.code == 0
        assert again.lines[-1] == (finished / "stdout").read_text().splitlines()[-1]
        assert "this training is finished; set another OUTPUT_DIR to train anew" in again.err


class TestResume:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
    def test_stopped_in_an_epoch_and_resumed_the_weights_are_bit_identical(
        self, trainer: Trainer, finished: Path, tmp_path: Path, number: signal.Signals
    ) -> None:
        output = tmp_path / "run"
        stopped = trainer.stop_after(17, number, output, *TINY, "--deterministic")
        assert stopped.code == ExitCode.INTERRUPTED
        assert "stopped on request after step" in stopped.err
        resumed = trainer.run(output, *TINY, "--deterministic")
        assert resumed.code == 0
        assert any(line.startswith("resume step=") for line in resumed.lines)
        expected, found = newest_checkpoint(finished), newest_checkpoint(output)
        assert expected.keys() == found.keys()
        assert [name for name in expected if not np.array_equal(expected[name], found[name])] == []
        assert [record["step"] for record in metrics(output, "train")] == list(range(1, STEPS + 1))
        assert [e["top1"] for e in metrics(output, "evaluation")] == [e["top1"] for e in metrics(finished, "evaluation")]

    def test_killed_it_goes_on_from_the_newest_checkpoint_and_no_step_is_listed_twice(self, trainer: Trainer, tmp_path: Path) -> None:
        output = tmp_path / "run"
        assert trainer.stop_after(25, signal.SIGKILL, output, *TINY, "--checkpoint-steps", "10").code == -signal.SIGKILL
        resumed = trainer.run(output, *TINY, "--checkpoint-steps", "10")
        assert resumed.code == 0
        assert any(line.startswith("resume step=20 ") for line in resumed.lines)
        assert [record["step"] for record in metrics(output, "train")] == list(range(1, STEPS + 1))

    def test_a_damaged_newest_checkpoint_is_set_aside_aloud(self, trainer: Trainer, tmp_path: Path) -> None:
        output = tmp_path / "run"
        trainer.stop_after(45, signal.SIGTERM, output, *TINY)
        newest = max((output / "checkpoints").glob("step-*"))
        with newest.open("r+b") as file:
            file.seek(-100, 2)
            file.write(b"\xff" * 50)
        resumed = trainer.run(output, *TINY)
        assert resumed.code == 0
        aside = f"{newest.name}.damaged"
        assert f"warning: checkpoint {newest.name} is damaged, set aside as {aside}: its checksum does not match\n" in resumed.err
        assert (newest.parent / aside).exists()
        assert any(line.startswith("resume step=29 ") for line in resumed.lines)

    def test_a_checkpoint_of_another_configuration_is_refused(self, trainer: Trainer, finished: Path) -> None:
        ended = trainer.run(finished, *TINY, "--seed", "7")
        assert ended.code == ExitCode.CONFIGURATION
        assert ended.error == "error: checkpoint step-00000058.safetensors is of another configuration: seed was 0, is 7"

    def test_the_number_of_classes_may_be_repeated(self, trainer: Trainer, finished: Path) -> None:
        assert trainer.run(finished, *TINY, "--deterministic", "--classes", "10").code == 0

    def test_the_newest_three_checkpoints_are_kept(self, trainer: Trainer, tmp_path: Path) -> None:
        trainer.run(tmp_path / "run", *TINY, "--checkpoint-steps", "10", "--epochs", "1")
        kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
        assert kept == ["step-00000010.safetensors", "step-00000020.safetensors", "step-00000029.safetensors"]


class TestRefusals:
    def test_a_second_writer_in_the_same_output_folder(self, trainer: Trainer, tmp_path: Path) -> None:
        from common.output import OutputFolder

        held = OutputFolder(tmp_path / "run")
        ended = trainer.run(tmp_path / "run", *TINY)
        held.close()
        assert ended.code == ExitCode.CANNOT_CREATE
        assert ended.error.startswith("error: the output folder is in use by process ")
        assert ended.error.endswith(f": {held.path}")

    def test_an_output_folder_that_cannot_be_made(self, trainer: Trainer, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        ended = trainer.run(tmp_path / "file" / "run", *TINY)
        assert ended.code == ExitCode.CANNOT_CREATE
        assert ended.error == f"error: cannot write to the output folder {tmp_path}/file/run: Not a directory"

    def test_a_missing_dataset_folder(self, trainer: Trainer, tmp_path: Path) -> None:
        ended = trainer.run(tmp_path / "run", *TINY, "--dataset-dir", str(tmp_path / "nothing"))
        assert ended.code == ExitCode.NO_DATA
        assert str(tmp_path / "nothing") in ended.error

    def test_an_empty_dataset_folder(self, trainer: Trainer, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        ended = trainer.run(tmp_path / "run", *TINY, "--dataset-dir", str(tmp_path / "empty"))
        assert ended.code == ExitCode.NO_DATA
        assert str(tmp_path / "empty") in ended.error

    def test_a_truncated_record_file(self, trainer: Trainer, digits: Path, tmp_path: Path) -> None:
        import shutil

        damaged = tmp_path / "damaged"
        shutil.copytree(digits, damaged)
        shard = next(damaged.glob("train-*"))
        with shard.open("r+b") as file:
            file.truncate(shard.stat().st_size - 10)
        ended = trainer.run(tmp_path / "run", *TINY, "--dataset-dir", str(damaged))
        assert ended.code == ExitCode.BAD_DATA
        assert shard.name in ended.error

    def test_fewer_ranks_than_asked_for(self, trainer: Trainer, tmp_path: Path) -> None:
        ended = trainer.run(tmp_path / "run", *TINY, MLOPS_WORKERS="2", MLOPS_SLOTS_PER_WORKER="1")
        assert ended.code == ExitCode.CONFIGURATION
        assert ended.error == "error: asked for 2 workers x 1 slots = 2 ranks, started: 1"

    def test_a_loss_that_is_not_finite(self, trainer: Trainer, tmp_path: Path) -> None:
        ended = trainer.run(tmp_path / "run", *TINY, "--base-learning-rate", "1e30", "--warmup-epochs", "0")
        assert ended.code == ExitCode.DIVERGED
        assert ended.error.startswith("error: the loss is not finite after step ")
        assert not list((tmp_path / "run").glob("checkpoints/step-*"))

    @pytest.mark.parametrize(
        ("flags", "what"),
        [
            (["--evaluation-epochs", "1"], "the loss of the evaluation is not finite"),
            (["--evaluation-epochs", "0"], "not finite after step 1"),
        ],
    )
    def test_a_last_step_that_diverges_leaves_no_checkpoint_no_result_and_no_bare_nan(
        self, trainer: Trainer, tmp_path: Path, flags: list[str], what: str
    ) -> None:
        """The loss of a step is that before its update: what the update has broken shows in the evaluation and in the weights."""
        output = tmp_path / "run"
        ended = trainer.run(output, *TINY, *flags, "--max-steps", "1", "--base-learning-rate", "1e37", "--warmup-epochs", "0")
        assert ended.code == ExitCode.DIVERGED
        assert what in ended.error
        assert sorted(path.name for path in output.iterdir()) == [".lock", "metrics.jsonl"]
        for line in (output / "metrics.jsonl").read_text().splitlines():
            json.loads(line, parse_constant=pytest.fail)

    def test_a_step_in_which_batch_norm_cannot_learn(self, trainer: Trainer, tmp_path: Path) -> None:
        ended = trainer.run(tmp_path / "run", *TINY, "--image-size", "8", "--global-batch", "1")
        assert ended.code == ExitCode.CONFIGURATION
        assert ended.error == (
            "error: batch norm learns nothing from a single value per channel: 1 images in a step of 1 ranks, needed per rank: 2"
        )
        # The moving statistics do not come from the batch.
        flags = ["--image-size", "8", "--global-batch", "1", "--max-steps", "1", "--batch-norm", "moving"]
        assert trainer.run(tmp_path / "run", *TINY, *flags).code == 0

    def test_a_full_disk_leaves_no_half_of_a_checkpoint(self, trainer: Trainer, tmp_path: Path) -> None:
        program = trainer.command([*TINY, "--max-steps", "3", "--evaluation-epochs", "0"], ranks=None)
        # A limit on the size of a file stands for a full disk: the checkpoint has 140 kB.
        limited = ["bash", "-c", 'ulimit -f 50; exec "$@"', "bash", *program]
        ended = subprocess.run(limited, env=trainer.environment(tmp_path / "run", {}), capture_output=True, text=True, timeout=120)
        assert ended.returncode == ExitCode.IO_ERROR
        assert "error: cannot write the checkpoint step-00000003.safetensors: File too large" in ended.stderr
        assert list((tmp_path / "run" / "checkpoints").iterdir()) == []

    def test_the_lock_names_its_holder_and_ends_with_it(self, finished: Path) -> None:
        assert (finished / ".lock").read_text().startswith("process ")
        assert json.loads((finished / "result.json").read_text())["step"] == STEPS


@pytest.mark.parametrize(
    "settings",
    [{"KERAS_BACKEND": "torch"}, {"TF_USE_LEGACY_KERAS": "1"}, {"KERAS_MAX_EPOCHS": "x"}, {}],
    ids=["backend", "legacy", "number", "file"],
)
def test_a_person_s_settings_of_keras_change_nothing(tmp_path: Path, settings: dict[str, str]) -> None:
    """Horovod imports Keras, the training does not use it."""
    home = tmp_path / "home" / ".keras"
    home.mkdir(parents=True)
    (home / "keras.json").write_text('{"backend": "torch", "floatx": "bfloat1", "epsilon": 1}')
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KERAS_")}
    environment |= {"HOME": str(home.parent), "PYTHONPATH": str(ROOT), **settings}
    program = "from common.tensorflow_start import start_tensorflow; start_tensorflow(1); import keras; print(keras.backend.backend())"
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert (ended.stdout, ended.returncode) == ("tensorflow\n", 0), ended.stderr
    assert [path.name for path in home.parent.rglob("*")] == [".keras", "keras.json"]


def test_steps_much_smaller_than_asked_for_are_said_and_their_rate_is_that_of_their_images(trainer: Trainer, tmp_path: Path) -> None:
    ended = trainer.run(tmp_path / "run", *TINY, "--global-batch", "1000", "--max-steps", "1", "--evaluation-epochs", "0")
    assert ended.code == 0
    assert "warning: a step has 706 images instead of 1000, so that the dataset's 1412 make steps of one size" in ended.err
    plan, result = parse_fields(ended.lines[1]), parse_fields(ended.lines[-1])
    assert (plan["global_batch"], plan["local_batch"], plan["learning_rate"]) == ("706", "706", "0.706")
    # A single step has no rate: it holds the graph's compilation.
    assert "images_per_s" not in result
