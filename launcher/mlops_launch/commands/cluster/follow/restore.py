"""Complete an archived log from the copy that the entry point has written to the output volume.

The kubelet serves the current file of a container's log only, and the operator removes pods: what has been missed is on
the volume alone. A small pod with the training's image, user and volume reads it; `kubectl exec` brings it here, since a
pod's log would be rotated as well.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import BinaryIO, Final

from mlops_launch import contract
from mlops_launch.clients.cluster import Cluster, Json
from mlops_launch.clients.process import Processes
from mlops_launch.commands.cluster.limits import POLL_S
from mlops_launch.commands.overlay.render import KUBECTL_HINT
from mlops_launch.commands.runs.archive import ArchivedRun
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube import ownership
from mlops_launch.core.kube.causes import causes_of_pods
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.kube.times import moment
from mlops_launch.core.log import copy as logcopy
from mlops_launch.core.workload.model import Role
from mlops_launch.errors import LauncherError

READER: Final = "reader"
START_S: Final = 120.0  # for the reader: its image is on the launcher's node
LIFE_S: Final = 900  # after which the reader ends by itself, whatever becomes of this process
NAME_MAX: Final = 240  # of the pod's name in the reader's
FROM_TEMPLATE: Final = ("imagePullSecrets", "nodeSelector", "runtimeClassName", "schedulerName", "securityContext", "tolerations")
RESOURCES: Final = {"cpu": "100m", "memory": "64Mi"}
SIZE_AND_STARTS: Final = 'stat -c %s "$0" && cat "$0.starts"'
PART: Final = 'tail -c "+$1" "$0" | head -c "$2"'


class LogVolume:
    """The volume that OUTPUT_DIR is on, and who may read it.

    Args:
        cluster: where; its namespace is the training's.
        processes: runs kubectl.
        role: the pod that trains, as it was rendered.
        output: OUTPUT_DIR, absolute.
    """

    def __init__(self, cluster: Cluster, processes: Processes, role: Role, output: str) -> None:
        self._cluster, self._processes, self._role = cluster, processes, role
        self._copy = str(PurePosixPath(output) / contract.LOG_COPY_FILE)
        self._mount = role.mount_above(output)

    @property
    def outlives_its_pod(self) -> bool:
        """Whether what is written to it can be read when the pod has gone."""
        volume = self._role.volume_of(self._mount)
        return volume is not None and volume.outlives_pod

    def complete(self, run: ArchivedRun, pods: Sequence[Object], owner: Object | None) -> int:
        """Put the whole log in place of an archived one; return how many lines that brought.

        Args:
            run: its log is what was seen of the pods' logs.
            pods: those that trained, oldest first.
            owner: the workload: the reader goes when it goes; None when it is gone.

        Raises:
            LauncherError: the copy cannot be read, or is not whole itself.
        """
        reader = self._cluster.apply(self._reader(pods[-1], owner))
        try:
            self._wait(reader)
            parts = self._parts(reader, pods)
            with run.open_whole_log() as whole:
                for found in parts:
                    self._exec(reader, whole, PART, self._copy, str(found.begin + 1), str(found.end - found.begin))
                if whole.tell() != sum(found.end - found.begin for found in parts):
                    raise LauncherError(f"the copy came in part only: {self._copy}")
            return _exchange(run)
        finally:
            run.whole_log.unlink(missing_ok=True)
            self._cluster.delete(self._cluster.path_of(reader))

    def _reader(self, pod: Object, owner: Object | None) -> Json:
        assert self._mount is not None
        spec, main = self._role.pod, self._role.container
        metadata: Json = {
            "name": f"{facts.name_of(pod)[:NAME_MAX]}-log-{secrets.token_hex(3)}",
            "namespace": pod["metadata"]["namespace"],
            "labels": {"app.kubernetes.io/managed-by": ownership.OURS, "app.kubernetes.io/component": "log-reader"},
        }
        if owner is not None:
            reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": facts.name_of(owner), "uid": facts.uid_of(owner)}
            metadata["ownerReferences"] = [reference]
        node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [pod["spec"].get("nodeName", "")]}
        nearby = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": {"matchExpressions": [node]}}]}
        volume = next(volume for volume in spec["volumes"] if volume["name"] == self._mount.volume)
        mount = {"name": self._mount.volume, "mountPath": self._mount.path, "readOnly": True}
        container = {
            "name": READER, "image": main["image"], "command": ["sleep", str(LIFE_S)],
            **{key: main[key] for key in ("imagePullPolicy", "securityContext") if key in main},
            "resources": {"limits": RESOURCES, "requests": RESOURCES},
            "volumeMounts": [mount | ({"subPath": self._mount.sub_path} if self._mount.sub_path else {})],
        }  # fmt: skip
        return {
            "apiVersion": facts.POD[0], "kind": facts.POD[1], "metadata": metadata,
            "spec": {
                **{key: spec[key] for key in FROM_TEMPLATE if key in spec},
                "activeDeadlineSeconds": LIFE_S, "affinity": {"nodeAffinity": nearby}, "automountServiceAccountToken": False,
                "containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "volumes": [volume],
            },
        }  # fmt: skip

    def _wait(self, reader: Object) -> None:
        path, until = self._cluster.path_of(reader), self._cluster.host.monotonic() + START_S
        while True:
            found = self._cluster.find(path)
            if found is None or facts.has_ended(found):
                raise LauncherError(f"the pod that reads it has ended too early: {facts.name_of(reader)}")
            if facts.started_at(found) is not None:
                return
            if self._cluster.host.monotonic() > until:
                texts = [cause.text for cause in causes_of_pods([found], [], lambda pod: None)]
                raise LauncherError(f"the pod that reads it has not started within {START_S:.0f} s: {', '.join(texts) or 'no cause known'}")
            self._cluster.host.sleep(POLL_S)

    def _parts(self, reader: Object, pods: Sequence[Object]) -> list[logcopy.Part]:
        with tempfile.TemporaryFile() as file:
            self._exec(reader, file, SIZE_AND_STARTS, self._copy)
            file.seek(0)
            size, _, starts = file.read().decode(errors="replace").partition("\n")
        found = [logcopy.part(starts, int(size), facts.hostname_of(pod), _began(pod), facts.starts(pod)) for pod in pods]
        if None in found:
            raise LauncherError(f"the copy does not say what this run has written: {self._copy}.starts")
        return [part for part in found if part is not None]

    def _exec(self, reader: Object, out: BinaryIO, script: str, *words: str) -> None:
        place = ["--namespace", reader["metadata"]["namespace"], *(["--context", self._cluster.context] if self._cluster.context else [])]
        command = ["exec", facts.name_of(reader), "--container", READER, "--", "sh", "-c", script, *words]
        self._processes.run_into(out, [self._processes.find("kubectl", KUBECTL_HINT), *place, *command])


def _exchange(run: ArchivedRun) -> int:
    """Put the whole log in place of the archived one when it holds all of it.

    Raises:
        LauncherError: it does not: the copy was broken off, or something else has written to the container's log.
    """
    with run.log.open("rb") as archived, run.whole_log.open("rb") as whole:
        more = logcopy.lines_more(archived, whole)
    if more is None:
        raise LauncherError("the copy lacks lines that the archive has")
    run.whole_log.replace(run.log)
    return more


def _began(pod: Object) -> datetime:
    """Return the earliest time at which the container can have started for the first time."""
    return moment(facts.start_of(pod, 0) or facts.created_at(pod))
