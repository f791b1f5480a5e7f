"""The training's exit code is the run's, and decides whether another try is made."""

from __future__ import annotations

import pytest

FAST = ("--env", "MLOPS_TEST_STEPS=2", "--env", "MLOPS_TEST_STEP_S=0")


@pytest.mark.parametrize(
    ("code", "name", "state"),
    [
        (0, "success", "succeeded"), (66, "no data", "failed"), (78, "configuration", "failed"),
        (143, "interrupted", "stopped"), (255, "worker lost", "failed"),
    ],
)  # fmt: skip
def test_the_exit_code_passes_unchanged(run_local, call, multi_node, code, name, state):
    run = run_local(multi_node, *FAST, "--env", f"MLOPS_TEST_EXIT={code}")
    assert run.wait() == code
    record = run.result()
    assert (record["exit_code"], record["exit_name"]) == (code, name)
    status = call("status").stdout.splitlines()
    assert status[1] == f"state:     {state}"
    if code:
        assert f"Error: the training ended with exit code {code}: {name}" in run.errors.splitlines()


def test_a_retry_resumes_and_is_archived_by_itself(run_local, multi_node):
    run = run_local(multi_node, "--env", "MLOPS_TEST_STEPS=10", "--env", "MLOPS_TEST_FAIL_ONCE=255", "--retries", "2")
    assert run.wait() == 0, run.errors
    assert "resume step=5" in run.lines
    assert "retrying: attempt 2" in run.errors
    records = [(path / "training.log").read_text().splitlines()[1] for path in run.archives()]
    assert records == ["anew", "resume step=5"]
    assert run.result()["try"] == 2


def test_a_permanent_error_is_not_tried_again(run_local, multi_node):
    run = run_local(multi_node, *FAST, "--env", "MLOPS_TEST_EXIT=78", "--retries", "2")
    assert run.wait() == 78
    assert len(run.archives()) == 1


def test_retries_end(run_local, multi_node):
    run = run_local(multi_node, *FAST, "--env", "MLOPS_TEST_EXIT=200", "--retries", "1")
    assert run.wait() == 200
    assert len(run.archives()) == 2


def test_a_missing_program_is_127_with_a_hint(run_local, package):
    overlay = package("", "#!/bin/sh\nexec no-such-program\n") / "quickstart" / "k8s" / "mlops" / "single-node"
    run = run_local(overlay)
    assert run.wait() == 127
    assert "hint: a program of the command is missing in this Python environment: `pip install 'mlops-launch[train]'`" in run.errors
