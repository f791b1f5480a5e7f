"""Flags, environment and presets become the settings of one training."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import TrainingError
from common.training.configuration import preset_names
from common.training.configuration import read_settings as read
from common.training.plan import require_divisible
from mlops_launch.contract import ExitCode
from models.resnet50v1_5.settings import Settings

WHERE = {"DATASET_DIR": "/data", "OUTPUT_DIR": "/out"}
MODEL = Path(__file__).parents[2] / "models" / "resnet50v1_5"
PRESETS = MODEL / "presets"


def read_settings(argv: Sequence[str], environment: Mapping[str, str], presets: Path = PRESETS) -> Settings:
    settings = read(argv, environment, Settings, presets)
    assert isinstance(settings, Settings)
    return settings


def test_the_folders_have_variables_of_their_own() -> None:
    settings = read_settings([], WHERE)
    assert (settings.dataset_dir, settings.output_dir) == ("/data", "/out")


def test_a_flag_wins_over_the_environment_which_wins_over_the_preset_which_wins_over_the_default() -> None:
    assert read_settings([], WHERE).epochs == 90
    assert read_settings(["--preset", "demo"], WHERE).epochs == 8
    environment = WHERE | {"MLOPS_PRESET": "demo", "MLOPS_EPOCHS": "4"}
    assert read_settings([], environment).epochs == 4
    assert read_settings(["--epochs", "2"], environment).epochs == 2


def test_a_preset_flag_wins_over_the_preset_of_the_environment() -> None:
    assert read_settings(["--preset", "one_epoch"], WHERE | {"MLOPS_PRESET": "demo"}).epochs == 1


def test_the_presets_say_what_their_names_say() -> None:
    assert read_settings(["--preset", "one_epoch"], WHERE).epochs == 1
    assert read_settings(["--preset", "full"], WHERE).epochs == 90
    benchmark = read_settings(["--preset", "benchmark"], {"OUTPUT_DIR": "/out"})
    assert (benchmark.synthetic, benchmark.image_size) == (True, 224)


@pytest.mark.parametrize("preset", preset_names(PRESETS))
def test_every_preset_trains_the_full_network(preset: str) -> None:
    assert read_settings(["--preset", preset], WHERE).model == "resnet50"


def refused(argv: list[str], environment: dict[str, str], presets: Path = PRESETS) -> tuple[str, str | None, int]:
    with pytest.raises(TrainingError) as caught:
        read_settings(argv, environment, presets)
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
        ("MLOPS_EPOCHS", "six", "MLOPS_EPOCHS is not a whole number: six"),
        ("MLOPS_MOMENTUM", "a", "MLOPS_MOMENTUM is not a number: a"),
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


NUMBERS = [f for f in fields(Settings) if type(f.default) in (int, float)]
TOO_MUCH = st.sampled_from(["nan", "inf", "-inf", "1e39", str(10**400), "-1"]) | st.integers(min_value=2**128).map(str)


@given(st.sampled_from(NUMBERS), TOO_MUCH)
def test_no_number_is_taken_that_tensorflow_has_not(f: Field[Any], value: str) -> None:
    """Whatever the setting: a value that is not finite, does not fit 32 bits or is below 0 is refused by its name."""
    name = f"MLOPS_{f.name.upper()}"
    message, _, code = refused([], WHERE | {name: value})
    assert message.startswith((f"{f.name} must ", f"{name} is not a whole number: "))
    assert code == ExitCode.CONFIGURATION


def test_a_file_in_the_folder_is_a_preset(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "quick.py").write_text('"""Two steps."""\n\nOVERRIDES = {"max_steps": 2, "momentum": 0}\n')
    assert preset_names(tmp_path) == ("quick",)
    settings = read_settings(["--preset", "quick"], WHERE, tmp_path)
    assert (settings.max_steps, settings.momentum, settings.epochs) == (2, 0, 90)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('OVERRIDES = {"epoch": 3}', "the preset mine sets what is not a setting: epoch", "did you mean epochs?"),
        ('OVERRIDES = {"epochs": "3"}', "epochs in the preset mine is not of type int: '3'", None),
        ('OVERRIDES = {"epochs": True}', "epochs in the preset mine is not of type int: True", None),
        ('OVERRIDES = {"epochs": 0}', "epochs must be greater than 0: 0", None),
        ('OVERRIDES = {"precision": "fp8"}', "precision is not one of fp32, bf16: fp8", None),
    ],
)
def test_a_preset_that_sets_what_cannot_be_set(tmp_path: Path, text: str, message: str, hint: str | None) -> None:
    (tmp_path / "mine.py").write_text(text)
    assert refused(["--preset", "mine"], WHERE, tmp_path) == (message, hint, ExitCode.CONFIGURATION)


@pytest.mark.parametrize(("text", "error"), [("", "KeyError: 'OVERRIDES'"), ("OVERRIDES = 3", "TypeError: "), ("(", "SyntaxError: ")])
def test_a_preset_that_cannot_be_read(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    message, _, code = refused(["--preset", "mine"], WHERE, tmp_path)
    assert message.startswith(f"the preset {tmp_path / 'mine.py'} cannot be read: {error}")
    assert code == ExitCode.CONFIGURATION


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
    names = set(Settings(output_dir="a").for_resume())
    assert {"seed", "global_batch", "epochs"} <= names
    assert not names & {"output_dir", "dataset_dir", "log_steps", "comm", "threads", "checkpoint_steps"}


def test_help_lists_every_field_without_importing_tensorflow() -> None:
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", str(MODEL / "main.py"), "--help"], capture_output=True, text=True, check=True
    )
    assert [f.name for f in fields(Settings) if f"--{f.name.replace('_', '-')}" not in shown.stdout] == []
    imported = {line.rpartition("|")[2].strip() for line in shown.stderr.splitlines()}
    assert "common.comm" in imported and "tensorflow" not in imported
