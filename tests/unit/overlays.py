"""The two overlays as values, with mistakes made in them: no file is written and no program runs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from mlops_launch.commands.overlay.files import read_files
from mlops_launch.commands.overlay.package import package_of
from mlops_launch.core.finding import Finding
from mlops_launch.core.overlay.files import OverlayFiles
from mlops_launch.core.rules.base import Subject
from mlops_launch.core.rules.registry import find_problems
from mlops_launch.core.workload.kinds import find_workload

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ROOT / "quickstart/k8s/mlops"
GOLDENS = ROOT / "tests/manifests/golden"
PATCHES = {"multi-node": "mlops-job-patch.yaml", "single-node": "pod-patch.yaml", "all-reduce": "jobset-patch.yaml"}
KINDS = {"multi-node": "MPIJob", "single-node": "Pod", "all-reduce": "JobSet"}
PACKAGE = package_of(ROOT)

Objects = dict[str, dict[str, Any]]
Edit = tuple[str, str]


@lru_cache
def read_overlay(mode: str) -> OverlayFiles:
    return read_files(OVERLAYS / mode)


@lru_cache
def golden(mode: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((GOLDENS / f"quickstart.k8s.mlops.{mode}.yaml").read_text()))


def files_of(mode: str, edits: Mapping[str, Edit] | None = None) -> OverlayFiles:
    """The overlay's texts with one (old, new) replaced in each named file, and a real registry in mlops.env."""
    files = read_overlay(mode)
    texts = {"mlops.env": files.texts["mlops.env"].replace("registry.example.com/mlops", "ghcr.io/me")}
    for name, (old, new) in (edits or {}).items():
        text = texts.get(name, files.texts[name])
        assert old in text, f"{name} does not contain: {old}"
        texts[name] = text.replace(old, new, 1)
    return files.with_texts(texts)


def rendered(mode: str, files: OverlayFiles) -> Objects:
    """The golden objects by kind, with the env file's values in their ConfigMap."""
    objects = copy.deepcopy(golden(mode))
    for found in objects:
        if found["metadata"]["name"].startswith("mlops-env"):
            found["data"] = values = dict(files.env_files["mlops.env"].values)
    for role in ("Launcher", "Worker") if mode == "multi-node" else ("Worker",):
        workload = next(found for found in objects if found["kind"] == KINDS[mode])
        container({workload["kind"]: workload}, role)["image"] = f"{values.get('REGISTRY')}/mlops-launch:{values.get('IMAGE_TAG')}"
    return {found["metadata"]["name"].rsplit("-", 1)[0] if found["kind"] == "ConfigMap" else found["kind"]: found for found in objects}


def copy_counts(objects: Objects) -> None:
    """Do what the replacements do after the patches, where the places are there."""
    spec = objects.get("MPIJob", {}).get("spec", {})
    if not spec or not pod(objects, "Launcher").get("containers"):
        return
    copies = {"MLOPS_WORKERS": spec["mpiReplicaSpecs"]["Worker"]["replicas"], "MLOPS_SLOTS_PER_WORKER": spec["slotsPerWorker"]}
    for entry in container(objects, "Launcher")["env"]:
        entry.update({"value": str(copies[entry["name"]])} if entry["name"] in copies else {})


def findings(
    mode: str = "multi-node",
    *,
    change: Callable[[Objects], object] | None = None,
    render_error: str | None = None,
    **edits: Edit,
) -> list[Finding]:
    """What the rules find after `edits` of the texts (env, patch, kustomization) and a change of the rendered objects."""
    names = {"env": "mlops.env", "patch": PATCHES[mode], "kustomization": "kustomization.yaml"}
    files = files_of(mode, {names[name]: edit for name, edit in edits.items()})
    if render_error is not None:
        return find_problems(Subject(files, None, render_error, PACKAGE))
    objects = rendered(mode, files)
    if change is not None:
        change(objects)
    copy_counts(objects)
    kinds = {found["kind"] for found in objects.values()}
    names = {kind: frozenset(o["metadata"]["name"] for o in objects.values() if o["kind"] == kind) for kind in kinds}
    return find_problems(Subject(files, find_workload(objects.values()), None, PACKAGE, names=names))


def first_lines(found: list[Finding]) -> list[str]:
    return [finding.to_text().splitlines()[0] for finding in found]


def pod(objects: Objects, role: str = "Worker") -> dict[str, Any]:
    """A role's pod spec among rendered objects."""
    if "Pod" in objects:
        return objects["Pod"]["spec"]
    if "JobSet" in objects:
        named = {found["name"]: found for found in objects["JobSet"]["spec"]["replicatedJobs"]}
        return named[role.lower()]["template"]["spec"]["template"]["spec"]
    return objects["MPIJob"]["spec"]["mpiReplicaSpecs"][role]["template"]["spec"]


def container(objects: Objects, role: str = "Worker") -> dict[str, Any]:
    return pod(objects, role)["containers"][0]
