"""Flags, environment and presets become one configuration."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import TrainingError
from mlops_launch.contract import ExitCode
from models.resnet50v1_5.config import PRESETS, Config, read_config, require_divisible

WHERE = {"DATASET_DIR": "/data", "OUTPUT_DIR": "/out"}
MAIN = Path(__file__).parents[2] / "models" / "resnet50v1_5" / "main.py"


def test_folders_come_from_the_names_of_the_seed() -> None:
    config = read_config([], WHERE)
    assert (config.dataset_dir, config.output_dir) == ("/data", "/out")


def test_a_flag_wins_over_the_environment_which_wins_over_the_preset_which_wins_over_the_default() -> None:
    assert read_config([], WHERE).epochs == 90
    assert read_config(["--preset", "demo"], WHERE).epochs == 8
    environment = WHERE | {"MLOPS_PRESET": "demo", "MLOPS_EPOCHS": "4"}
    assert read_config([], environment).epochs == 4
    assert read_config(["--epochs", "2"], environment).epochs == 2


def test_a_preset_flag_wins_over_the_preset_of_the_environment() -> None:
    assert read_config(["--preset", "one_epoch"], WHERE | {"MLOPS_PRESET": "demo"}).epochs == 1


def test_the_presets_say_what_their_names_say() -> None:
    assert read_config(["--preset", "one_epoch"], WHERE).epochs == 1
    assert read_config(["--preset", "full"], WHERE).epochs == 90
    benchmark = read_config(["--preset", "benchmark"], {"OUTPUT_DIR": "/out"})
    assert (benchmark.synthetic, benchmark.image_size) == (True, 224)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_trains_the_full_network(preset: str) -> None:
    assert read_config(["--preset", preset], WHERE).model == "resnet50"


def refused(argv: list[str], environment: dict[str, str]) -> tuple[str, str | None, int]:
    with pytest.raises(TrainingError) as caught:
        read_config(argv, environment)
    return caught.value.message, caught.value.hint, caught.value.code


def test_a_mistyped_variable_is_named_with_the_one_meant() -> None:
    assert refused([], WHERE | {"MLOPS_EPOCH": "3"}) == (
        "unknown variable: MLOPS_EPOCH",
        "did you mean MLOPS_EPOCHS?",
        ExitCode.CONFIGURATION,
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MLOPS_EPOCHS", "six", "MLOPS_EPOCHS is no whole number: six"),
        ("MLOPS_MOMENTUM", "a", "MLOPS_MOMENTUM is no number: a"),
        ("MLOPS_SUMMARIES", "maybe", "MLOPS_SUMMARIES is neither true nor false: maybe"),
        ("MLOPS_COMM", "nccl", "MLOPS_COMM is not one of auto, horovod, mpi4py, single: nccl"),
        ("MLOPS_EPOCHS", "0", "epochs must be greater than 0: 0"),
        ("MLOPS_WEIGHT_DECAY", "-1", "weight_decay must not be negative: -1.0"),
        ("MLOPS_BN_DECAY", "1", "bn_decay must lie between 0 and 1: 1.0"),
        ("MLOPS_PRESET", "demoo", "unknown preset: demoo"),
    ],
)
def test_a_bad_value_is_a_configuration_error(name: str, value: str, message: str) -> None:
    assert refused([], WHERE | {name: value})[::2] == (message, ExitCode.CONFIGURATION)


def test_a_missing_folder_setting_is_named() -> None:
    assert refused([], {"OUTPUT_DIR": "/out"})[0] == "no dataset folder given"
    assert refused([], {"DATASET_DIR": "/data"})[0] == "no output folder given"


def test_an_unknown_flag_is_a_usage_error() -> None:
    assert refused(["--epoch", "3"], WHERE)[::2] == ("unrecognized arguments: --epoch 3", ExitCode.USAGE)


@given(st.integers(1, 4096), st.integers(1, 512))
def test_a_global_batch_is_refused_exactly_when_ranks_would_differ_and_the_hint_fits(batch: int, world_size: int) -> None:
    if batch % world_size == 0:
        require_divisible(batch, world_size)
        return
    with pytest.raises(TrainingError) as caught:
        require_divisible(batch, world_size)
    assert caught.value.code == ExitCode.CONFIGURATION
    assert caught.value.hint is not None
    assert int(caught.value.hint.split()[-1]) % world_size == 0


def test_the_resume_fields_leave_out_where_and_how_often() -> None:
    names = set(Config(output_dir="a").for_resume())
    assert {"seed", "global_batch", "epochs"} <= names
    assert not names & {"output_dir", "dataset_dir", "log_steps", "comm", "threads", "checkpoint_steps"}


def test_help_lists_every_field_without_importing_tensorflow() -> None:
    shown = subprocess.run([sys.executable, "-X", "importtime", str(MAIN), "--help"], capture_output=True, text=True, check=True)
    assert [f.name for f in fields(Config) if f"--{f.name.replace('_', '-')}" not in shown.stdout] == []
    imported = {line.rpartition("|")[2].strip() for line in shown.stderr.splitlines()}
    assert "common.comm" in imported and "tensorflow" not in imported
