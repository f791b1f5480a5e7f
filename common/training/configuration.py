"""The settings of one training: defaults, then a preset, then MLOPS_* variables, then flags."""

from __future__ import annotations

import argparse
import difflib
import math
import runpy
from collections.abc import Mapping, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

from common.errors import TrainingError
from common.training.settings import Settings
from mlops_launch.contract import DATASET_DIR, FLAG_PREFIX, NOT_FLAGS, OUTPUT_DIR, PRESET, ExitCode

# The variables that do not follow from the setting's name.
VARIABLES = {"dataset_dir": DATASET_DIR, "output_dir": OUTPUT_DIR}

# Settings end up in TensorFlow's 32-bit numbers.
LARGEST_WHOLE = 2**31 - 1
LARGEST_FLOAT = 3.4028234e38


def preset_names(folder: Path) -> tuple[str, ...]:
    """Return the presets of a model: the names of the files in its folder `presets`."""
    return tuple(sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")))


def read_settings(
    argv: Sequence[str], environment: Mapping[str, str], kind: type[Settings], presets: Path, title: str = "a model"
) -> Settings:
    """Return a model's settings from flags and environment.

    Args:
        argv: flags, without the program.
        environment: of the process.
        kind: the model's class of settings.
        presets: the folder of its presets.
        title: the model's name in the help.

    Raises:
        TrainingError: unknown variable, or a value that does not fit (78 for the environment, 64 for flags).
    """
    types = get_type_hints(kind)
    names = preset_names(presets)
    flags = vars(_parser(kind, types, names, title).parse_args(argv))
    from_environment = _read_environment(environment, kind, types)
    preset = flags.pop("preset", None) or environment.get(PRESET) or None
    overrides = {} if preset is None else _read_preset(preset, presets, names, types)
    settings = kind(**(overrides | from_environment | flags))
    for f in fields(kind):
        _require_in_bounds(f, getattr(settings, f.name))
    _require_folders(settings)
    return settings


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise TrainingError(message, "`main.py --help` lists the flags", ExitCode.USAGE)


def _parser(kind: type[Settings], types: Mapping[str, Any], presets: Sequence[str], title: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="main.py",
        description=f"Train {title}. Each flag can also be given as MLOPS_<FLAG> in the environment.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--preset", choices=presets, help="a set of values to start from")
    for f in fields(kind):
        name = "--" + f.name.replace("_", "-")
        help = f"{f.metadata['help']} (default: {f.default})".replace("%", "%%")
        if types[f.name] is bool:
            parser.add_argument(name, action=argparse.BooleanOptionalAction, help=help)
        else:
            parser.add_argument(name, type=types[f.name], choices=f.metadata["choices"], help=help, metavar=types[f.name].__name__.upper())
    return parser


def _read_environment(environment: Mapping[str, str], kind: type[Settings], types: Mapping[str, Any]) -> dict[str, Any]:
    names = {VARIABLES.get(f.name, FLAG_PREFIX + f.name.upper()): f for f in fields(kind)}
    known = names.keys() | NOT_FLAGS | {PRESET}
    for name in environment:
        if name.startswith(FLAG_PREFIX) and name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1)
            raise TrainingError(
                f"unknown variable: {name}",
                f"did you mean {close[0]}?" if close else "each MLOPS_ variable is a flag of the trainer; see `main.py --help`",
                ExitCode.CONFIGURATION,
            )
    return {
        f.name: _convert(name, environment[name], types[f.name], f.metadata["choices"])
        for name, f in names.items()
        if environment.get(name)
    }


def _convert(name: str, text: str, kind: Any, choices: Sequence[str] | None) -> Any:
    if kind is bool:
        if text not in ("true", "false", "1", "0"):
            raise TrainingError(f"{name} is neither true nor false: {text}", None, ExitCode.CONFIGURATION)
        return text in ("true", "1")
    try:
        value = kind(text)
    except ValueError as error:
        what = "whole number" if kind is int else "number"
        raise TrainingError(f"{name} is not a {what}: {text}", None, ExitCode.CONFIGURATION) from error
    if choices and value not in choices:
        raise TrainingError(f"{name} is not one of {', '.join(choices)}: {text}", None, ExitCode.CONFIGURATION)
    return value


def _read_preset(name: str, folder: Path, names: Sequence[str], types: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a preset sets; TrainingError (78) where it cannot be read or sets what it cannot set."""
    if name not in names:
        raise TrainingError(f"unknown preset: {name}", f"one of {', '.join(names)}", ExitCode.CONFIGURATION)
    path = folder / f"{name}.py"
    try:
        overrides = dict(runpy.run_path(str(path))["OVERRIDES"])
    except Exception as error:  # whatever a file of a person's may raise
        hint = "it needs a line `OVERRIDES = {…}` with settings and their values"
        raise TrainingError(f"the preset {path} cannot be read: {type(error).__name__}: {error}", hint, ExitCode.CONFIGURATION) from error
    for setting, value in overrides.items():
        if setting not in types:
            close = difflib.get_close_matches(str(setting), sorted(types), n=1)
            hint = f"did you mean {close[0]}?" if close else "see `main.py --help`"
            raise TrainingError(f"the preset {name} sets what is not a setting: {setting}", hint, ExitCode.CONFIGURATION)
        if type(value) is not types[setting] and not (types[setting] is float and type(value) is int):
            what = f"{setting} in the preset {name} is not of type {types[setting].__name__}"
            raise TrainingError(f"{what}: {value!r}", None, ExitCode.CONFIGURATION)
    return overrides


def _require_in_bounds(f: Field[Any], value: Any) -> None:
    """Raise for a value that no training can use."""
    what = _wrong(value, f.metadata)
    if what is not None:
        raise TrainingError(f"{f.name} {what}: {value}", None, ExitCode.CONFIGURATION)


def _wrong(value: Any, metadata: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a setting's value, None where nothing is."""
    choices, minimum, above, below = (metadata[name] for name in ("choices", "minimum", "above", "below"))
    if isinstance(value, str):
        return f"is not one of {', '.join(choices)}" if choices and value not in choices else None
    if minimum is not None and below is not None and not minimum <= value < below:
        return f"must lie between {minimum} and {below}"
    if minimum is not None and not value >= minimum:
        return "must not be negative" if minimum == 0 else f"must be at least {minimum}"
    if above is not None and not value > above:
        return f"must be greater than {above}"
    if below is not None and not value < below:
        return f"must be less than {below}"
    if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        return f"must be at most {LARGEST_WHOLE}"
    if not math.isfinite(value) or abs(value) > LARGEST_FLOAT:
        return "must be finite"
    return None


def _require_folders(settings: Settings) -> None:
    if not settings.output_dir:
        raise TrainingError("no output folder given", "set OUTPUT_DIR or --output-dir", ExitCode.CONFIGURATION)
    if not settings.dataset_dir and not settings.synthetic:
        raise TrainingError("no dataset folder given", "set DATASET_DIR or --dataset-dir, or use --synthetic", ExitCode.CONFIGURATION)
