"""Rules over the keys of mlops.env: what is no name, what nothing reads, what is missing."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_launch.contract import DATASET_DIR, FLAG_PREFIX, IMAGE_TAG, MODEL_DIR, MODEL_NAME, MODEL_SCRIPT, OUTPUT_DIR, REGISTRY
from mlops_launch.core.overlay import known_variables
from mlops_launch.core.overlay.edits import KNOWN_KEYS, KNOWN_PREFIXES
from mlops_launch.core.overlay.envfile import NAME
from mlops_launch.core.overlay.values import did_you_mean
from mlops_launch.core.rules.base import Place, Problem, Subject
from mlops_launch.core.rules.env import entries, meant_key
from mlops_launch.core.rules.example import in_env
from mlops_launch.core.rules.mpirun import MPI_JOB, open_mpi_options
from mlops_launch.core.rules.rule import ERROR, rule

REQUIRED = (REGISTRY, IMAGE_TAG, DATASET_DIR, MODEL_DIR, OUTPUT_DIR, MODEL_NAME, MODEL_SCRIPT)
_NEAR = (*KNOWN_KEYS, *known_variables.SYSTEM)


@rule(
    "env-name",
    ERROR,
    "A key of mlops.env is not the name of a variable",
    why="Kubernetes refuses the ConfigMap or silently skips the key.",
    wrong=in_env("2ND_SEED=7"),
    right=in_env("MLOPS_SEED=7"),
)
def _invalid_name(subject: Subject) -> Iterator[Problem]:
    for place, entry in entries(subject):
        if not NAME.fullmatch(meant_key(entry)):
            yield Problem(
                f"not the name of a variable: {meant_key(entry)}",
                "letters, digits and `_`, not starting with a digit; Kubernetes skips such a key",
                place,
            )


def is_unknown(subject: Subject, key: str) -> bool:
    """Return whether `key` is none of the overlay's, the trainer's, the libraries' and the system's, and no command names it.

    The process of a Pod gets every variable, and horovodrun hands on every one: a key that resembles no known one may be meant for it.
    """
    if known_variables.is_known(key, KNOWN_KEYS, KNOWN_PREFIXES) or not NAME.fullmatch(key):
        return False
    words = [word for role in subject.roles for word in role.command]
    if key in words or any(f"$({key})" in word for word in words):
        return False
    job = subject.whole_of_kind(MPI_JOB)
    is_passed_on = subject.workload is not None and (job is None or open_mpi_options(job) is None)
    return not is_passed_on or did_you_mean(key, _NEAR) is not None or _is_near_prefix(key)


def _is_near_prefix(key: str) -> bool:
    """Return whether the key starts like a setting of the trainer, but for a slip."""
    head = key.partition("_")[0]
    return f"{head}_" != FLAG_PREFIX and "_" in key and did_you_mean(head, [FLAG_PREFIX.rstrip("_")]) is not None


@rule(
    "env-unknown",
    ERROR,
    "Nothing reads a key of mlops.env",
    why=(
        "A misspelt key leaves the default in force. Keys are REGISTRY, IMAGE_TAG, DATASET_DIR, MODEL_DIR, OUTPUT_DIR, MODEL_NAME, "
        "MODEL_SCRIPT, MLOPS_<FLAG> for every flag of the trainer, the variables of libraries and of the system, and what the launcher's "
        "command names. In a single Pod, where every variable reaches the process, only a key that resembles one of these is named."
    ),
    wrong=in_env("MLOP_SEED=7"),
    right=in_env("MLOPS_SEED=7"),
)
def _unknown_key(subject: Subject) -> Iterator[Problem]:
    for place, entry in entries(subject):
        key = meant_key(entry)
        if not is_unknown(subject, key):
            continue
        near = did_you_mean(key, _NEAR)
        yield Problem(
            f"nothing reads this key: {key}",
            f"did you mean `{near}`?"
            if near
            else "a flag of the trainer is MLOPS_<FLAG>; another variable must be exported to the ranks by `-x` in the launcher's command",
            place,
        )


def _needed(subject: Subject) -> tuple[str, ...]:
    """Return the keys that must be there: where something else than a script of quickstart/ is started, only what its command names."""
    words = [word for role in subject.roles for word in role.command]
    if subject.workload is None or any(f"$({MODEL_SCRIPT})" in word for word in words):
        return REQUIRED
    return tuple(key for key in REQUIRED if key in (REGISTRY, IMAGE_TAG, OUTPUT_DIR) or any(f"$({key})" in word for word in words))


@rule(
    "env-missing",
    ERROR,
    "A key is missing in mlops.env",
    why="The overlay's replacements and the job's command read it: the overlay does not render, or the command keeps a `$(NAME)`.",
    wrong=in_env("# IMAGE_TAG=0.1.0"),
    right=in_env("IMAGE_TAG=0.1.0"),
    explains_render=True,
)
def _missing_key(subject: Subject) -> Iterator[Problem]:
    if not subject.files.env_files or any(file.too_long for file in subject.files.env_files.values()):
        return  # env-line-length says why
    name = next(iter(subject.files.env_files))
    there = {meant_key(entry) for _, entry in entries(subject)}
    if subject.workload is not None:
        there |= {key for role in subject.roles if role.containers for key in subject.variables(role)}
    for key in _needed(subject):
        if key not in there:
            yield Problem(f"the key is missing: {key}", f"add `{key}=…` to {name}", Place(name))
