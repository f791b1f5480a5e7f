"""Rules over models, their settings and presets: what the trainer would refuse only after queue, pull and start."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlops_launch.contract import FLAG_PREFIX, IMAGE_MODEL_DIR, MODEL_DIR, MODEL_NAME, MODEL_SCRIPT, NOT_FLAGS, PRESET
from mlops_launch.core.overlay.envfile import NAME
from mlops_launch.core.overlay.values import did_you_mean
from mlops_launch.core.rules.base import NOWHERE, Place, Problem, Subject
from mlops_launch.core.rules.example import in_env, in_package
from mlops_launch.core.rules.rule import ERROR, WARNING, rule
from mlops_launch.core.settings.model import Model
from mlops_launch.core.settings.read import LIST_HINT, explain
from mlops_launch.core.workload import kinds

_BATCH = "global_batch"
# What other rules say more about: quotes, white space and comments in a value.
_SPOILT = re.compile(r"\s.*|.*\s|[\"'].*|.*\s#.*", re.DOTALL)


def _model(subject: Subject) -> Model | None:
    return subject.package.model_of(_variables(subject))


def _unknown_model(subject: Subject) -> tuple[str, str] | None:
    """Return the name of a model that the package does not have, and what to do."""
    variables, models = _variables(subject), subject.package.models
    name = variables.get(MODEL_NAME)
    if not name or not models or name in models or _SPOILT.fullmatch(name) or not subject.package.trains(variables):
        return None
    near = did_you_mean(name, models)
    return name, f"did you mean `{near}`?" if near else f"one of {', '.join(models)}; a model of your own is a folder of models/"


@rule(
    "model-missing",
    ERROR,
    "MODEL_NAME is not a model of the image",
    why="The image has the folders of models/ that the overlay's own package has; a rank would not find its main.py.",
    wrong=in_env("MODEL_NAME=resnet50"),
    right=in_env("MODEL_NAME=resnet50v1_5"),
)
def _missing_model(subject: Subject) -> Iterator[Problem]:
    unknown = _unknown_model(subject)
    if unknown is not None and _variables(subject).get(MODEL_DIR) == IMAGE_MODEL_DIR:
        yield Problem(f"no such model in models/: {unknown[0]}", unknown[1], _place(subject, MODEL_NAME))


@rule(
    "model-elsewhere",
    WARNING,
    "MODEL_NAME is known to the folder MODEL_DIR alone",
    why=(
        "MODEL_DIR is another folder than the image's, and the package around the overlay has no such model: "
        "its settings and presets cannot be checked, and a misspelt name shows only when the job starts."
    ),
    wrong=in_env("MODEL_DIR=/outputs/package\nMODEL_NAME=resnet50"),
    right=in_env("MODEL_DIR=/outputs/package\nMODEL_NAME=resnet50v1_5"),
)
def _model_elsewhere(subject: Subject) -> Iterator[Problem]:
    unknown = _unknown_model(subject)
    if unknown is not None and _variables(subject).get(MODEL_DIR) != IMAGE_MODEL_DIR:
        yield Problem(f"the overlay's own package does not have the model: {unknown[0]}", unknown[1], _place(subject, MODEL_NAME))


@rule(
    "settings-file",
    ERROR,
    "A settings or preset file of the model does not have the form",
    why=(
        'The launcher and the trainer read the same files: `settings.py` declares each setting as `name: type = setting(DEFAULT, "help")`, '
        "a preset is `OVERRIDES = {…}`, both with literals. Anything else ends the run with exit code 78, or cannot be checked."
    ),
    wrong=in_package("models/resnet50v1_5/presets/quick.py", '"""A minute."""\n\nOVERRIDES = {"epoch": 1}'),
    right=in_package("models/resnet50v1_5/presets/quick.py", '"""A minute."""\n\nOVERRIDES = {"epochs": 1}'),
)
def _settings_file(subject: Subject) -> Iterator[Problem]:
    model = _model(subject)
    for problem in model.problems if model else ():
        yield Problem(problem.message, problem.hint, Place(problem.file, problem.line))


@rule(
    "preset-unknown",
    ERROR,
    "MLOPS_PRESET names no preset of the model",
    why="The presets are the files of models/MODEL_NAME/presets. The trainer would end with exit code 78.",
    wrong=in_env("MLOPS_PRESET=fulll"),
    right=in_env("MLOPS_PRESET=full\nMLOPS_GLOBAL_BATCH=256"),
)
def _preset(subject: Subject) -> Iterator[Problem]:
    model, variables = _model(subject), _variables(subject)
    if model is None or model.settings is None and not model.presets:
        return
    chosen = subject.package.chosen_preset(variables, variables.get(MODEL_SCRIPT))
    if chosen is None or chosen in model.presets or _SPOILT.fullmatch(chosen):
        return
    near = did_you_mean(chosen, model.presets)
    hint = f"did you mean `{near}`?" if near else f"one of {', '.join(sorted(model.presets))}" if model.presets else "this model has none"
    yield Problem(f"no such preset: {chosen}", hint, _place(subject, PRESET if variables.get(PRESET) else MODEL_SCRIPT))


@rule(
    "setting-unknown",
    ERROR,
    "An MLOPS_ variable is not a setting of the model",
    why="The trainer refuses it with exit code 78, after queue and pull. `mlops-launch check OVERLAY --settings` lists the settings.",
    wrong=in_env("MLOPS_LEARNING_RATE=0.2"),
    right=in_env("MLOPS_BASE_LEARNING_RATE=0.2"),
)
def _unknown_setting(subject: Subject) -> Iterator[Problem]:
    model = _model(subject)
    if model is None or model.settings is None:
        return
    settings = {*model.by_variable(), *NOT_FLAGS, PRESET}
    for name in _variables(subject):
        if name.startswith(FLAG_PREFIX) and NAME.fullmatch(name) and name not in settings:
            near = did_you_mean(name, settings)
            hint = f"did you mean `{near}`?" if near else LIST_HINT
            yield Problem(f"not a setting of {model.name}: {name}", hint, _place(subject, name))


@rule(
    "setting-value",
    ERROR,
    "A setting has a value that the trainer refuses",
    why="The wrong type, out of bounds, or not one of the choices: the trainer would end with exit code 78, after queue and pull.",
    wrong=in_env("MLOPS_EPOCHS=ten"),
    right=in_env("MLOPS_EPOCHS=10"),
)
def _setting_value(subject: Subject) -> Iterator[Problem]:
    model = _model(subject)
    settings = model.by_variable() if model else {}
    for name, text in _variables(subject).items():
        setting = settings.get(name)
        if setting is None or not text or _SPOILT.fullmatch(text):
            continue
        complaint = setting.text_complaint(text)
        if complaint is not None:
            near = did_you_mean(text, setting.choices)
            yield Problem(f"{name} {complaint}: {text}", f"did you mean `{near}`?" if near else explain(setting), _place(subject, name))


@rule(
    "setting-overridden",
    WARNING,
    "A setting of mlops.env has no effect, because the script gives it as a flag",
    why="A flag goes over the variable. Choose another script, or write the script's flag as `${VARIABLE:-value}`.",
    wrong=in_env("MLOPS_PRECISION=bf16"),
    right=in_env("MODEL_SCRIPT=bf16_training_multi_node.sh"),
)
def _overridden(subject: Subject) -> Iterator[Problem]:
    model, variables = _model(subject), _variables(subject)
    script = subject.package.scripts.get(variables.get(MODEL_SCRIPT, ""))
    if model is None or script is None:
        return
    flags = {PRESET: "preset"} | {variable: setting.name for variable, setting in model.by_variable().items()}
    for variable, name in flags.items():
        text, value = variables.get(variable), script.flag(name, variables)
        if text and value is not None and value != text and not _SPOILT.fullmatch(text):
            yield Problem(
                f"`{variable}` has no effect, {script.name} gives the flag --{name.replace('_', '-')} {value}: {text}",
                "remove the line, or choose a script without that flag: MODEL_SCRIPT",
                _place(subject, variable),
            )


@rule(
    "global-batch",
    ERROR,
    "The global batch cannot be divided among the ranks",
    why=(
        "Every rank takes the same share of a global batch: MLOPS_GLOBAL_BATCH, else the preset's, else the model's default. "
        "The trainer would end with exit code 78."
    ),
    wrong=in_env("MLOPS_GLOBAL_BATCH=51"),
    right=in_env("MLOPS_GLOBAL_BATCH=52"),
)
def _global_batch(subject: Subject) -> Iterator[Problem]:
    job, model, variables = subject.workload, _model(subject), _variables(subject)
    ranks = kinds.lookup(job.kind).world(job) if job else None
    if ranks is None or model is None:
        return
    batch = subject.package.effective(model, _BATCH, variables, variables.get(MODEL_SCRIPT))
    if not isinstance(batch, int) or batch <= 0 or batch % ranks == 0:
        return
    variable = (model.settings or {})[_BATCH].variable
    preset = subject.package.chosen_preset(variables, variables.get(MODEL_SCRIPT))
    what = variable if variables.get(variable) else f"the global batch of {f'preset {preset}' if preset else model.name}"
    yield Problem(
        f"{what} cannot be divided among {ranks} ranks: {batch}",
        f"a multiple of workers × slots: `mlops-launch set OVERLAY {variable}={max(1, round(batch / ranks)) * ranks}`",
        _place(subject, next((key for key in (variable, PRESET) if variables.get(key)), MODEL_SCRIPT)),
    )


def _variables(subject: Subject) -> dict[str, str]:
    """Return the variables that a rank starts with, as far as they are known."""
    if subject.roles:
        return {**subject.variables(subject.roles[0]), **subject.given}
    return {key: value for file in subject.files.env_files.values() for key, value in file.values.items()} | dict(subject.given)


def _place(subject: Subject, name: str) -> Place:
    if name in subject.given:
        return NOWHERE
    if subject.files.env(name) is not None or not subject.roles:
        return subject.at_variable(name)
    return subject.at_pod(subject.roles[0], "containers")
