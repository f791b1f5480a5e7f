"""Rules over the folders that mlops.env names and the volumes that are mounted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from mlops_launch.contract import DATASET_DIR, IMAGE_MODEL_DIR, MODEL_DIR, OUTPUT_DIR
from mlops_launch.core.rules.base import Problem, Rule, Subject, mounts, volumes
from mlops_launch.core.workload.model import Mount, Role, Volume

_KEYS = (DATASET_DIR, MODEL_DIR, OUTPUT_DIR)


def _value(subject: Subject, key: str) -> str | None:
    """Return a path as the job reads it, or as mlops.env has it when the overlay does not render."""
    if subject.roles and key in (variables := subject.variables(subject.roles[0])):
        return variables[key]
    found = subject.files.env(key)
    return found[1].value if found else None


def _is_path(value: str | None) -> bool:
    return value is not None and value.startswith("/") and not _has_placeholder(value)


def _has_placeholder(value: str) -> bool:
    return "<" in value or "ROOT" in PurePosixPath(value).parts


def _is_below(path: str, folder: str) -> bool:
    """Return whether `path` is `folder` or lies below it."""
    return PurePosixPath(path).is_relative_to(PurePosixPath(folder))


def _volume(role: Role, mount: Mount) -> Volume | None:
    return next((volume for volume in volumes(role) if volume.name == mount.volume), None)


def _mount_of(role: Role, path: str) -> Mount | None:
    """Return the mount that `path` lies on: the longest one."""
    found = [mount for mount in mounts(role) if _is_below(path, mount.path)]
    return max(found, key=lambda mount: len(PurePosixPath(mount.path).parts), default=None)


def _places(subject: Subject, key: str) -> Iterator[tuple[str, Role, Mount | None, Volume | None]]:
    """Yield for each role (path that `key` names, role, the mount it lies on, that mount's volume); nothing without a path."""
    value = _value(subject, key)
    if value is None or not _is_path(value):
        return
    for role in subject.roles:
        mount = _mount_of(role, value)
        yield value, role, mount, _volume(role, mount) if mount else None


def _placeholder(subject: Subject) -> Iterator[Problem]:
    for key in _KEYS:
        value = _value(subject, key)
        if value is not None and _has_placeholder(value):
            yield Problem(
                f"the placeholder is still in `{key}`: {value}",
                "write the real folder; the image's own MODEL_DIR is /workspace",
                subject.at_variable(key),
            )


def _relative(subject: Subject) -> Iterator[Problem]:
    for key in _KEYS:
        value = _value(subject, key)
        if value and not _has_placeholder(value) and not value.startswith(("/", '"', "'")):
            yield Problem(
                f"`{key}` is no absolute path: {value}",
                "start it with `/`: it is a path in the container",
                subject.at_variable(key),
            )
        elif value is not None and ".." in PurePosixPath(value).parts:
            yield Problem(f"`{key}` goes upwards: {value}", "write the path without `..`", subject.at_variable(key))


def _output_is_mount(subject: Subject) -> Iterator[Problem]:
    for value, _, mount, _ in _places(subject, OUTPUT_DIR):
        if mount is not None and PurePosixPath(mount.path) == PurePosixPath(value):
            yield Problem(
                f"OUTPUT_DIR is the mount path of volume `{mount.volume}`: {value}",
                f"give each run a folder of its own below it, for instance {value.rstrip('/')}/run-1",
                subject.at_variable(OUTPUT_DIR),
            )
            return


def _output_not_kept(subject: Subject) -> Iterator[Problem]:
    for value, role, _, volume in _places(subject, OUTPUT_DIR):
        if volume is None or volume.kind in ("emptyDir", "ephemeral", "configMap", "secret", "downwardAPI", "projected"):
            claims = [m.path for m in mounts(role) if (v := _volume(role, m)) and v.claim and not m.read_only]
            hint = (
                f"choose a folder below {' or '.join(claims)}, where a claim is mounted"
                if claims
                else "mount a claim and choose a folder below its mount path"
            )
            yield Problem(f"OUTPUT_DIR is on no volume that outlives the pod: {value}", hint, subject.at_variable(OUTPUT_DIR))
            return


def _output_read_only(subject: Subject) -> Iterator[Problem]:
    for value, _, mount, volume in _places(subject, OUTPUT_DIR):
        if mount and (mount.read_only or (volume and volume.source.get("readOnly"))):
            yield Problem(
                f"OUTPUT_DIR lies on volume `{mount.volume}`, which is mounted read-only: {value}",
                "choose a folder below the output claim's mount path",
                subject.at_variable(OUTPUT_DIR),
            )
            return


def _dataset_not_mounted(subject: Subject) -> Iterator[Problem]:
    for value, role, _, volume in _places(subject, DATASET_DIR):
        if volume is None or volume.kind in ("emptyDir", "configMap", "secret", "downwardAPI"):
            yield Problem(
                f"DATASET_DIR is on no volume with data in role {role.name}: {value}",
                "mount the dataset claim there; the overlay's replacements copy DATASET_DIR to the mount path",
                subject.at_variable(DATASET_DIR),
            )
            return


def _mounts_collide(subject: Subject) -> Iterator[Problem]:
    told: set[str] = set()
    for role in subject.roles:
        seen: dict[str, str] = {}
        for mount in mounts(role):
            path = str(PurePosixPath(mount.path))
            if path in seen and path not in told:
                told.add(path)
                place = subject.at_variable(DATASET_DIR) if path == _value(subject, DATASET_DIR) else subject.at_pod(role, "containers")
                yield Problem(
                    f"two volumes are mounted in {role.name}, `{seen[path]}` and `{mount.volume}`, at: {path}",
                    "give each volume a mount path of its own",
                    place,
                )
            seen[path] = mount.volume


def _model_hidden(subject: Subject) -> Iterator[Problem]:
    for value, role, mount, _ in _places(subject, MODEL_DIR):
        if mount is None and not _is_below(value, IMAGE_MODEL_DIR):
            yield Problem(
                f"MODEL_DIR is on no volume and not the image's own in role {role.name}: {value}",
                f"{IMAGE_MODEL_DIR} is the image's own; otherwise mount the volume that holds the package",
                subject.at_variable(MODEL_DIR),
            )
            return


def _unmounted_volume(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        names = {volume.name for volume in volumes(role)}
        for mount in mounts(role):
            if mount.volume not in names:
                yield Problem(
                    f"role {role.name} mounts a volume that there is not: {mount.volume}",
                    "declare it under `volumes`, or remove the mount",
                    subject.at_pod(role, "volumes"),
                )


RULES = (
    Rule(
        "path-placeholder",
        "error",
        "ROOT or another placeholder is left in a path of mlops.env",
        "Older packages wrote `ROOT/<package dir>` where a person must put a folder.",
        _placeholder,
    ),
    Rule(
        "path-relative",
        "error",
        "A path of mlops.env is not absolute",
        "The job would look for it below the container's work folder.",
        _relative,
    ),
    Rule(
        "output-is-mount",
        "error",
        "OUTPUT_DIR is a volume's mount path",
        "Two runs would share one folder by accident: OUTPUT_DIR must lie below the output claim's mount path.",
        _output_is_mount,
    ),
    Rule(
        "output-not-kept",
        "error",
        "OUTPUT_DIR is on no volume that outlives the pod",
        "With a read-only root file system the job cannot write there; on an emptyDir checkpoints and metrics are lost with the pod.",
        _output_not_kept,
    ),
    Rule(
        "output-read-only",
        "error",
        "OUTPUT_DIR lies on a read-only mount",
        "The job would end with exit code 73 after its start.",
        _output_read_only,
    ),
    Rule(
        "dataset-not-mounted",
        "error",
        "DATASET_DIR is on no volume",
        "The job would end with exit code 66: there are no data in the image.",
        _dataset_not_mounted,
    ),
    Rule(
        "mount-collision",
        "error",
        "Two volumes have the same mount path",
        "The API server refuses the pod.",
        _mounts_collide,
    ),
    Rule(
        "model-not-mounted",
        "error",
        "MODEL_DIR is neither the image's work folder nor on a volume",
        "The container's command would not be found.",
        _model_hidden,
    ),
    Rule(
        "volume-missing",
        "error",
        "A container mounts a volume that is not declared",
        "The API server refuses the pod.",
        _unmounted_volume,
    ),
)
