"""The rules as a whole: silent on good overlays, documented, never broken by odd objects."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_launch.core.finding import Finding
from mlops_launch.core.rules.base import Subject
from mlops_launch.core.rules.registry import RULES, find_problems, to_markdown
from mlops_launch.core.workload.kinds import find_workload
from mlops_launch.errors import LauncherError
from tests.unit import (
    test_rules_env,
    test_rules_mpi,
    test_rules_pods_and_names,
    test_rules_users_and_numbers,
    test_rules_yaml,
)
from tests.unit.overlays import KINDS, PACKAGE, ROOT, files_of, findings, rendered

PAGE = ROOT / "docs/reference/rules.md"
UPDATE = "mlops-launch check --rules --markdown > docs/reference/rules.md"
MODULES = (test_rules_env, test_rules_mpi, test_rules_pods_and_names, test_rules_users_and_numbers, test_rules_yaml)


@pytest.mark.parametrize("mode", KINDS)
def test_the_overlays_have_no_mistake(mode: str) -> None:
    assert findings(mode) == []


def test_ids_are_unique() -> None:
    ids = [rule.id for rule in RULES]
    assert sorted(ids) == sorted(set(ids))


def test_every_finding_has_a_hint_and_one_line() -> None:
    for module in MODULES:
        for overlay, _ in module.CASES.values():
            for finding in findings(**overlay):
                assert finding.hint and "\n" not in finding.message + finding.hint, finding


def test_the_documentation_page_is_fresh() -> None:
    assert PAGE.read_text() == to_markdown(), f"the page is stale: run `{UPDATE}`"


def test_the_page_has_an_anchor_for_each_rule_and_links_to_it() -> None:
    page = to_markdown()
    assert re.findall(r"^### (.+)$", page, re.MULTILINE) == [rule.id for rule in RULES]
    assert re.findall(r"\]\(#(.+?)\)", page) == [rule.id for rule in RULES]


def test_errors_come_first_then_the_order_of_the_lines() -> None:
    found = findings(env=("IMAGE_TAG=0.1.0\n", 'MLOPS_SEED=1 # here\nIMAGE_TAG="0.1.0"\r\n'))
    assert [(finding.severity, finding.line, finding.rule) for finding in found] == [
        ("error", 4, "env-quoted"),
        ("warning", 3, "env-comment"),
        ("warning", 4, "env-crlf"),
    ]


def test_a_finding_as_text_and_as_json() -> None:
    finding = Finding("output-is-mount", "error", "OUTPUT_DIR is the mount path: /outputs", "choose a folder below it", "mlops.env", 9)
    assert finding.to_text() == (
        "error output-is-mount mlops.env:9 OUTPUT_DIR is the mount path: /outputs\n  hint: choose a folder below it"
    )
    assert finding.to_json() == {
        "rule": "output-is-mount",
        "severity": "error",
        "message": "OUTPUT_DIR is the mount path: /outputs",
        "hint": "choose a folder below it",
        "file": "mlops.env",
        "line": 9,
    }


FILES = {mode: files_of(mode) for mode in KINDS}
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.just(0.5),
    st.text("ab/:$( ", max_size=4),
    st.sampled_from([[], {}, [{}], [1]]).map(copy.copy),
)


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path in nested data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in items for place in places(value, (*path, key)))]


@pytest.mark.parametrize("mode", KINDS)
@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_no_rule_breaks_when_a_field_holds_something_else(mode: str, data: st.DataObject) -> None:
    files = FILES[mode]
    objects = rendered(mode, files)
    job = objects[KINDS[mode]]
    path = data.draw(st.sampled_from([place for place in places(job["spec"]) if place]))
    place = job["spec"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = data.draw(JUNK)
    try:
        workload = find_workload(objects.values())
    except LauncherError:
        return  # told as render-failed
    for finding in find_problems(Subject(files, workload, None, PACKAGE)):
        assert finding.message and finding.hint
