"""Both kustomizes, the kustomizations of the repository, and temporary copies of overlays."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "quickstart"
OVERLAYS = QUICKSTART / "k8s" / "mlops"
COMPONENTS = QUICKSTART / "common" / "tensorflow" / "k8s" / "mlops" / "components"
SINGLE_NODE, MULTI_NODE, ALL_REDUCE = OVERLAYS / "single-node", OVERLAYS / "multi-node", OVERLAYS / "all-reduce"

# The oldest kustomize that is tested is the one inside kubectl 1.31.
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.4.2"
MPI_OPERATOR = "github.com/kubeflow/mpi-operator@v0.8.2"
JOBSET = "sigs.k8s.io/jobset@v0.12.0"

# Fetched from the network when they are rendered; tests/e2e renders them from the same version's files.
NEEDS_NETWORK = {
    "k8s/mpi-operator": "the resource is a remote reference",
    "k8s/jobset": "the resource is a remote reference",
}

Object = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """What a kustomize printed; stderr holds its warnings."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def objects(self) -> list[Object]:
        assert (self.returncode, self.stderr) == (0, ""), self.stderr
        return [document for document in yaml.safe_load_all(self.stdout) if document]

    def object(self, kind: str, name: str | None = None) -> Object:
        """Return the one object of that kind; `name` is the start of its name, before a hash."""
        found = [o for o in self.objects if o["kind"] == kind and (name is None or o["metadata"]["name"].startswith(name))]
        assert len(found) == 1, f"{kind} {name}: {len(found)} of them"
        return found[0]


@dataclass(frozen=True)
class Kustomize:
    """A program that renders: `kustomize build` or `kubectl kustomize`."""

    argv: tuple[str, ...]

    def render(self, folder: Path) -> Rendered:
        finished = subprocess.run([*self.argv, str(folder)], capture_output=True, text=True, timeout=60)
        return Rendered(finished.returncode, finished.stdout, finished.stderr)


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlops-launch"


def built_kustomize(go: str) -> Path:
    """Return kustomize 5.4.2, built from its Go module once for this version of Go."""
    version = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout
    program = cache_folder() / "kustomize" / hashlib.sha256(f"{KUSTOMIZE}\n{version}".encode()).hexdigest()[:16] / "kustomize"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=program.parent) as scratch:
            subprocess.run([go, "install", KUSTOMIZE], env=os.environ | {"GOBIN": scratch}, cwd=scratch, check=True, timeout=540)
            (Path(scratch) / "kustomize").replace(program)
    return program


def kustomizations() -> list[str]:
    """Return the folders of all kustomizations that can be built by themselves, relative to the repository."""
    tracked = [path for top in ("quickstart", "k8s", "tests") for path in (ROOT / top).rglob("kustomization.yaml")]
    return sorted(str(path.parent.relative_to(ROOT)) for path in tracked if not is_component(path))


def is_component(path: Path) -> bool:
    return bool(yaml.safe_load(path.read_text(encoding="utf-8"))["kind"] == "Component")


def copy_overlays(target: Path) -> Path:
    """Copy quickstart to `target`; return the folder of the overlays in the copy."""
    shutil.copytree(QUICKSTART, target / "quickstart")
    return target / "quickstart" / "k8s" / "mlops"


def edit(path: Path, old: str, new: str) -> None:
    """Replace text that must be there: a test whose edit does nothing would prove nothing."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"not in {path.name}: {old}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def allowed(rendered: Rendered) -> set[tuple[str, str, str]]:
    """Return what the Role allows: (API group, resource, verb)."""
    return {
        (group, resource, verb)
        for rule in rendered.object("Role")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def pod_specs(rendered: Rendered) -> dict[str, Object]:
    """Return the pod specs of an overlay by role: Pod, Launcher and Worker, or those of a JobSet."""
    pods: dict[str, Object] = {}
    for manifest in rendered.objects:
        if manifest["kind"] == "Pod":
            pods["Pod"] = manifest["spec"]
        if manifest["kind"] == "MPIJob":
            pods |= {role: replica["template"]["spec"] for role, replica in manifest["spec"]["mpiReplicaSpecs"].items()}
        if manifest["kind"] == "JobSet":
            pods |= {role["name"]: role["template"]["spec"]["template"]["spec"] for role in manifest["spec"]["replicatedJobs"]}
    assert pods
    return pods


def container(pod: Object) -> Object:
    """Return the pod's only container."""
    (only,) = pod["containers"]
    assert isinstance(only, dict)
    return only


def environment(pod: Object) -> dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in container(pod)["env"]}


def resource(version: str, kind: str) -> tuple[str, str]:
    """An API group and a resource, as a Role names them."""
    return version.rpartition("/")[0], f"{kind.lower()}s"
