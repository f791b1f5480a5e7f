"""Rules over settings, for every setting that the shipped models have: whatever the slip, it is named with its line."""

from __future__ import annotations

import string

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mlops_launch.contract import NOT_FLAGS, PRESET
from mlops_launch.core.finding import Finding
from mlops_launch.core.rules.base import Subject
from mlops_launch.core.rules.registry import find_problems
from mlops_launch.core.settings.model import Package, Script
from mlops_launch.core.workload.kinds import find_workload
from tests.unit.overlays import PACKAGE, files_of, rendered

MODEL = PACKAGE.models["resnet50v1_5"]
KNOWN = MODEL.by_variable()
NAMES = sorted({*KNOWN, *NOT_FLAGS, PRESET})
LETTERS = string.ascii_uppercase + "_"


def findings_with(line: str, package: Package = PACKAGE, mode: str = "multi-node") -> tuple[list[Finding], int]:
    """What the rules find in an overlay with one more line in mlops.env, and the number of that line."""
    files = files_of(mode)
    files = files.with_texts({"mlops.env": files.texts["mlops.env"] + line + "\n"})
    return find_problems(Subject(files, find_workload(rendered(mode, files).values()), None, package)), files.texts["mlops.env"].count("\n")


@st.composite
def slips(draw: st.DrawFn) -> tuple[str, str]:
    """The name of a setting, and the same with a letter more, less, changed, or two of them swapped."""
    name = draw(st.sampled_from(sorted(name for name in KNOWN if name.startswith("MLOPS_"))))
    place = draw(st.integers(len("MLOPS_"), len(name) - 1))
    letter = draw(st.sampled_from(LETTERS))
    slip = draw(
        st.sampled_from(
            [
                name[:place] + name[place + 1 :],
                name[:place] + letter + name[place:],
                name[:place] + letter + name[place + 1 :],
                name[: place - 1] + name[place] + name[place - 1] + name[place + 1 :] if place > len("MLOPS_") else name + letter,
            ]
        )
    )
    assume(slip not in NAMES and slip != "MLOPS_")
    return name, slip


@given(slips())
@settings(max_examples=60, deadline=None)
def test_a_slip_in_a_name_is_found_at_its_line_with_a_setting_that_is_near(names: tuple[str, str]) -> None:
    name, slip = names
    found, line = findings_with(f"{slip}=1")
    (finding,) = found
    assert (finding.rule, finding.severity, finding.place) == ("setting-unknown", "error", f"mlops.env:{line}")
    assert finding.message == f"not a setting of resnet50v1_5: {slip}"
    near = finding.hint.removeprefix("did you mean `").removesuffix("`?")
    assert near in NAMES and abs(len(near) - len(name)) <= 2


@given(
    st.sampled_from(sorted(set(KNOWN) - {"DATASET_DIR", "OUTPUT_DIR"})),
    st.sampled_from(["ten", "-1", "0", "1", "0.5", "2", "true", "1e99", "x" * 99]),
)
@settings(max_examples=60, deadline=None)
def test_a_value_is_found_at_its_line_when_and_only_when_the_trainer_would_refuse_it(name: str, value: str) -> None:
    found, line = findings_with(f"{name}={value}")
    complaint = KNOWN[name].text_complaint(value)
    wrong = [finding for finding in found if finding.rule == "setting-value"]
    expected = [] if complaint is None else [("error", f"mlops.env:{line}", f"{name} {complaint}: {value}")]
    assert [(finding.severity, finding.place, finding.message) for finding in wrong] == expected


@pytest.mark.parametrize("mode", ["multi-node", "single-node"])
@pytest.mark.parametrize("line", ["MLOPS_EPOCHS= 3", 'MLOPS_EPOCHS="3"', "MLOPS_EPOCHS=3 # here", "MLOPS_EPOCHS=", "export MLOPS_EPOCH=3"])
def test_what_another_rule_says_is_not_said_twice(mode: str, line: str) -> None:
    found, _ = findings_with(line, mode=mode)
    assert len(found) == 1 and found[0].rule.startswith("env-"), found


def test_a_script_with_another_program_has_no_settings_of_a_model() -> None:
    script = "fp32_training_multi_node.sh"
    package = Package(PACKAGE.models, {**PACKAGE.scripts, script: Script(script, {}, trains=False)}, PACKAGE.common)
    assert findings_with("MLOPS_ANYTHING=1", package)[0] == []
    assert [finding.rule for finding in findings_with("MLOPS_ANYTHING=1")[0]] == ["setting-unknown"]


@pytest.mark.parametrize(
    ("flags", "line", "message"),
    [
        ({"precision": "fp32"}, "MLOPS_PRECISION=bf16", "`MLOPS_PRECISION` has no effect, run.sh gives the flag --precision fp32: bf16"),
        ({"precision": "fp32"}, "MLOPS_PRECISION=fp32", None),
        (
            {"global_batch": "10"},
            "MLOPS_GLOBAL_BATCH=50",
            "`MLOPS_GLOBAL_BATCH` has no effect, run.sh gives the flag --global-batch 10: 50",
        ),
        ({"preset": "demo"}, "MLOPS_PRESET=full", "`MLOPS_PRESET` has no effect, run.sh gives the flag --preset demo: full"),
        ({"comm": "${MLOPS_COMM:-horovod}", "preset": "${MLOPS_PRESET:-demo}"}, "MLOPS_COMM=mpi4py\nMLOPS_PRESET=full", None),
    ],
)
def test_a_setting_that_the_scripts_flag_goes_over_is_named(flags: dict[str, str], line: str, message: str | None) -> None:
    files = files_of("multi-node", {"mlops.env": ("fp32_training_multi_node.sh", "run.sh")})
    files = files.with_texts({"mlops.env": files.texts["mlops.env"].replace("MLOPS_PRESET=demo\n", "") + line + "\n"})
    package = Package(PACKAGE.models, {"run.sh": Script("run.sh", flags, trains=True)}, PACKAGE.common)
    found = find_problems(Subject(files, find_workload(rendered("multi-node", files).values()), None, package))
    assert [(finding.rule, finding.severity, finding.message) for finding in found] == (
        [] if message is None else [("setting-overridden", "warning", message)]
    )
