"""`$(VAR)` as the kubelet expands it (the cases of k8s.io/kubernetes/third_party/forked/golang/expansion)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_launch.core.workload.expansion import expand, expand_environment

VARIABLES = {"VAR_A": "A", "VAR_B": "B", "VAR_C": "C", "VAR_REF": "$(VAR_A)", "VAR_EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(VAR_A)", "A"),
        ("___$(VAR_B)___", "___B___"),
        ("$(VAR_A)$(VAR_B)$(VAR_C)", "ABC"),
        ("$(VAR_REF)", "$(VAR_A)"),
        ("$(VAR_EMPTY)", ""),
        ("$(VAR_DNE)", "$(VAR_DNE)"),
        ("$VAR_A", "$VAR_A"),
        ("${VAR_A}", "${VAR_A}"),
        ("$$(VAR_A)", "$(VAR_A)"),
        ("$$$(VAR_A)", "$A"),
        ("$$$$(VAR_A)", "$$(VAR_A)"),
        ("$$$$$(VAR_A)", "$$A"),
        ("$$VAR_A", "$VAR_A"),
        ("$(VAR_A", "$(VAR_A"),
        ("VAR_A)", "VAR_A)"),
        ("$", "$"),
        ("$$", "$"),
        ("$()", "$()"),
        ("$(VAR_A)$", "A$"),
        ("f000-$(VAR_A", "f000-$(VAR_A"),
        ("$((VAR_A)", "$((VAR_A)"),
        ("$(VAR)x$(VAR_A)", "$(VAR)xA"),
        ("", ""),
    ],
)
def test_expand(text, expanded):
    assert expand(text, VARIABLES) == expanded


@given(st.text())
def test_a_text_with_every_dollar_doubled_expands_to_itself(text):
    assert expand(text.replace("$", "$$"), {"A": "x"}) == text


@given(st.text(alphabet="$()A \n"), st.text())
def test_without_variables_only_double_dollars_change(text, value):
    assert expand(text, {}) == re.sub(r"\$\$|\$\([^)]*\)", lambda m: "$" if m[0] == "$$" else m[0], text)


def test_environment_entries_see_sources_and_earlier_entries():
    entries = [("A", "$(S)/a"), ("B", "$(A)/b $(LATER)"), ("LATER", "l"), ("S", "own"), ("C", "$(S)")]
    assert expand_environment({"S": "$(A)", "T": "t"}, entries) == {
        "S": "own", "T": "t", "A": "$(A)/a", "B": "$(A)/a/b $(LATER)", "LATER": "l", "C": "own",
    }  # fmt: skip
