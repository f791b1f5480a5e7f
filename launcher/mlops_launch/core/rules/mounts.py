"""Rules over the volumes that are mounted, and what of mlops.env lies on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from mlops_launch.contract import DATASET_DIR, IMAGE_MODEL_DIR, MODEL_DIR
from mlops_launch.core.rules.base import Problem, Subject
from mlops_launch.core.rules.example import in_env, in_pod, in_worker
from mlops_launch.core.rules.paths import is_below, places
from mlops_launch.core.rules.rule import ERROR, rule

_SYSTEM = frozenset({"/", "/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr", "/usr/bin", "/usr/lib", "/usr/local"})


@rule(
    "dataset-not-mounted",
    ERROR,
    "DATASET_DIR is on no volume",
    why="The job would end with exit code 66: the image has no data.",
    wrong=in_worker("""
        volumes:
        - name: datasets
          persistentVolumeClaim: null
          emptyDir: {}
        """),
    right=in_worker("""
        volumes:
        - name: datasets
          persistentVolumeClaim:
            claimName: imagenet
        """),
)
def _dataset_not_mounted(subject: Subject) -> Iterator[Problem]:
    for value, role, _, volume in places(subject, DATASET_DIR):
        if volume is None or not volume.outlives_pod and volume.kind != "ephemeral":  # an init container may fill that one
            yield Problem(
                f"DATASET_DIR is on no volume with data in role {role.name}: {value}",
                "mount the dataset claim there; the overlay's replacements copy DATASET_DIR to the mount path",
                subject.at_variable(DATASET_DIR),
            )
            return


@rule(
    "mount-collision",
    ERROR,
    "Two volumes have the same mount path",
    why="The API server refuses the pod.",
    wrong=in_env("DATASET_DIR=/tmp"),
    right=in_env("DATASET_DIR=/datasets"),
    any_job=True,
)
def _mounts_collide(subject: Subject) -> Iterator[Problem]:
    told: set[str] = set()
    for role in subject.roles:
        seen: dict[str, str] = {}
        for mount in role.mounts:
            path = str(PurePosixPath(mount.path))
            if path in seen and path not in told:
                told.add(path)
                place = subject.at_variable(DATASET_DIR) if path == subject.value(DATASET_DIR) else subject.at_pod(role, "containers")
                yield Problem(
                    f"two volumes are mounted in {role.name}, `{seen[path]}` and `{mount.volume}`, at: {path}",
                    "give each volume a mount path of its own",
                    place,
                )
            seen[path] = mount.volume


@rule(
    "model-not-mounted",
    ERROR,
    "MODEL_DIR is neither the image's work folder nor on a volume",
    why="The container's command would not be found.",
    wrong=in_env("MODEL_DIR=/package"),
    right=in_env("MODEL_DIR=/workspace"),
)
def _model_hidden(subject: Subject) -> Iterator[Problem]:
    for value, role, mount, _ in places(subject, MODEL_DIR):
        if mount is None and not is_below(value, IMAGE_MODEL_DIR):
            yield Problem(
                f"MODEL_DIR is on no volume and not the image's own in role {role.name}: {value}",
                f"{IMAGE_MODEL_DIR} is the image's own; otherwise mount the volume that holds the package",
                subject.at_variable(MODEL_DIR),
            )
            return


@rule(
    "volume-missing",
    ERROR,
    "A container mounts a volume that is not declared",
    why="The API server refuses the pod.",
    wrong=in_pod("""
        containers:
        - name: training
          volumeMounts:
          - name: scratch
            mountPath: /scratch
        """),
    right=in_pod("""
        containers:
        - name: training
          volumeMounts:
          - name: scratch
            mountPath: /scratch
        volumes:
        - name: scratch
          emptyDir: {}
        """),
    any_job=True,
)
def _unmounted_volume(subject: Subject) -> Iterator[Problem]:
    for role in subject.roles:
        names = {volume.name for volume in role.volumes}
        for mount in role.mounts:
            if mount.volume not in names:
                yield Problem(
                    f"role {role.name} mounts a volume that is not declared: {mount.volume}",
                    "declare it under `volumes`, or remove the mount",
                    subject.at_pod(role, "volumes"),
                )


@rule(
    "mount-root",
    ERROR,
    "A volume is mounted over a folder of the system",
    why="It hides the image's programs there: the container does not start.",
    wrong=in_env("DATASET_DIR=/usr"),
    right=in_env("DATASET_DIR=/usr/share/datasets"),
    any_job=True,
)
def _over_the_system(subject: Subject) -> Iterator[Problem]:
    told: set[str] = set()
    for role in subject.roles:
        for mount in role.mounts:
            path = str(PurePosixPath(mount.path))
            if path in _SYSTEM and path not in told:
                told.add(path)
                place = subject.at_variable(DATASET_DIR) if path == subject.value(DATASET_DIR) else subject.at_pod(role, "containers")
                yield Problem(
                    f"volume `{mount.volume}` hides a folder of the system: {path}", "choose a folder of its own, such as /datasets", place
                )
