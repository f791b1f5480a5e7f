"""Whole renderings, compared with the files in golden/."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.manifests.tools import NEEDS_NETWORK, ROOT, Kustomize, kustomizations

GOLDEN = Path(__file__).parent / "golden"
COMPARED = [folder for folder in kustomizations() if folder.startswith(("quickstart/k8s/", "k8s/")) and folder not in NEEDS_NETWORK]


def golden_file(folder: str) -> Path:
    return GOLDEN / f"{folder.replace('/', '.')}.yaml"


@pytest.mark.parametrize("folder", COMPARED)
def test_renders_what_the_golden_file_says(folder: str, kubectl: Kustomize) -> None:
    rendered = kubectl.render(ROOT / folder)
    assert (rendered.returncode, rendered.stderr) == (0, "")
    golden = golden_file(folder)
    if os.environ.get("UPDATE_GOLDENS"):
        golden.write_text(rendered.stdout, encoding="utf-8")
    expected = golden.read_text(encoding="utf-8") if golden.exists() else ""
    assert rendered.stdout == expected, f"{golden.relative_to(ROOT)} differs; if the change is wanted: make goldens"


def test_no_golden_file_is_left_over() -> None:
    assert sorted(GOLDEN.iterdir()) == sorted(golden_file(folder) for folder in COMPARED)
