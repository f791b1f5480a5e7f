"""Comments that accept a finding: where they stand, what they need, and what is said when they have no effect."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_launch.core.rules.registry import RULES
from tests.unit.overlays import Objects, container, findings, first_lines

REASON = "we test the newest image"


def with_comment(comment: str, line: str = "IMAGE_TAG=latest") -> list[str]:
    """What is found in mlops.env with a comment above a line, in the place of IMAGE_TAG."""
    image = f"ghcr.io/me/mlops-launch:{line.split()[0].partition('=')[2]}"

    def change(objects: Objects) -> None:
        for role in ("Launcher", "Worker"):
            container(objects, role)["image"] = image

    return first_lines(findings(env=("IMAGE_TAG=0.1.0", f"{comment}\n{line}"), change=change))


def test_the_line_above_accepts_a_finding() -> None:
    assert with_comment(f"# mlops-launch: ignore image-tag: {REASON}") == []


def test_other_comments_may_stand_between() -> None:
    assert with_comment(f"#mlops-launch:ignore image-tag:{REASON}\n# Where the image comes from") == []


def test_several_rules_can_be_accepted_on_one_line() -> None:
    line = 'HOROVOD_TIMELINE="/outputs/t.json" # chrome'
    alone = {found.split()[1] for found in with_comment("# none", f"IMAGE_TAG=0.1.0\n{line}")}
    comments = "".join(f"# mlops-launch: ignore {rule}: as the old job had it\n" for rule in sorted(alone))
    assert alone and with_comment("# none", f"IMAGE_TAG=0.1.0\n{comments}{line}") == []


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("# mlops-launch: ignore image-tag", "no reason is given to ignore: image-tag"),
        ("# mlops-launch: ignore image-tag:   ", "no reason is given to ignore: image-tag"),
        ("# mlops-launch: ignore image-tagg: new", "no such rule to ignore: image-tagg"),
        ("# mlops-launch: ignore", "no such rule to ignore: none is named"),
    ],
)
def test_a_comment_without_a_rule_or_reason_accepts_nothing_and_is_named(comment: str, said: str) -> None:
    assert with_comment(comment) == [
        f"warning ignore-comment mlops.env:3 {said}",
        "warning image-tag mlops.env:4 the image may change between two runs: ghcr.io/me/mlops-launch:latest",
    ]


def test_a_comment_with_nothing_to_accept_is_named() -> None:
    assert with_comment(f"# mlops-launch: ignore image-tag: {REASON}", "IMAGE_TAG=0.1.0") == [
        "warning ignore-comment mlops.env:3 nothing to ignore here: image-tag"
    ]


def test_a_blank_line_between_separates() -> None:
    assert len(with_comment(f"# mlops-launch: ignore image-tag: {REASON}\n")) == 2


@pytest.mark.parametrize(
    "lines",
    [
        "  slotsPerWorkr: 1 # mlops-launch: ignore field-unknown: our operator has it",
        "# mlops-launch: ignore field-unknown: our operator has it\n  slotsPerWorkr: 1",
    ],
)
def test_in_yaml_it_stands_above_or_behind(lines: str) -> None:
    assert findings(patch=("  slotsPerWorker: 1", lines)) == []


def test_behind_a_value_of_an_env_file_it_is_part_of_the_value() -> None:
    found = findings(env=("IMAGE_TAG=0.1.0", "IMAGE_TAG=0.1.0 # mlops-launch: ignore env-comment: x"))
    assert "env-comment" in {finding.rule for finding in found}


def test_at_the_top_of_the_kustomization_it_accepts_what_belongs_to_no_file() -> None:
    broken = "kubectl does not render the overlay: accumulating resources"
    top = ("# ResNet-50", "# mlops-launch: ignore render-failed: the base comes later\n# ResNet-50")
    assert [finding.rule for finding in findings(render_error=broken)] == ["render-failed"]
    assert findings(render_error=broken, kustomization=top) == []


@given(
    rule=st.sampled_from([rule.id for rule in RULES]), reason=st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=20)
)
@settings(max_examples=50, deadline=None)
def test_a_comment_never_hides_what_another_rule_finds(rule: str, reason: str) -> None:
    found = with_comment(f"# mlops-launch: ignore {rule}: {reason}")
    accepted = rule == "image-tag" and reason.strip() != ""
    assert ("warning image-tag" in " ".join(found)) is not accepted
    assert any(line.startswith("warning ignore-comment") for line in found) is not accepted
