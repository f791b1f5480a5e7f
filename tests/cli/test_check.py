"""`check`: findings on stdout, the exit code says whether there is an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops_launch.core.rules.registry import RULES, to_markdown
from tests.cli.conftest import ROOT, Call, Ended

MULTI_NODE = "quickstart/k8s/mlops/multi-node"
PLACEHOLDER = (
    "warning registry-placeholder mlops.env:2 the placeholder is still in `REGISTRY`: registry.example.com/mlops\n"
    "  hint: write the registry that holds your image; a local run does not need it\n"
)
OUTPUT = (
    "error output-is-mount mlops.env:9 OUTPUT_DIR is the mount path of volume `outputs`: /outputs\n"
    "  hint: give each run a folder of its own below it, for instance /outputs/run-1\n"
)


def edit(old: str, new: str, name: str = "mlops.env") -> None:
    path = Path(MULTI_NODE, name)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_overlay_as_it_comes_has_one_warning(call: Call) -> None:
    assert call("check", MULTI_NODE) == Ended(0, PLACEHOLDER, "")


def test_strict_fails_on_a_warning(call: Call) -> None:
    assert call("check", MULTI_NODE, "--strict") == Ended(1, PLACEHOLDER, "")


def test_no_problem(call: Call) -> None:
    edit("registry.example.com/mlops", "ghcr.io/me")
    assert call("check", MULTI_NODE, "--strict") == Ended(0, "", "no problems found\n")


def test_an_error_comes_first_and_fails(call: Call) -> None:
    edit("OUTPUT_DIR=/outputs/resnet50v1-5-multi-node", "OUTPUT_DIR=/outputs")
    assert call("check", MULTI_NODE) == Ended(1, OUTPUT + PLACEHOLDER, "")


@pytest.mark.parametrize(
    ("name", "old", "new", "line"),
    [
        ("mlops.env", "MODEL_DIR=/workspace", "MODEL_DIR=ROOT/package", "error path-placeholder mlops.env:7 "),
        ("mlops.env", "MODEL_DIR=/workspace", "MODEL_DIR='/workspace'", "error env-quoted mlops.env:7 "),
        ("mlops.env", "MODEL_DIR=/workspace", "export MODEL_DIR=/workspace", "error env-export mlops.env:7 "),
        ("mlops.env", "MLOPS_PRESET=demo", "NCCL_DEBUG=INFO", "error variable-not-exported mlops.env:13 "),
        ("mlops.env", "MLOPS_PRESET=demo", "PEPPER=1", "error env-unknown mlops.env:13 "),
        ("mlops-job-patch.yaml", "runAsUser: 1000 ", "runAsUser: <User ID> ", "error user-number mlops-job-patch.yaml:13 "),
        ("mlops-job-patch.yaml", "nvidia.com/gpu: 0", "nvidia.com/gpu: -1", "error gpu-count mlops-job-patch.yaml:42 "),
        ("mlops-job-patch.yaml", "replicas: 2", "replicas: [2", "error yaml-error mlops-job-patch.yaml:27 "),
    ],
)
def test_a_mistake_in_a_file_is_found_through_kubectl(call: Call, name: str, old: str, new: str, line: str) -> None:
    edit(old, new, name)
    ended = call("check", MULTI_NODE)
    assert (ended.exit_code, ended.stderr) == (1, "")
    assert ended.stdout.startswith(line)


def test_json(call: Call) -> None:
    ended = call("check", MULTI_NODE, "--json")
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert json.loads(ended.stdout) == {
        "schema": 1,
        "findings": [
            {
                "rule": "registry-placeholder",
                "severity": "warning",
                "message": "the placeholder is still in `REGISTRY`: registry.example.com/mlops",
                "hint": "write the registry that holds your image; a local run does not need it",
                "file": "mlops.env",
                "line": 2,
            }
        ],
    }


def test_the_rules_as_a_list_as_json_and_as_a_page(call: Call) -> None:
    ended = call("check", "--rules")
    assert [line.split()[:2] for line in ended.stdout.splitlines()] == [[rule.id, rule.severity] for rule in RULES]
    listed = json.loads(call("check", "--rules", "--json").stdout)
    assert [rule["id"] for rule in listed["rules"]] == [rule.id for rule in RULES]
    assert call("check", "--rules", "--markdown") == Ended(0, to_markdown(), "")


def test_without_an_overlay(call: Call) -> None:
    assert call("check") == Ended(
        2, "", "Error: no overlay given\n\nhint: for instance `mlops-launch check quickstart/k8s/mlops/multi-node`\n"
    )


def test_a_file_that_is_not_utf8(call: Call) -> None:
    Path(MULTI_NODE, "mlops.env").write_bytes(b"A=1\nB=\xff\n")
    assert call("check", MULTI_NODE) == Ended(1, "", f"Error: not UTF-8, line 2: {MULTI_NODE}/mlops.env\n\nhint: save the file as UTF-8\n")


def test_a_rule_can_be_left_out(call: Call) -> None:
    assert call("check", MULTI_NODE, "--strict", "--ignore", "registry-placeholder") == Ended(0, "", "no problems found\n")
    edit("OUTPUT_DIR=/outputs/resnet50v1-5-multi-node", "OUTPUT_DIR=/outputs")
    assert call("check", MULTI_NODE, "--ignore", "registry-placeholder") == Ended(1, OUTPUT, "")
    assert call("check", MULTI_NODE, "--ignore", "registry-placeholder", "--ignore", "output-is-mount").exit_code == 0


def test_a_rule_to_leave_out_must_be_one(call: Call) -> None:
    hint = "hint: did you mean `registry-placeholder`?\n"
    assert call("check", MULTI_NODE, "--ignore", "registry-placholder") == Ended(
        2, "", f"Error: no such rule: registry-placholder\n\n{hint}"
    )


def test_set_and_run_respect_a_comment_in_the_file(call: Call) -> None:
    edit(
        "# A folder of its own for each run",
        "# mlops-launch: ignore output-is-mount: one run, then the claim goes\n# A folder of its own",
    )
    assert call("set", MULTI_NODE, "--output-dir", "/outputs").exit_code == 0
    assert call("check", MULTI_NODE) == Ended(0, PLACEHOLDER, "")
    assert call("run", MULTI_NODE, "--local", "--dry-run", "--model-dir", str(ROOT)).exit_code == 0
