"""Rules over what neither a ConfigMap nor a process takes: too much, and a NUL byte."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_launch.core.rules.base import Place, Problem, Subject
from mlops_launch.core.rules.env import entries, meant_key
from mlops_launch.core.rules.example import in_env
from mlops_launch.core.rules.rule import ERROR, rule

# https://kubernetes.io/docs/concepts/configuration/configmap/
_LARGEST_CONFIG_MAP = 1 << 20
# Linux's MAX_ARG_STRLEN: `NAME=value` with its NUL byte, which execve(2) refuses above.
_LONGEST_VARIABLE = 1 << 17


@rule(
    "env-nul",
    ERROR,
    "A NUL byte in a value of mlops.env",
    why="No process can have it in a variable: the container is created and does not start.",
    wrong=in_env("HOROVOD_TIMELINE=/outputs/\0timeline.json"),
    right=in_env("HOROVOD_TIMELINE=/outputs/timeline.json"),
)
def _nul(subject: Subject) -> Iterator[Problem]:
    for place, entry in entries(subject):
        if "\0" in entry.value:
            yield Problem(f"a NUL byte in the value of: {meant_key(entry)}", "remove it; the file may be of another encoding", place)


@rule(
    "env-size",
    ERROR,
    "The job's variables are larger than a ConfigMap or a process takes",
    why=(
        f"The API server refuses a ConfigMap of more than {_LARGEST_CONFIG_MAP:,} bytes, and Linux a variable of {_LONGEST_VARIABLE:,}: "
        "the container does not start. Put a long text into a file on a volume and name the file."
    ),
    wrong=in_env("\n".join(f"HOROVOD_NOTE_{number}={'0123456789' * 6000}" for number in range(18))),
    right=in_env("HOROVOD_NOTE_0=/outputs/notes.txt"),
    any_job=True,
)
def _size(subject: Subject) -> Iterator[Problem]:
    for name, data in subject.workload.config_maps.items() if subject.workload else ():
        size = sum(len(str(key).encode()) + len(str(value).encode()) for key, value in data.items())
        if size > _LARGEST_CONFIG_MAP:
            place = Place(next(iter(subject.files.env_file_names), subject.files.kustomization))
            yield Problem(
                f"the ConfigMap {name} has more than {_LARGEST_CONFIG_MAP:,} bytes: {size:,}", "name a file on a volume instead", place
            )
    for role in subject.roles:
        for key, value in subject.variables(role).items():
            if len(f"{key}={value}".encode()) >= _LONGEST_VARIABLE:
                hint = "name a file on a volume instead"
                yield Problem(
                    f"{role.name} cannot start with a variable of {_LONGEST_VARIABLE:,} bytes or more: {key}",
                    hint,
                    subject.at_variable(key),
                )
