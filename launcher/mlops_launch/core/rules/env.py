"""Rules over the lines of mlops.env: kustomize takes everything after `=` literally, so a slip lands in the job."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlops_launch.contract import DATASET_DIR, IMAGE_TAG, MODEL_DIR, MODEL_NAME, MODEL_SCRIPT, OUTPUT_DIR, REGISTRY
from mlops_launch.core.overlay.edits import KNOWN_KEYS, KNOWN_PREFIXES
from mlops_launch.core.overlay.envfile import BYTE_ORDER_MARK, NAME, Entry
from mlops_launch.core.overlay.values import did_you_mean
from mlops_launch.core.rules.base import Place, Problem, Rule, Subject, containers

REQUIRED = (REGISTRY, IMAGE_TAG, DATASET_DIR, MODEL_DIR, OUTPUT_DIR, MODEL_NAME, MODEL_SCRIPT)
# Variables of libraries that a user may have a reason to set.
_LIBRARY_PREFIXES = (
    "NCCL_",
    "OMP_",
    "OMPI_",
    "PRTE_",
    "PMIX_",
    "UCX_",
    "CUDA_",
    "XLA_",
    "KMP_",
    "MKL_",
    "PYTHON",
    "LD_",
)
_QUOTED = re.compile(r"(?P<quote>[\"']).*(?P=quote)\s*")


def _entries(subject: Subject) -> Iterator[tuple[Place, Entry]]:
    for name, file in subject.files.env_files.items():
        for entry in file.entries:
            yield Place(name, entry.line), entry


def _name(entry: Entry) -> str:
    """Return the key that was meant: without `export` and white space."""
    return entry.key.strip().removeprefix("export ").strip()


def _quoted(subject: Subject) -> Iterator[Problem]:
    for place, entry in _entries(subject):
        if _QUOTED.fullmatch(entry.value.lstrip()):
            yield Problem(
                f"the quotes are part of the value of `{_name(entry)}`: {entry.value}",
                "remove the quotes; blanks need none",
                place,
            )


def _exported(subject: Subject) -> Iterator[Problem]:
    for place, entry in _entries(subject):
        if entry.key.startswith(("export ", "export\t")):
            yield Problem(f"`export` is part of the key: {entry.key}", f"write `{_name(entry)}=…`", place)


def _spaces(subject: Subject) -> Iterator[Problem]:
    for place, entry in _entries(subject):
        if entry.key != entry.key.rstrip() or entry.value != entry.value.strip():
            yield Problem(
                f"white space is part of the key or the value: {entry.key}={entry.value!r}",
                "no white space around `=` and at the end of the line",
                place,
            )


def _trailing_comment(subject: Subject) -> Iterator[Problem]:
    for place, entry in _entries(subject):
        if re.search(r"\s#", entry.value):
            yield Problem(
                f"the comment is part of the value of `{_name(entry)}`: {entry.value}",
                "put the comment on a line of its own",
                place,
            )


def _duplicate(subject: Subject) -> Iterator[Problem]:
    for name, file in subject.files.env_files.items():
        for entry in file.entries:
            first = file.entry(entry.key)
            if first is not None and first is not entry:
                yield Problem(
                    f"`{entry.key}` is there again, first on line: {first.line}",
                    "kustomize refuses a duplicate key: remove one",
                    Place(name, entry.line),
                )


def _empty(subject: Subject) -> Iterator[Problem]:
    for place, entry in _entries(subject):
        if not entry.value.strip():
            yield Problem(f"no value for: {_name(entry)}", f"write `{_name(entry)}=VALUE`, or remove the line", place)


def _line_ends(subject: Subject) -> Iterator[Problem]:
    for name, file in subject.files.env_files.items():
        number = next((number for number, line in enumerate(file.text.split("\n"), 1) if line.endswith("\r")), None)
        if number is not None:
            yield Problem(
                "Windows line ends: CRLF",
                "`sed -i 's/\\r$//'` over the file; shells and other tools keep the carriage return in the value",
                Place(name, number),
            )


def _byte_order_mark(subject: Subject) -> Iterator[Problem]:
    for name, file in subject.files.env_files.items():
        if file.text.startswith(BYTE_ORDER_MARK):
            yield Problem(
                "byte order mark at the start: U+FEFF",
                "save the file as UTF-8 without a byte order mark",
                Place(name, 1),
            )


def _invalid_name(subject: Subject) -> Iterator[Problem]:
    for place, entry in _entries(subject):
        if not NAME.fullmatch(_name(entry)):
            yield Problem(
                f"not the name of a variable: {_name(entry)}",
                "letters, digits and `_`, not starting with a digit; Kubernetes skips such a key",
                place,
            )


def is_unknown(subject: Subject, key: str) -> bool:
    """Return whether `key` is none of the overlay's, the trainer's and the libraries', and no command names it."""
    if key in KNOWN_KEYS or key.startswith((*KNOWN_PREFIXES, *_LIBRARY_PREFIXES)) or not NAME.fullmatch(key):
        return False
    words = [word for role in subject.roles for word in role.command]
    return key not in words and not any(f"$({key})" in word for word in words)


def _unknown_key(subject: Subject) -> Iterator[Problem]:
    for place, entry in _entries(subject):
        key = _name(entry)
        if not is_unknown(subject, key):
            continue
        near = did_you_mean(key, KNOWN_KEYS)
        yield Problem(
            f"nothing reads this key: {key}",
            f"did you mean `{near}`?"
            if near
            else "a flag of the trainer is MLOPS_<FLAG>; another variable must be exported to the ranks by `-x` in the launcher's command",
            place,
        )


def _missing_key(subject: Subject) -> Iterator[Problem]:
    if not subject.files.env_files:
        return
    name = next(iter(subject.files.env_files))
    there = {_name(entry) for _, entry in _entries(subject)}
    if subject.workload is not None:
        there |= {key for role in subject.roles if containers(role) for key in subject.variables(role)}
    for key in REQUIRED:
        if key not in there:
            yield Problem(f"the key is missing: {key}", f"add `{key}=…` to {name}", Place(name))


RULES = (
    Rule(
        "env-quoted",
        "error",
        "A value of mlops.env is in quotes",
        "kustomize does not take quotes away, so they become part of the path or the name that the job reads.",
        _quoted,
    ),
    Rule(
        "env-export",
        "error",
        "A line of mlops.env starts with `export`",
        "mlops.env is no shell script: `export NAME` becomes the key, and the variable that was meant is missing.",
        _exported,
    ),
    Rule(
        "env-space",
        "error",
        "White space around `=` or at the end of a line of mlops.env",
        "kustomize keeps it: `A = b` is the key `A ` with the value ` b`.",
        _spaces,
    ),
    Rule(
        "env-comment",
        "error",
        "A comment behind a value of mlops.env",
        "Only a line that starts with `#` is a comment; behind a value it is part of the value.",
        _trailing_comment,
    ),
    Rule(
        "env-duplicate",
        "error",
        "A key is twice in an env file",
        "kustomize refuses to build the ConfigMap.",
        _duplicate,
    ),
    Rule(
        "env-empty",
        "error",
        "A key of mlops.env has no value",
        "The job gets an empty text, which is no path and no name; leave a line out to get the default.",
        _empty,
    ),
    Rule(
        "env-crlf",
        "warning",
        "mlops.env has Windows line ends",
        "kustomize drops the carriage return, but everything else that reads the file keeps it in the value.",
        _line_ends,
    ),
    Rule(
        "env-bom",
        "warning",
        "mlops.env starts with a byte order mark",
        "kustomize drops it, but everything else that reads the file keeps it in the first key.",
        _byte_order_mark,
    ),
    Rule(
        "env-name",
        "error",
        "A key of mlops.env is no name of a variable",
        "Kubernetes refuses the ConfigMap or silently skips the key.",
        _invalid_name,
    ),
    Rule(
        "env-unknown",
        "error",
        "Nothing reads a key of mlops.env",
        "A misspelt key leaves the default in force. Keys are REGISTRY, IMAGE_TAG, DATASET_DIR, MODEL_DIR, OUTPUT_DIR, MODEL_NAME, "
        "MODEL_SCRIPT, MLOPS_<FLAG> for every flag of the trainer, the variables of the libraries, and what the launcher's command names.",
        _unknown_key,
    ),
    Rule(
        "env-missing",
        "error",
        "A key is missing in mlops.env",
        "The overlay's replacements and the job's command read it: the overlay does not render, or the command keeps a `$(NAME)`.",
        _missing_key,
    ),
)
