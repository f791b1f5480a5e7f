"""A run's record, its state, and what its exit code means."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_launch.commands.runs.archive import ArchivedRun
from mlops_launch.commands.runs.listing import COLUMNS, RunStatus
from mlops_launch.contract import ExitCode
from mlops_launch.core.log.lines import Metrics
from mlops_launch.core.record import (
    BY_SIGNAL,
    BY_TIMEOUT,
    HINTS,
    MEMORY_HINT,
    STOPPED_HINT,
    RunRecord,
    exit_hint,
    exit_name,
    record_hint,
    state,
)
from mlops_launch.core.workload.redaction import REDACTED, redact_object
from mlops_launch.errors import LauncherError

RECORD = RunRecord("job", "MPIJob", "/overlay", "2026-01-02T03:04:05.000+00:00", 1, "/out", "host", 7, 8)


def test_a_record_survives_its_file():
    record = RECORD.at(step={"step": 3, "loss": 0.5}, exit_code=66, ended="2026-01-02T04:00:00.000+00:00")
    text = json.dumps(record.to_json())
    assert RunRecord.from_json(json.loads(text)) == record
    assert json.loads(text)["exit_name"] == "no data"


def test_a_record_of_another_version_is_refused():
    with pytest.raises(LauncherError, match="unknown schema: 2"):
        RunRecord.from_json({**RECORD.to_json(), "schema": 2})


@pytest.mark.parametrize(
    ("changes", "alive", "expected"),
    [
        ({}, True, "running"),
        ({}, False, "lost"),
        ({"exit_code": 0}, False, "succeeded"),
        ({"exit_code": 0, "stopped_by": BY_TIMEOUT}, False, "succeeded"),
        ({"exit_code": 143, "saved": True}, False, "interrupted"),
        ({"exit_code": 143}, False, "stopped"),
        ({"exit_code": 137, "stopped_by": BY_TIMEOUT}, False, "stopped"),
        ({"exit_code": 66}, False, "failed"),
        ({"exit_code": 137}, False, "failed"),
    ],
)
def test_state(changes, alive, expected):
    assert state(RECORD.at(**changes), alive) == expected


def test_interrupted_is_said_only_where_the_log_says_that_something_was_saved():
    metrics, said = Metrics(), []
    for line in (b"start comm=mpi4py", b"step=3/9 loss=0.5", b"stopped on request after step 3; the same command goes on from there"):
        metrics.read(line)
        said.append(state(RECORD.at(exit_code=143, saved=metrics.saved), False))
    assert said == ["stopped", "stopped", "interrupted"]
    assert exit_hint(143, saved=False) == STOPPED_HINT != exit_hint(143)


def test_the_step_is_that_at_which_a_run_was_stopped_though_only_some_steps_have_a_line():
    metrics = Metrics()
    for line in (b"start comm=mpi4py", b"step=15/120 loss=0.5", b"stopped on request after step 16; the same command resumes from there"):
        metrics.read(line)
    status = RunStatus(ArchivedRun(Path("job/time")), RECORD.at(exit_code=143, saved=metrics.saved, step=metrics.step), "interrupted")
    assert status.row()[COLUMNS.index("STEP")] == "16/120"
    assert "step:      16/120" in status.to_text().splitlines()


def test_a_run_that_was_killed_while_it_was_stopping_promises_no_checkpoint():
    killed = RECORD.at(exit_code=137, stopped_by=BY_SIGNAL)
    assert record_hint(killed) == STOPPED_HINT
    assert record_hint(killed.at(saved=True)) == record_hint(RECORD.at(exit_code=137)) == HINTS[137]
    assert record_hint(killed.at(out_of_memory=True)) == MEMORY_HINT


@pytest.mark.parametrize("end", [b"", b"x", b"16x", b"9" * 30, b"\xff"])
def test_a_line_that_only_looks_like_the_end_of_a_stopped_run_changes_no_step(end):
    metrics = Metrics()
    for line in (b"step=15/120 loss=0.5", b"stopped on request after step " + end):
        metrics.read(line)
    assert metrics.step["step"] == 15


def test_every_exit_code_of_the_contract_has_a_name_and_a_hint():
    assert {code for code in ExitCode if exit_name(code) == "unknown"} == set()
    assert set(ExitCode) - set(HINTS) == {ExitCode.SUCCESS}


def test_a_signal_for_want_of_shared_memory_has_a_name_and_a_hint_and_is_in_the_page_of_exit_codes():
    assert (exit_name(135), "/dev/shm" in (exit_hint(135) or "")) == ("SIGBUS", True)
    assert "\n| 135 | SIGBUS | " in (Path(__file__).parents[2] / "docs/reference/exit-codes.md").read_text()


@pytest.mark.parametrize(
    ("code", "name"), [(129, "SIGHUP"), (139, "SIGSEGV"), (9, "unknown"), (127, "program not found"), (300, "unknown")]
)
def test_other_codes(code, name):
    assert exit_name(code) == name


def test_out_of_memory_is_said_for_killed_processes_only():
    assert (exit_name(137, out_of_memory=True), exit_hint(137, out_of_memory=True)) == ("out of memory", MEMORY_HINT)
    assert exit_name(66, out_of_memory=True) == "no data"


def test_secrets_are_redacted_and_nothing_else():
    secret = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "YQ=="}, "stringData": {"b": "b"}}
    assert redact_object(secret) == {**secret, "data": {"a": REDACTED}, "stringData": {"b": REDACTED}}
    pod = {"kind": "Pod", "spec": {"containers": [{"env": [{"name": "WANDB_API_KEY", "value": "x"}, {"name": "KEYS", "value": "y"}]}]}}
    assert redact_object(pod)["spec"]["containers"][0]["env"] == [
        {"name": "WANDB_API_KEY", "value": REDACTED},
        {"name": "KEYS", "value": "y"},
    ]
    settings = {"kind": "ConfigMap", "data": {"HF_TOKEN": "t", "TOKENS": "5", "PASSWORD": ""}}
    assert redact_object(settings)["data"] == {"HF_TOKEN": REDACTED, "TOKENS": "5", "PASSWORD": ""}


@given(st.lists(st.sampled_from(["step", "evaluation", "result"]), max_size=6), st.data())
def test_figures_over_validation_images_are_never_mixed_with_those_of_a_step(words, data):
    metrics, said = Metrics(), None
    for word in words:
        top1 = round(data.draw(st.floats(0, 1)), 4)
        metrics.read(f"{'step=3/9' if word == 'step' else word} loss=0.5 top1={top1}".encode())
        said = top1 if word == "evaluation" or (word == "result" and not metrics.evaluation) else said
    record = RECORD.at(step=metrics.step, evaluation=metrics.evaluation, result=metrics.result)
    status = RunStatus(ArchivedRun(Path("job/time")), record, "running")
    assert status.row()[COLUMNS.index("VAL TOP-1")] == ("-" if said is None else str(said))
    shown = dict(line.split(":", 1) for line in status.to_text().splitlines() if line)
    assert shown.get("val top-1", "-").strip() == ("-" if said is None else str(said))
    assert shown.get("loss", "").strip() == ("0.5" if metrics.step else "")
    assert "top-1" not in shown
