"""Each rule's own examples: in the wrong one this rule finds something and no other does, in the right one none does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_launch.clients.process import Processes
from mlops_launch.commands.overlay.check import check_overlay
from mlops_launch.commands.overlay.init import PARTS
from mlops_launch.core.finding import Finding
from mlops_launch.core.rules.example import Example
from mlops_launch.core.rules.registry import RULES
from mlops_launch.core.rules.rule import Rule
from tests.unit.examples import apply_example
from tests.unit.overlays import ROOT

Check = Callable[[Example], list[Finding]]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part)
    return folder / "quickstart"


@pytest.fixture
def check(quickstart: Path) -> Check:
    """Findings of a shipped overlay with an example in it, as kubectl renders it."""

    def run(example: Example) -> list[Finding]:
        overlay = quickstart / "k8s/mlops/example"
        shutil.rmtree(overlay, ignore_errors=True)
        shutil.copytree(quickstart / "k8s/mlops" / example.overlay, overlay)
        env = overlay / "mlops.env"
        env.write_text(env.read_text().replace("registry.example.com/mlops", "ghcr.io/me"))
        apply_example(example, overlay)
        try:
            return check_overlay(overlay, Processes())
        finally:
            (quickstart.parent / example.file).unlink(missing_ok=True)  # an example in the package is not of the overlay

    return run


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_the_wrong_example_is_found_by_its_rule_alone_and_the_right_one_by_none(rule: Rule, check: Check) -> None:
    found = check(rule.wrong)
    assert {finding.rule for finding in found} == {rule.id}, found
    assert {finding.severity for finding in found} == {rule.severity}
    assert check(rule.right) == []


def test_the_examples_of_a_rule_differ() -> None:
    assert [rule.id for rule in RULES if rule.wrong == rule.right] == []
