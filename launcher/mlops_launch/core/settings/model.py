"""Models, their settings and presets, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mlops_launch.contract import DATASET_DIR, FLAG_PREFIX, MODEL_NAME, MODEL_SCRIPT, OUTPUT_DIR, PRESET

Scalar = str | int | float | bool
KINDS: Final[Mapping[str, type[Scalar]]] = {"str": str, "int": int, "float": float, "bool": bool}
# Settings end up in TensorFlow's 32-bit numbers: common/training/configuration.py.
LARGEST_WHOLE: Final = 2**31 - 1
LARGEST_FLOAT: Final = 3.4028234e38
# Settings whose variable has a name of its own in mlops.env.
_VARIABLES: Final = {"dataset_dir": DATASET_DIR, "output_dir": OUTPUT_DIR}


@dataclass(frozen=True)
class Bounds:
    """What a number must keep to, beside the trainer's own limits; None where there is no bound."""

    minimum: float | None = None
    above: float | None = None
    below: float | None = None

    def complaint(self, value: float) -> str | None:
        """Return why `value` is out of bounds, or None; NaN is out of every bound.

        >>> Bounds(minimum=0).complaint(-1), Bounds(above=0, below=1).complaint(0.5)
        ('must be 0 or more', None)
        """
        if self.minimum is not None and not value >= self.minimum:
            return f"must be {self.minimum} or more"
        if self.above is not None and not value > self.above:
            return f"must be above {self.above}"
        if self.below is not None and not value < self.below:
            return f"must be below {self.below}"
        if isinstance(value, int):
            return f"must be at most {LARGEST_WHOLE}" if abs(value) > LARGEST_WHOLE else None
        return None if abs(value) <= LARGEST_FLOAT else "must be finite, in 32 bits"

    def __str__(self) -> str:
        parts = (("≥", self.minimum), (">", self.above), ("<", self.below))
        return ", ".join(f"{sign} {bound}" for sign, bound in parts if bound is not None)


@dataclass(frozen=True)
class Setting:
    """One setting of a model: a variable of mlops.env, and a flag of the trainer.

    Args:
        name: as the model's code has it, `base_learning_rate`.
        kind: a key of `KINDS`.
        default: of that kind.
        help: what it means, one line without a full stop.
        choices: the only values, when there are any.
        bounds: of a number.
        resume: a run that is resumed must not change it.
    """

    name: str
    kind: str
    default: Scalar
    help: str
    choices: tuple[str, ...] = ()
    bounds: Bounds = Bounds()
    resume: bool = False

    @property
    def variable(self) -> str:
        """Its name in mlops.env."""
        return _VARIABLES.get(self.name, FLAG_PREFIX + self.name.upper())

    @property
    def flag(self) -> str:
        """Its name on the trainer's command line."""
        return "--" + self.name.replace("_", "-")

    def text_complaint(self, text: str) -> str | None:
        """Return why the trainer would refuse `text` from the environment, or None.

        >>> Setting("epochs", "int", 90, "").text_complaint("ten")
        'is not a whole number'
        """
        if self.kind == "bool":
            return None if text in ("true", "false", "1", "0") else "is neither true nor false"
        try:
            value = KINDS[self.kind](text)
        except ValueError:
            return f"is not a {'whole ' if self.kind == 'int' else ''}number"
        return self._range_complaint(value)

    def value_complaint(self, value: object) -> str | None:
        """Return why a default or an override cannot have this value, or None; a float may be given as a whole number."""
        kinds = (int, float) if self.kind == "float" else (KINDS[self.kind],)
        if not isinstance(value, kinds) or isinstance(value, bool) != (self.kind == "bool"):
            return f"must be {self.kind}"
        return self._range_complaint(value)

    def _range_complaint(self, value: Scalar) -> str | None:
        if self.choices and value not in self.choices:
            return f"is not one of {', '.join(self.choices)}"
        return None if isinstance(value, str | bool) else self.bounds.complaint(value)


@dataclass(frozen=True)
class Preset:
    """A set of values to start from.

    Args:
        name: its file's, without `.py`.
        text: its docstring.
        overrides: value by the setting's name.
    """

    name: str
    text: str
    overrides: Mapping[str, Scalar]


@dataclass(frozen=True)
class SourceProblem:
    """What a file of the package has wrong, so that it cannot be read as settings: the place, and what to do."""

    file: str
    line: int | None
    message: str
    hint: str


@dataclass(frozen=True)
class Model:
    """One folder of models/.

    Args:
        name: the folder's.
        settings: by name, in the order of the trainer's help; None when the model declares none, or cannot be read.
        presets: by name; those with a problem too, as far as they can be read.
        problems: of its files, and of the settings that models share.
    """

    name: str
    settings: Mapping[str, Setting] | None
    presets: Mapping[str, Preset] = field(default_factory=dict)
    problems: tuple[SourceProblem, ...] = ()

    def by_variable(self) -> dict[str, Setting]:
        """Return the settings by their names in mlops.env."""
        return {setting.variable: setting for setting in (self.settings or {}).values()}


@dataclass(frozen=True)
class Script:
    """One script of quickstart/.

    Args:
        name: its file's.
        flags: value by setting's name, as the script's command gives them to the trainer; `preset` among them. A value may be
            `${VARIABLE:-value}`.
        trains: its last command is a model's `main.py`, which ends with a result.
    """

    name: str
    flags: Mapping[str, str]
    trains: bool = False

    def flag(self, name: str, variables: Mapping[str, str]) -> str | None:
        """Return a flag's value as the shell expands it with `variables`, or None when the script does not give it."""
        value = self.flags.get(name)
        if value is None or not (value.startswith("${") and value.endswith("}")):
            return value
        variable, _, default = value[2:-1].partition(":-")
        return variables.get(variable) or default


@dataclass(frozen=True)
class Package:
    """The folders common/, models/ and quickstart/ that an overlay belongs to.

    Args:
        models: by name.
        scripts: by name; empty when there is no quickstart/.
        common: the settings that all models share, by name; None when they cannot be read.
    """

    models: Mapping[str, Model] = field(default_factory=dict)
    scripts: Mapping[str, Script] = field(default_factory=dict)
    common: Mapping[str, Setting] | None = None

    def trains(self, variables: Mapping[str, str]) -> bool:
        """Return whether a run with these variables starts a model of the package, and not a script with another program."""
        script = self.scripts.get(variables.get(MODEL_SCRIPT, ""))
        return script is None or script.trains

    def model_of(self, variables: Mapping[str, str]) -> Model | None:
        """Return the model that a run with these variables starts, or None when it is not one of the package."""
        return self.models.get(variables.get(MODEL_NAME, "")) if self.trains(variables) else None

    def chosen_preset(self, variables: Mapping[str, str], script: str | None) -> str | None:
        """Return the preset that a run with these variables and this script starts from: a flag wins over the environment."""
        found = self.scripts.get(script or "")
        return (found.flag("preset", variables) if found else None) or variables.get(PRESET) or None

    def effective(self, model: Model, name: str, variables: Mapping[str, str], script: str | None) -> Scalar | None:
        """Return the value of a setting that a run will use, or None when it cannot be known.

        The default, then the preset, then the environment, then the script's flags.
        """
        setting = (model.settings or {}).get(name)
        if setting is None:
            return None
        found = self.scripts.get(script or "")
        text = (found.flag(name, variables) if found else None) or variables.get(setting.variable)
        if text:
            return None if setting.text_complaint(text) else _convert(setting, text)
        chosen = self.chosen_preset(variables, script)
        if chosen is None:
            return setting.default
        preset = model.presets.get(chosen)
        return None if preset is None else preset.overrides.get(name, setting.default)


def _convert(setting: Setting, text: str) -> Scalar:
    return text in ("true", "1") if setting.kind == "bool" else KINDS[setting.kind](text)


def show(value: Scalar) -> str:
    """Return a value as mlops.env has it, a float with six digits.

    >>> show(True), show(1 / 32768), show(5.0), show("")
    ('true', '3.05176e-05', '5', '')
    """
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
