"""Rules over the YAML files.

Each case is one mistake in an overlay that has none, and all that `check` says about it.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.overlays import findings, first_lines

CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a misspelt field of the job": (
        dict(patch=("slotsPerWorker", "slotsPerWorkr")),
        ["error field-unknown mlops-job-patch.yaml:7 no such field: slotsPerWorkr"],
    ),
    "a misspelt field of the pod": (
        dict(mode="single-node", patch=("runAsGroup", "runAsGrup")),
        ["error field-unknown pod-patch.yaml:8 no such field: runAsGrup"],
    ),
    "a misspelt field of the kustomization": (
        dict(kustomization=("replacements:", "replacement:"), render_error="kubectl does not render the overlay: json: unknown field"),
        ["error kustomize-field kustomization.yaml:23 no such field: replacement"],
    ),
    "a deprecated field": (
        dict(kustomization=("resources:", "bases:")),
        ["warning kustomize-deprecated kustomization.yaml:4 deprecated field: bases"],
    ),
    "a key twice in YAML": (
        dict(patch=("slotsPerWorker: 1", "slotsPerWorker: 1\n  slotsPerWorker: 2")),
        ["error yaml-duplicate-key mlops-job-patch.yaml:8 duplicate key, first on line 7: slotsPerWorker"],
    ),
    "YAML that does not parse": (
        dict(
            patch=("slotsPerWorker: 1", "slotsPerWorker: [1"),
            render_error="kubectl does not render the overlay: unable to parse SM or JSON patch",
        ),
        ["error yaml-error mlops-job-patch.yaml:8 not valid YAML, column 18: expected ',' or ']', but got ':'"],
    ),
    "a patch file that is missing": (
        dict(
            kustomization=("- path: mlops-job-patch.yaml", "- path: job-patch.yaml"),
            render_error="kubectl does not render the overlay: no such file",
        ),
        ["error kustomize-file kustomization.yaml:17 no such file: job-patch.yaml"],
    ),
    "an env file that is missing": (
        dict(kustomization=("  - mlops.env", "  - mlop.env"), render_error="kubectl does not render the overlay: no such file"),
        ["error kustomize-file kustomization.yaml:6 no such file: mlop.env"],
    ),
    "an overlay that does not render": (
        dict(render_error="kubectl does not render the overlay: accumulating resources from '../../../common'"),
        ["error render-failed kubectl does not render the overlay: accumulating resources from '../../../common'"],
    ),
}


@pytest.mark.parametrize("mistake", CASES)
def test_a_mistake_is_named(mistake: str) -> None:
    overlay, expected = CASES[mistake]
    assert first_lines(findings(**overlay)) == expected
