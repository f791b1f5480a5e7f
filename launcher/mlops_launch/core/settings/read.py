"""A package's files → its models, settings, presets and scripts. Total: whatever is in them, no exception."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
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
ARGUMENTS: Final = frozenset({*source.POSITIONAL, "choices", "minimum", "above", "below", "resume", "per_rank"})
LIST_HINT: Final = "`mlops-launch check OVERLAY --settings` lists them"
_OF_A_MODEL: Final = re.compile(r"models/[^/]+/settings\.py")
_SCRIPT_END: Final = re.compile(r"main\.py[\"']?(?P<flags>.*)$", re.MULTILINE)


def read_package(files: Mapping[str, bytes]) -> Package:
    """Return what the files say.

    Args:
        files: content by path below the package's folder, with `/`; what `PATTERNS` does not name is not looked at.
    """
    return _read(tuple(sorted(files.items())))


# One call of the program asks several times, `set` for each text it tries; nobody changes a package.
@lru_cache(maxsize=8)
def _read(contents: tuple[tuple[str, bytes], ...]) -> Package:
    files = dict(contents)
    shared, _ = _settings(COMMON_FILE, files)
    names = sorted({path.split("/")[1] for path in files if path.startswith("models/") and path.count("/") == 2})
    models = {name: _model(name, files) for name in names}
    scripts = [_script(path, content) for path, content in sorted(files.items()) if path.startswith("quickstart/")]
    return Package(models, {script.name: script for script in scripts}, shared)


def _model(name: str, files: Mapping[str, bytes]) -> Model:
    settings, problems = _settings(f"models/{name}/settings.py", files)
    presets: dict[str, Preset] = {}
    for file, content in sorted(files.items()):
        stem = PurePosixPath(file).stem
        if file.startswith(f"models/{name}/presets/") and not stem.startswith("_"):
            presets[stem], found = _preset(file, content, settings)
            problems += found
    return Model(name, settings, presets, tuple(problems))


def _settings(
    path: str, files: Mapping[str, bytes], below: tuple[str, ...] = ()
) -> tuple[Mapping[str, Setting] | None, list[SourceProblem]]:
    """Return the settings that a file's class has, inherited ones first; None when there is no such file, or it cannot be read."""
    if path not in files:
        return None, []
    settings: dict[str, Setting] = {}
    try:
        tree = source.parse(files[path])
        # The first base is the one that counts, so it is read last.
        for base, line in reversed(list(source.read_bases(tree, _CLASS, _module(path)))):
            file = _file_of(base, line, {path, *below})
            inherited, problems = _settings(file, files, (path, *below))
            if inherited is None:
                return None, problems or _missing(path, line, file)
            settings |= inherited
        settings |= {declared.name: _setting(declared) for declared in source.read_class(tree, _CLASS)}
    except SourceError as error:
        return None, [SourceProblem(path, error.line, error.message, _FORM)]
    return settings, []


def _module(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def _file_of(base: str, line: int, below: Collection[str]) -> str:
    """Return the file of a base class.

    Raises:
        SourceError: it is not a class of settings, or inherits from one of the files `below`.
    """
    module, _, name = base.rpartition(".")
    file = module.replace(".", "/") + ".py"
    if name != _CLASS or not (file == COMMON_FILE or _OF_A_MODEL.fullmatch(file)):
        raise SourceError(f"`{_CLASS}` inherits from what is not the settings of common.training or of a model: {base}", line)
    if file in below:
        raise SourceError(f"`{_CLASS}` inherits from itself: {base}", line)
    return file


def _missing(path: str, line: int, file: str) -> list[SourceProblem]:
    """Return the problem that a base class's file is missing; a package without the common one is an older one."""
    return [] if file == COMMON_FILE else [SourceProblem(path, line, f"no such file: {file}", _FORM)]


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
    """Return a script with the flags that its last line with `main.py` gives; a line that a shell would not read has none."""
    found = _SCRIPT_END.findall(content.decode(errors="replace"))
    try:
        words = shlex.split(found[-1], comments=True) if found else []
    except ValueError:
        words = []
    pairs = zip(words, words[1:], strict=False)
    flags = {word[2:].replace("-", "_"): value for word, value in pairs if word.startswith("--") and not value.startswith(("--", "$@"))}
    return Script(PurePosixPath(path).name, flags, trains=bool(found))
