"""A package's files → its models, settings, presets and scripts. Total: whatever is in them, no exception."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Final, NoReturn

from mlops_launch.core.settings import source
from mlops_launch.core.settings.model import KINDS, Bounds, Model, Package, Preset, Scalar, Script, Setting, SourceProblem, show
from mlops_launch.core.settings.source import Declared, SourceError, one_line

COMMON_FILE: Final = "common/training/settings.py"
# What of a package is read, as patterns below its folder.
PATTERNS: Final = (COMMON_FILE, "models/*/main.py", "models/*/settings.py", "models/*/presets/*.py", "quickstart/*.sh")
_CLASS: Final = "Settings"
_OVERRIDES: Final = "OVERRIDES"
_FORM: Final = 'a setting is `name: type = setting(DEFAULT, "help", …)` with type str, int, float or bool, and literals'
_PRESET_FORM: Final = f'a preset is a docstring and `{_OVERRIDES} = {{"setting": value, …}}` with literals'
# The arguments of `setting(…)`.
ARGUMENTS: Final = frozenset({*source.POSITIONAL, "choices", "minimum", "above", "below", "resume"})
LIST_HINT: Final = "`mlops-launch check OVERLAY --settings` lists them"
_SCRIPT_END: Final = re.compile(r"main\.py[\"']?(?P<flags>.*)$", re.MULTILINE)


def read_package(files: Mapping[str, bytes]) -> Package:
    """Return what the files say.

    Args:
        files: content by path below the package's folder, with `/`; what `PATTERNS` does not name is not looked at.
    """
    shared, problems = _settings(COMMON_FILE, files.get(COMMON_FILE), {})
    names = sorted({path.split("/")[1] for path in files if path.startswith("models/") and path.count("/") == 2})
    models = {name: _model(name, files, shared, problems) for name in names}
    scripts = [_script(path, content) for path, content in sorted(files.items()) if path.startswith("quickstart/")]
    return Package(models, {script.name: script for script in scripts}, shared)


def _model(name: str, files: Mapping[str, bytes], shared: Mapping[str, Setting] | None, of_shared: list[SourceProblem]) -> Model:
    path = f"models/{name}/settings.py"
    settings: Mapping[str, Setting] | None = None
    problems: list[SourceProblem] = []
    if path in files and shared is not None:
        settings, problems = _settings(path, files[path], shared)
    elif path in files:
        problems = list(of_shared)
    presets: dict[str, Preset] = {}
    for file, content in sorted(files.items()):
        stem = PurePosixPath(file).stem
        if file.startswith(f"models/{name}/presets/") and not stem.startswith("_"):
            presets[stem], found = _preset(file, content, settings)
            problems += found
    return Model(name, settings, presets, tuple(problems))


def _settings(
    path: str, content: bytes | None, inherited: Mapping[str, Setting]
) -> tuple[Mapping[str, Setting] | None, list[SourceProblem]]:
    """Return the settings of a class together with those that it inherits, None when it cannot be read."""
    if content is None:
        return None, []
    settings = dict(inherited)
    try:
        for declared in source.read_class(source.parse(content), _CLASS):
            settings[declared.name] = _setting(declared)
    except SourceError as error:
        return None, [SourceProblem(path, error.line, error.message, _FORM)]
    return settings, []


@dataclass(frozen=True)
class _Arguments:
    """The arguments of one `setting(…)`, taken out by type."""

    declared: Declared

    def text(self, name: str) -> str:
        value = self.declared.arguments.get(name, "")
        return " ".join(value.split()) if isinstance(value, str) else self._refuse(name)

    def number(self, name: str) -> float | None:
        value = self.declared.arguments.get(name)
        if value is None or isinstance(value, int | float) and not isinstance(value, bool):
            return value
        return self._refuse(name)

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.declared.arguments.get(name, ())
        if isinstance(value, tuple) and all(isinstance(item, str) for item in value):
            return tuple(str(item) for item in value)
        return self._refuse(name)

    def _refuse(self, name: str) -> NoReturn:
        raise SourceError(f"`{name}` of `{self.declared.name}` has another type than it should", self.declared.line)


def _setting(declared: Declared) -> Setting:
    """Return the setting that a field declares.

    Raises:
        SourceError: the declaration contradicts itself.
    """
    name, line, arguments = declared.name, declared.line, declared.arguments
    unknown = next((argument for argument in arguments if argument not in ARGUMENTS), None)
    if unknown is not None:
        raise SourceError(f"`setting` of `{name}` has an unknown argument: {unknown}", line)
    if declared.annotation not in KINDS:
        raise SourceError(f"the type of `{name}` is not str, int, float or bool: {declared.annotation}", line)
    default = arguments.get("default")
    if default is None or isinstance(default, tuple):
        raise SourceError(f"`{name}` has no default", line)
    read = _Arguments(declared)
    bounds = Bounds(read.number("minimum"), read.number("above"), read.number("below"))
    if declared.annotation == "float" and isinstance(default, int) and not isinstance(default, bool):
        default = float(default)
    setting = Setting(name, declared.annotation, default, read.text("help"), read.texts("choices"), bounds, arguments.get("resume") is True)
    complaint = setting.value_complaint(default)
    if complaint is not None:
        raise SourceError(f"the default of `{name}` {complaint}: {default}", line)
    return setting


def _preset(path: str, content: bytes, settings: Mapping[str, Setting] | None) -> tuple[Preset, list[SourceProblem]]:
    """Return a preset with what of it can be read, and what is wrong with it."""
    name, text = PurePosixPath(path).stem, ""
    overrides: dict[str, Scalar] = {}
    problems: list[SourceProblem] = []
    try:
        tree = source.parse(content)
        text = source.read_docstring(tree)
        for key, value, line in source.read_dictionary(tree, _OVERRIDES):
            problem = None if settings is None else _override_problem(path, line, settings, key, value)
            if problem is not None:
                problems.append(problem)
            elif not isinstance(value, tuple):
                overrides[key] = value
    except SourceError as error:
        problems.append(SourceProblem(path, error.line, error.message, _PRESET_FORM))
    return Preset(name, text, overrides), problems


def _override_problem(path: str, line: int, settings: Mapping[str, Setting], key: str, value: object) -> SourceProblem | None:
    setting = settings.get(key)
    if setting is None:
        near = next(iter(get_close_matches(key, sorted(settings), n=1, cutoff=0.7)), None)
        return SourceProblem(path, line, one_line(f"not a setting of the model: {key}"), f"did you mean `{near}`?" if near else LIST_HINT)
    complaint = setting.value_complaint(value)
    if complaint is None:
        return None
    return SourceProblem(path, line, one_line(f"`{key}` {complaint}: {value}"), explain(setting))


def explain(setting: Setting) -> str:
    """Return what a setting means, for a hint."""
    default = f"the default is {show(setting.default)}" if setting.default != "" else "empty by default"
    return f"{setting.help}; {default}" if setting.help else default


def _script(path: str, content: bytes) -> Script:
    """Return a script with the flags that its last line with `main.py` gives; those that are no plain words are left out."""
    found = _SCRIPT_END.findall(content.decode(errors="replace"))
    try:
        words = shlex.split(found[-1], comments=True) if found else []
    except ValueError:
        words = []
    pairs = zip(words, words[1:], strict=False)
    flags = {word[2:].replace("-", "_"): value for word, value in pairs if word.startswith("--") and not value.startswith(("--", "$@"))}
    return Script(PurePosixPath(path).name, flags, trains=bool(found))
