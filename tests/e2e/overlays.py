"""The overlays as a person uses them: a copy, the edits that everybody must make, kubectl's own words in a shell."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.settings import REPOSITORY, ClusterError
from tests.e2e.cluster.training_image import REGISTRY, TrainingImage

MULTI_NODE = "quickstart/k8s/mlops/multi-node"
SINGLE_NODE = "quickstart/k8s/mlops/single-node"
UID = 4321
QUICK = {"MLOPS_MODEL": "tiny", "MLOPS_IMAGE_SIZE": "8", "MLOPS_MAX_STEPS": "20"}
"""A training of a few seconds, beside the start of TensorFlow."""


@dataclass(frozen=True)
class Site:
    """A namespace with storage, and the copy of the files that a person edits: `folder` is where the commands run."""

    cluster: Cluster
    namespace: str
    folder: Path
    outputs: Path
    """The folder behind the claim `outputs`, seen from here."""

    def set(self, overlay: str, *options: str, **values: object) -> None:
        """Edits an overlay with `mlops-launch set`."""
        words = [sys.executable, "-m", "mlops_launch", "set", overlay, *options, *(f"{key}={value}" for key, value in values.items())]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "launcher")}
        done = subprocess.run(words, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def replace(self, file: str, old: str, new: str) -> None:
        """Edits a file that `set` does not know, as with an editor."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"not in {file}: {old}"
        path.write_text(text.replace(old, new))

    def give(self, folder: str) -> None:
        """Makes a folder below the node's /srv, owned by the training's user: hostPath knows no fsGroup."""
        made = self.cluster.settings.srv / Path(folder).relative_to("/srv")
        made.mkdir(parents=True, exist_ok=True)
        os.chown(made, UID, UID)

    def shell(self, words: str, seconds: float = 180) -> str:
        """Runs a line in a shell whose kubectl talks to the namespace; returns its stdout.

        Raises:
            ClusterError: it failed.
            subprocess.TimeoutExpired: not done within `seconds`.
        """
        process = self.start(words)
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        if process.returncode != 0:
            raise ClusterError(f"`{words}` failed with exit code {process.returncode}: {errors.strip()}")
        return output

    def start(self, words: str) -> subprocess.Popen[str]:
        """Starts a line as `shell` does, and does not wait for it."""
        environment = {**os.environ, "KUBECONFIG": str(self.folder / "kubeconfig"), "PATH": f"{self.cluster.programs}:{os.environ['PATH']}"}
        argv = ["bash", "-euo", "pipefail", "-c", words]
        return subprocess.Popen(argv, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def pod(self, part: str) -> dict[str, Any] | None:
        """The one pod whose name contains `part`, None when there is none."""
        found = [pod for pod in self.pods() if part in pod["metadata"]["name"]]
        assert len(found) <= 1, [pod["metadata"]["name"] for pod in found]
        return found[0] if found else None

    def pods(self) -> list[dict[str, Any]]:
        """Every pod of the namespace."""
        items: list[dict[str, Any]] = json.loads(self.shell("kubectl get pods -o json"))["items"]
        return items

    def exit_code(self, part: str) -> int | None:
        """The exit code of the pod whose name contains `part`; None until it has ended."""
        pod = self.pod(part)
        statuses = pod["status"].get("containerStatuses", []) if pod else []
        terminated = statuses[0]["state"].get("terminated") if statuses else None
        return terminated["exitCode"] if terminated else None

    def ended(self, part: str, seconds: float = 180) -> int:
        """Waits until the pod whose name contains `part` has ended; returns its exit code."""
        code: list[int] = []

        def look() -> bool:
            found = self.exit_code(part)
            code.extend([] if found is None else [found])
            return found is not None

        self.wait(look, f"end of {part}", seconds)
        return code[0]

    def started(self, part: str) -> None:
        """Waits until the pod whose name contains `part` has a log to read."""

        def look() -> bool:
            pod = self.pod(part)
            return pod is not None and pod["status"]["phase"] != "Pending"

        self.wait(look, f"start of {part}", 120)

    def log(self, part: str) -> str:
        """The log of the pod whose name contains `part`."""
        pod = self.pod(part)
        assert pod is not None
        return self.shell(f"kubectl logs {pod['metadata']['name']}")

    def wait(self, ready: Callable[[], bool], what: str, seconds: float) -> None:
        """Waits until `ready` says so.

        Raises:
            ClusterError: not within `seconds`; the pods' state is in the message.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > deadline:
                state = self.shell("kubectl get pods -o wide; kubectl events | tail -20")
                raise ClusterError(f"not within {seconds:.0f} s: {what}\n{state}")
            time.sleep(0.5)


def make_site(cluster: Cluster, namespace: str, folder: Path, image: TrainingImage, datasets: str) -> Site:
    """Copies the files, makes the edits that everybody must make, and applies k8s/storage/hostpath.

    Args:
        cluster: where.
        namespace: of the training.
        folder: an empty one, for the copies.
        image: what REGISTRY and IMAGE_TAG will say.
        datasets: the node's folder for the claim `datasets`.
    """
    for name in ("quickstart", "k8s"):
        shutil.copytree(REPOSITORY / name, folder / name)
    site = Site(cluster, namespace, folder, cluster.settings.srv / "mlops" / namespace / "outputs")
    site.replace("k8s/storage/hostpath/kustomization.yaml", "namespace: default", f"namespace: {namespace}")
    site.replace("k8s/storage/hostpath/storage.env", "/srv/mlops/datasets", datasets)
    site.replace("k8s/storage/hostpath/storage.env", "/srv/mlops/outputs", f"/srv/mlops/{namespace}/outputs")
    site.give(f"/srv/mlops/{namespace}/outputs")
    shutil.copyfile(cluster.settings.kubeconfig, folder / "kubeconfig")
    site.shell(f"kubectl config set-context --current --namespace={namespace}")
    site.shell("kubectl apply -k k8s/storage/hostpath")
    for overlay in (MULTI_NODE, SINGLE_NODE):
        site.set(overlay, "--user", f"{UID}:{UID}", "--registry", REGISTRY, "--image-tag", image.tag)
    return site


def set_up_loader(site: Site, image: TrainingImage) -> None:
    """Makes the edits of k8s/storage/loader that everybody must make."""
    site.replace("k8s/storage/loader/loader.env", "registry.example.com/mlops", REGISTRY)
    site.replace("k8s/storage/loader/loader.env", "IMAGE_TAG=0.1.0", f"IMAGE_TAG={image.tag}")
    site.replace("k8s/storage/loader/job.yaml", ": 1000 ", f": {UID} ")


def remove_site(site: Site) -> None:
    """Removes the volumes and their folder; the namespace goes with its fixture."""
    site.shell("kubectl delete -k k8s/storage/hostpath --wait=false")
    shutil.rmtree(site.outputs.parent)
