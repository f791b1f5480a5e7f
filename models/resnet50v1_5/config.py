"""The configuration of a training: defaults, then a preset, then MLOPS_* variables, then flags.

Each field of `Config` is a flag `--field-name` and a variable `MLOPS_FIELD_NAME`; there is no second list.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, get_type_hints

from common.errors import TrainingError
from mlops_launch.contract import DATASET_DIR, FLAG_PREFIX, NOT_FLAGS, OUTPUT_DIR, ExitCode

PRESETS = ("demo", "one_epoch", "full", "benchmark")

# Names in the environment that the seed documents gave.
ENVIRONMENT_NAMES = {"dataset_dir": DATASET_DIR, "output_dir": OUTPUT_DIR}


def setting(default: Any, help: str, choices: Sequence[str] | None = None, resume: bool = False) -> Any:
    """Return a field with help text; `resume` marks what a resumed training must not change."""
    return field(default=default, metadata={"help": help, "choices": choices, "resume": resume})


@dataclass(frozen=True)
class Config:
    """Everything that a training reads. Lengths in steps or epochs, sizes in pixels, batches in images."""

    # Where
    dataset_dir: str = setting("", "folder of TFRecords: train-* and validation-*")
    output_dir: str = setting("", "folder of this training alone: metrics, checkpoints, summaries")
    cache_dir: str = setting("", "folder on this node's own disk to copy the records to first")
    # What
    model: str = setting("resnet50", "the network; tiny is for tests", ("resnet50", "tiny"), resume=True)
    synthetic: bool = setting(False, "random images instead of a dataset")
    synthetic_images: int = setting(1281167, "images an epoch has with --synthetic")
    classes: int = setting(0, "number of classes, for a dataset without manifest or --synthetic", resume=True)
    label_offset: int = setting(0, "label of the first class, for a dataset without manifest (ImageNet: 1)")
    image_size: int = setting(224, "height and width of the network's input", resume=True)
    augment: str = setting(
        "imagenet", "imagenet: random crop and flip; shift: by a few pixels; none", ("imagenet", "shift", "none"), resume=True
    )
    # How long
    epochs: int = setting(90, "times that each image is seen", resume=True)
    max_steps: int = setting(0, "end after this many steps, evaluation included; 0: no limit", resume=True)
    # How
    global_batch: int = setting(256, "images a step over all ranks; one step in an epoch may have fewer", resume=True)
    base_learning_rate: float = setting(0.256, "learning rate for 256 images a step; scaled with the global batch", resume=True)
    schedule: str = setting(
        "cosine", "after the warm-up: half a cosine, or a tenth after epochs 30, 60, 80", ("cosine", "step"), resume=True
    )
    warmup_epochs: float = setting(5.0, "epochs in which the learning rate rises linearly", resume=True)
    momentum: float = setting(0.875, "of the gradient descent", resume=True)
    weight_decay: float = setting(1 / 32768, "L2 penalty on kernels, not on batch norm and bias", resume=True)
    label_smoothing: float = setting(0.1, "share of the target spread over all classes", resume=True)
    bn_decay: float = setting(0.9, "decay of batch norm's moving mean and variance", resume=True)
    batch_norm: str = setting(
        "batch", "statistics used in training: the batch's own, or the moving ones, left as they are", ("batch", "moving"), resume=True
    )
    zero_gamma: bool = setting(True, "start each block as the identity", resume=True)
    seed: int = setting(0, "of initial values, order and augmentation", resume=True)
    precision: str = setting("fp32", "of activations; variables are float32", ("fp32", "bf16"), resume=True)
    force_precision: bool = setting(False, "use bf16 on a CPU that emulates it")
    deterministic: bool = setting(False, "use only operations that give the same bits each time")
    # Ranks and threads
    comm: str = setting("auto", "how ranks talk; auto is one process only without mpirun", ("auto", "horovod", "mpi4py", "single"))
    threads: int = setting(0, "threads of a rank; 0: its share of the container's CPU limit")
    # What is written, and when
    log_steps: int = setting(10, "steps between two lines of the log")
    checkpoint_steps: int = setting(0, "steps between two checkpoints, beside the one after each evaluation")
    keep_checkpoints: int = setting(3, "checkpoints that stay")
    evaluation_epochs: int = setting(1, "epochs between two evaluations; the last step has one; 0: none")
    evaluation_batch: int = setting(64, "images a rank evaluates at a time")
    summaries: bool = setting(True, "write TensorBoard files")
    trace_samples: str = setting("", "folder for one file a rank with the record numbers of each step")

    def for_resume(self) -> dict[str, Any]:
        """Return the fields that a resumed training must share with the one before."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.metadata["resume"]}


def read_config(argv: Sequence[str], environment: Mapping[str, str]) -> Config:
    """Return the configuration from flags and environment.

    Raises:
        TrainingError: unknown variable, or a value that does not fit (78 for the environment, 64 for flags).
    """
    types = get_type_hints(Config)
    flags = vars(_parser(types).parse_args(argv))
    from_environment = _read_environment(environment, types)
    preset = flags.pop("preset", None) or environment.get(f"{FLAG_PREFIX}PRESET") or None
    overrides: dict[str, Any] = {}
    if preset is not None:
        if preset not in PRESETS:
            raise TrainingError(f"unknown preset: {preset}", f"one of {', '.join(PRESETS)}", ExitCode.CONFIGURATION)
        overrides = dict(importlib.import_module(f"models.resnet50v1_5.presets.{preset}").OVERRIDES)
    config = Config(**(overrides | from_environment | flags))
    _require_sane(config)
    return config


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise TrainingError(f"{message}", "`main.py --help` lists the flags", ExitCode.USAGE)


def _parser(types: Mapping[str, Any]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="main.py",
        description="Train ResNet-50 v1.5. Each flag can also be given as MLOPS_<FLAG> in the environment.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--preset", choices=PRESETS, help="a set of values to start from")
    for f in fields(Config):
        name = "--" + f.name.replace("_", "-")
        assert f.default is not MISSING
        help = f"{f.metadata['help']} (default: {f.default})".replace("%", "%%")
        if types[f.name] is bool:
            parser.add_argument(name, action=argparse.BooleanOptionalAction, help=help)
        else:
            parser.add_argument(name, type=types[f.name], choices=f.metadata["choices"], help=help, metavar=types[f.name].__name__.upper())
    return parser


def _read_environment(environment: Mapping[str, str], types: Mapping[str, Any]) -> dict[str, Any]:
    names = {ENVIRONMENT_NAMES.get(f.name, FLAG_PREFIX + f.name.upper()): f for f in fields(Config)}
    known = names.keys() | NOT_FLAGS | {f"{FLAG_PREFIX}PRESET"}
    for name in environment:
        if name.startswith(FLAG_PREFIX) and name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1)
            raise TrainingError(
                f"unknown variable: {name}",
                f"did you mean {close[0]}?" if close else "each MLOPS_ variable is a flag of the trainer; see `main.py --help`",
                ExitCode.CONFIGURATION,
            )
    values = {}
    for name, f in names.items():
        if environment.get(name):
            values[f.name] = _convert(name, environment[name], types[f.name], f.metadata["choices"])
    return values


def _convert(name: str, text: str, kind: Any, choices: Sequence[str] | None) -> Any:
    if kind is bool:
        if text not in ("true", "false", "1", "0"):
            raise TrainingError(f"{name} is neither true nor false: {text}", None, ExitCode.CONFIGURATION)
        return text in ("true", "1")
    try:
        value = kind(text)
    except ValueError as error:
        raise TrainingError(f"{name} is no {'whole number' if kind is int else 'number'}: {text}", None, ExitCode.CONFIGURATION) from error
    if choices and value not in choices:
        raise TrainingError(f"{name} is not one of {', '.join(choices)}: {text}", None, ExitCode.CONFIGURATION)
    return value


def _require_sane(config: Config) -> None:
    """Raise for values that no training can use."""
    if not config.output_dir:
        raise TrainingError("no output folder given", "set OUTPUT_DIR or --output-dir", ExitCode.CONFIGURATION)
    if not config.dataset_dir and not config.synthetic:
        raise TrainingError("no dataset folder given", "set DATASET_DIR or --dataset-dir, or use --synthetic", ExitCode.CONFIGURATION)
    positive = (
        "image_size",
        "epochs",
        "global_batch",
        "base_learning_rate",
        "log_steps",
        "keep_checkpoints",
        "evaluation_batch",
        "synthetic_images",
    )
    for name in positive:
        if not getattr(config, name) > 0:
            raise TrainingError(f"{name} must be greater than 0: {getattr(config, name)}", None, ExitCode.CONFIGURATION)
    for name in (
        "classes",
        "label_offset",
        "max_steps",
        "warmup_epochs",
        "weight_decay",
        "threads",
        "checkpoint_steps",
        "evaluation_epochs",
        "seed",
    ):
        if getattr(config, name) < 0:
            raise TrainingError(f"{name} must not be negative: {getattr(config, name)}", None, ExitCode.CONFIGURATION)
    for name in ("momentum", "label_smoothing", "bn_decay"):
        if not 0 <= getattr(config, name) < 1:
            raise TrainingError(f"{name} must lie between 0 and 1: {getattr(config, name)}", None, ExitCode.CONFIGURATION)


def require_divisible(global_batch: int, world_size: int) -> None:
    """Raise unless each rank gets the same number of images.

    Raises:
        TrainingError: the global batch is no multiple of the world size (78).
    """
    if global_batch % world_size:
        near = max(world_size, round(global_batch / world_size) * world_size)
        raise TrainingError(
            f"a global batch of {global_batch} images cannot be divided among {world_size} ranks",
            f"set MLOPS_GLOBAL_BATCH, for instance to {near}",
            ExitCode.CONFIGURATION,
        )
