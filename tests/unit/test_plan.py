"""A plan as text: comments, then the objects."""

from __future__ import annotations

import yaml

from mlops_launch.core.finding import Finding
from mlops_launch.core.workload.kinds import find_workload
from mlops_launch.core.workload.plan import Plan

TEXT = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a-training\nspec:\n  containers:\n  - name: training\n    image: i:1\n"
WARNING = Finding("image-tag", "warning", "the image may change between two runs: i", "give a fixed tag")
ERROR = Finding("env-quoted", "error", "the quotes are part of the value: 'a'", "remove the quotes", "mlops.env", 3)


def plan(*findings: Finding) -> Plan:
    objects = [yaml.safe_load(TEXT)]
    return Plan("overlays/one", TEXT, objects, find_workload(objects), findings, ("create folder o", "start python3 main.py"))


def test_actions_and_findings_are_comments_in_front_of_the_objects() -> None:
    assert plan(WARNING).to_text() == (
        "# plan for Pod a-training from overlays/one\n"
        "# 1. create folder o\n"
        "# 2. start python3 main.py\n"
        "# warning image-tag the image may change between two runs: i\n"
        "#   hint: give a fixed tag\n" + TEXT
    )


def test_its_errors() -> None:
    assert plan(WARNING, ERROR).errors == (ERROR,)
