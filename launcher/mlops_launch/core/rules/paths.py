"""Rules over the folders that mlops.env names and the volumes that are mounted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from mlops_launch.contract import DATASET_DIR, MODEL_DIR, OUTPUT_DIR
from mlops_launch.core.rules.base import Problem, Subject
from mlops_launch.core.rules.example import in_env
from mlops_launch.core.rules.rule import ERROR, rule
from mlops_launch.core.workload.model import Mount, Role, Volume

_KEYS = (DATASET_DIR, MODEL_DIR, OUTPUT_DIR)


def _is_path(value: str | None) -> bool:
    return value is not None and value.startswith("/") and not _has_placeholder(value)


def _has_placeholder(value: str) -> bool:
    return "<" in value or "ROOT" in PurePosixPath(value).parts


def is_below(path: str, folder: str) -> bool:
    """Return whether `path` is `folder` or lies below it."""
    return PurePosixPath(path).is_relative_to(PurePosixPath(folder))


def places(subject: Subject, key: str) -> Iterator[tuple[str, Role, Mount | None, Volume | None]]:
    """Yield for each role (path that `key` names, role, the mount it lies on, that mount's volume); nothing without a path."""
    value = subject.value(key)
    if value is None or not _is_path(value):
        return
    for role in subject.roles:
        mount = role.mount_above(value)
        yield value, role, mount, role.volume_of(mount)


@rule(
    "path-placeholder",
    ERROR,
    "ROOT or another placeholder is left in a path of mlops.env",
    why="Older packages wrote `ROOT/<package dir>` where a person must put a folder.",
    wrong=in_env("MODEL_DIR=ROOT/package"),
    right=in_env("MODEL_DIR=/workspace"),
)
def _placeholder(subject: Subject) -> Iterator[Problem]:
    for key in _KEYS:
        value = subject.value(key)
        if value is not None and _has_placeholder(value):
            yield Problem(
                f"the placeholder is still in `{key}`: {value}",
                "write the real folder; the image's own MODEL_DIR is /workspace",
                subject.at_variable(key),
            )


@rule(
    "path-relative",
    ERROR,
    "A path of mlops.env is not absolute",
    why="The job would look for it below the container's work folder.",
    wrong=in_env("DATASET_DIR=datasets"),
    right=in_env("DATASET_DIR=/datasets"),
)
def _relative(subject: Subject) -> Iterator[Problem]:
    for key in _KEYS:
        value = subject.value(key)
        if value and not _has_placeholder(value) and not value.startswith(("/", '"', "'")):
            yield Problem(
                f"`{key}` is not an absolute path: {value}",
                "start it with `/`: it is a path in the container",
                subject.at_variable(key),
            )
        elif value is not None and ".." in PurePosixPath(value).parts:
            yield Problem(f"`{key}` contains `..`: {value}", "write the path without it", subject.at_variable(key))


@rule(
    "output-is-mount",
    ERROR,
    "OUTPUT_DIR is a volume's mount path",
    why="Two runs would share one folder by accident: OUTPUT_DIR must lie below the output claim's mount path.",
    wrong=in_env("OUTPUT_DIR=/outputs"),
    right=in_env("OUTPUT_DIR=/outputs/run-1"),
)
def _output_is_mount(subject: Subject) -> Iterator[Problem]:
    for value, _, mount, _ in places(subject, OUTPUT_DIR):
        if mount is not None and PurePosixPath(mount.path) == PurePosixPath(value):
            yield Problem(
                f"OUTPUT_DIR is the mount path of volume `{mount.volume}`: {value}",
                f"give each run a folder of its own below it, for instance {value.rstrip('/')}/run-1",
                subject.at_variable(OUTPUT_DIR),
            )
            return


@rule(
    "output-not-kept",
    ERROR,
    "OUTPUT_DIR is on no volume that outlives the pod",
    why="With a read-only root file system the job cannot write there; on an emptyDir checkpoints and metrics are lost with the pod.",
    wrong=in_env("OUTPUT_DIR=/tmp/run-1"),
    right=in_env("OUTPUT_DIR=/outputs/run-1"),
)
def _output_not_kept(subject: Subject) -> Iterator[Problem]:
    for value, role, _, volume in places(subject, OUTPUT_DIR):
        if volume is None or not volume.outlives_pod:
            claims = [m.path for m in role.mounts if (v := role.volume_of(m)) and v.claim and not m.read_only]
            hint = (
                f"choose a folder below {' or '.join(claims)}, where a claim is mounted"
                if claims
                else "mount a claim and choose a folder below its mount path"
            )
            yield Problem(f"OUTPUT_DIR is on no volume that outlives the pod: {value}", hint, subject.at_variable(OUTPUT_DIR))
            return


@rule(
    "output-read-only",
    ERROR,
    "OUTPUT_DIR lies on a read-only mount",
    why="The job would end with exit code 73 after its start.",
    wrong=in_env("OUTPUT_DIR=/datasets/run-1"),
    right=in_env("OUTPUT_DIR=/outputs/run-1"),
)
def _output_read_only(subject: Subject) -> Iterator[Problem]:
    for value, _, mount, volume in places(subject, OUTPUT_DIR):
        if mount and (mount.read_only or (volume and volume.source.get("readOnly"))):
            yield Problem(
                f"OUTPUT_DIR lies on volume `{mount.volume}`, which is mounted read-only: {value}",
                "choose a folder below the output claim's mount path",
                subject.at_variable(OUTPUT_DIR),
            )
            return
