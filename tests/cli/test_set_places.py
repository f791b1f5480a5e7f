"""Where `set` writes, and what it says when something else wins: each overlay is rendered by kubectl."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import indent

import pytest
import yaml

from tests.cli.conftest import Call, Ended, content

M = Path("quickstart/k8s/mlops/multi-node")
PATCH, ENV, KUSTOMIZATION = M / "mlops-job-patch.yaml", M / "mlops.env", M / "kustomization.yaml"
HEAD = "apiVersion: kubeflow.org/v2beta1\nkind: MPIJob\nmetadata:\n  name: resnet50v1-5\n"
ACCOUNT = "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: mlops\n---\n"
REMOVE = "change it there, or remove it"
WORKERS = "[name=launcher].env.[name=MLOPS_WORKERS].value"


def add_patch(text: str, file: str = "last.yaml", target: str = "") -> None:
    """A further patch behind the overlay's own."""
    (M / file).write_text(text)
    replace(KUSTOMIZATION, "replacements:", f"- path: {file}\n{target}replacements:")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new, 1).encode())


def lines(diff: str) -> list[str]:
    """The changed lines of a difference, with the names of the files."""
    return [line.removeprefix(f"+++ {M}/") for line in diff.splitlines() if line[:1] in "+-" and not line.startswith("---")]


OPERATION = (
    '[{"op": "add", "path": "/spec/mpiReplicaSpecs/Worker/template/spec/securityContext", '
    '"value": {"runAsUser": %s, "fsGroup": 1000, "runAsGroup": 1000}}]'
)
SLOTS = '[{"op": "replace", "path": "/spec/slotsPerWorker", "value": %s}]'
INLINE = f"- patch: |-\n{indent(HEAD, '    ')}    spec:\n      slotsPerWorker: 2\n"
SIDE = "          - name: side\n            image: s\n            resources:\n              limits: {memory: 1Gi}\n"
TARGET = "  target:\n    kind: MPIJob\n"
CASES = {
    "several documents": (
        lambda: [
            PATCH.write_text(ACCOUNT + PATCH.read_text()),
            # kustomize takes no target for a file of several patches.
            replace(KUSTOMIZATION, KUSTOMIZATION.read_text().partition("patch.yaml\n")[2].partition("replacements:")[0], ""),
        ],
        ["--workers", "5"],
        ["mlops-job-patch.yaml", "-      replicas: 2", "+      replicas: 5"],
    ),
    "a later patch": (
        lambda: add_patch(f"{HEAD}spec:\n  mpiReplicaSpecs:\n    Worker:\n      replicas: 1 # small\n"),
        ["--workers", "5"],
        ["last.yaml", "-      replicas: 1 # small", "+      replicas: 5 # small"],
    ),
    "a JSON6902 operation": (
        lambda: add_patch("- op: replace\n  path: /spec/mpiReplicaSpecs/Worker/replicas\n  value: 1\n", target=TARGET),
        ["--workers", "5"],
        ["last.yaml", "-  value: 1", "+  value: 5"],
    ),
    "a field in the value of an operation, as JSON": (
        lambda: add_patch(OPERATION % 7 + "\n", "last.json", TARGET),
        ["--user", "1000"],
        ["last.json", "-" + OPERATION % 7, "+" + OPERATION % 1000],
    ),
    "a path with dots": (
        lambda: replace(KUSTOMIZATION, "- path: mlops-job", "- path: ./there/../mlops-job"),
        ["--workers", "5"],
        ["mlops-job-patch.yaml", "-      replicas: 2", "+      replicas: 5"],
    ),
    "a patch without an extension": (
        lambda: [PATCH.rename(M / "size"), replace(KUSTOMIZATION, "- path: mlops-job-patch.yaml", "- path: size")],
        ["--workers", "5"],
        ["size", "-      replicas: 2", "+      replicas: 5"],
    ),
    "operations as a line of JSON in single quotes": (
        lambda: replace(KUSTOMIZATION, "replacements:", f"- patch: '{SLOTS % 2}'\n{TARGET}replacements:"),
        ["--slots", "5"],
        ["kustomization.yaml", f"-- patch: '{SLOTS % 2}'", f"+- patch: '{SLOTS % 5}'"],
    ),
    "operations as a line of JSON in double quotes": (
        lambda: replace(KUSTOMIZATION, "replacements:", f"- patch: {json.dumps(SLOTS % 2)}\n{TARGET}replacements:"),
        ["--slots", "5"],
        ["kustomization.yaml", f"-- patch: {json.dumps(SLOTS % 2)}", f"+- patch: {json.dumps(SLOTS % 5)}"],
    ),
    "an inline patch": (
        lambda: replace(KUSTOMIZATION, "replacements:", f"{INLINE}{TARGET}replacements:"),
        ["--slots", "5"],
        ["kustomization.yaml", "-      slotsPerWorker: 2", "+      slotsPerWorker: 5"],
    ),
    "a patch whose target is another": (
        lambda: add_patch(f"{HEAD}spec:\n  slotsPerWorker: 4\n", target="  target:\n    kind: MPIJob\n    name: other\n"),
        ["--slots", "5"],
        ["mlops-job-patch.yaml", "-  slotsPerWorker: 1", "+  slotsPerWorker: 5"],
    ),
    "a sidecar in front": (
        lambda: replace(PATCH, "          - name: worker\n", f"{SIDE}          - name: worker\n"),
        ["--memory", "64Gi"],
        ["mlops-job-patch.yaml", "-                memory: 8Gi", "+                memory: 64Gi"],
    ),
    "another device": (
        lambda: replace(PATCH, "nvidia.com/gpu: 0", "habana.ai/gaudi: 8"),
        ["--gpus", "5"],
        ["mlops-job-patch.yaml", "-                habana.ai/gaudi: 8", "+                habana.ai/gaudi: 5"],
    ),
    "an octal number": (
        lambda: replace(PATCH, "replicas: 2", "replicas: 010"),
        ["--workers", "10"],
        ["mlops-job-patch.yaml", "-      replicas: 010", "+      replicas: 10"],
    ),
    "a number in quotes": (
        lambda: replace(PATCH, "slotsPerWorker: 1", 'slotsPerWorker: "5"'),
        ["--slots", "5"],
        ["mlops-job-patch.yaml", '-  slotsPerWorker: "5"', "+  slotsPerWorker: 5"],
    ),
    "literals": (
        lambda: replace(KUSTOMIZATION, "  envs:\n", "  literals:\n  - MLOPS_SEED=1\n  envs:\n"),
        ["MLOPS_SEED=7"],
        ["kustomization.yaml", "-  - MLOPS_SEED=1", "+  - MLOPS_SEED=7"],
    ),
    "a second ConfigMap that wins": (
        lambda: [
            (M / "more.env").write_text("MLOPS_SEED=1\n"),
            replace(KUSTOMIZATION, "configMapGenerator:\n", "configMapGenerator:\n- name: more\n  envs:\n  - more.env\n"),
            add_patch("- op: add\n  path: /spec/mpiReplicaSpecs/Launcher/template/spec/containers/0/envFrom/-\n"
                      "  value:\n    configMapRef:\n      name: more\n", target=TARGET),
        ],
        ["MLOPS_SEED=7"],
        ["more.env", "-MLOPS_SEED=1", "+MLOPS_SEED=7"],
    ),
    "the ConfigMap of another program, named first": (
        lambda: [
            (M / "board.env").write_text("MLOPS_SEED=1\n"),
            replace(KUSTOMIZATION, "configMapGenerator:\n", "configMapGenerator:\n- name: board\n  envs:\n  - board.env\n"),
        ],
        ["MLOPS_SEED=7"],
        ["mlops.env", "+MLOPS_SEED=7"],
    ),
    "an env file named .env": (
        lambda: [ENV.rename(M / ".env"), replace(KUSTOMIZATION, "- mlops.env", "- .env")],
        ["MLOPS_PRESET=full"],
        [".env", "-MLOPS_PRESET=demo", "+MLOPS_PRESET=full"],
    ),
    "an env file behind a link": (
        lambda: [ENV.rename(M / "job.env"), ENV.symlink_to("job.env")],
        ["MLOPS_PRESET=full"],
        ["mlops.env", "-MLOPS_PRESET=demo", "+MLOPS_PRESET=full"],
    ),
    "links that nothing names": (
        lambda: [(M / "latest").symlink_to("/nonexistent"), (M / "data").symlink_to("/usr")],
        ["--slots", "5"],
        ["mlops-job-patch.yaml", "-  slotsPerWorker: 1", "+  slotsPerWorker: 5"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_place_that_reaches_the_job_is_edited(call: Call, name: str) -> None:
    make, words, expected = CASES[name]
    make()
    ended = call("set", str(M), *words)
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert lines(ended.stdout) == expected
    assert call("set", str(M), *words) == Ended(0, "", "no change\n")


def test_a_link_stays_one_and_its_file_is_edited(call: Call) -> None:
    ENV.rename(M / "job.env")
    ENV.symlink_to("job.env")
    assert call("set", str(M), "MLOPS_PRESET=full").exit_code == 0
    assert ENV.is_symlink()
    assert "MLOPS_PRESET=full\n" in (M / "job.env").read_text()


def refused(call: Call, *words: str, overlay: Path = M) -> tuple[str, str]:
    """The message and hint of a call that changes nothing."""
    before = content(Path())
    ended = call("set", str(overlay), *words)
    assert (ended.exit_code, ended.stdout, content(Path())) == (1, "", before)
    message, _, hint = ended.stderr.removeprefix("Error: ").rstrip().partition("\n\nhint: ")
    return message, hint


def test_a_replacement_that_wins_is_named(call: Call) -> None:
    line = next(n for n, text in enumerate((M / "replacements.yaml").read_text().splitlines(), 1) if text.endswith(WORKERS))
    assert refused(call, "MLOPS_WORKERS=3") == (f"`MLOPS_WORKERS=3` does not reach the job, replacements.yaml:{line} wins with: 2", REMOVE)


def test_a_file_that_is_a_value_is_named(call: Call) -> None:
    (M / "seed").write_text("5")
    replace(KUSTOMIZATION, "  envs:\n", "  files:\n  - MLOPS_SEED=seed\n  envs:\n")
    assert refused(call, "MLOPS_SEED=7") == ("`MLOPS_SEED=7` does not reach the job, seed wins with: 5", REMOVE)


def test_an_alias_is_not_changed_for_its_other_users(call: Call) -> None:
    text = PATCH.read_text().replace("runAsUser: 1000 ", "runAsUser: &uid 1000 ", 1)
    PATCH.write_text(text.replace("runAsUser: 1000 ", "runAsUser: *uid "))
    message, _ = refused(call, "--user", "1234:1000")
    assert message.startswith("mlops-job-patch.yaml: ")


def test_a_base_s_env_that_an_overlay_without_patches_cannot_change_is_named(call: Call) -> None:
    dev = M.parent / "dev"
    dev.mkdir()
    (dev / "kustomization.yaml").write_text(
        "resources:\n- ../multi-node\nconfigMapGenerator:\n- name: mlops-env\n  behavior: merge\n  literals:\n  - MLOPS_SEED=1\n"
    )
    base = Path("quickstart/common/tensorflow/k8s/mlops/multi-node/mpi-job.yaml")
    line = next(n for n, text in enumerate(base.read_text().splitlines(), 1) if text.endswith("- name: TF_CPP_MIN_LOG_LEVEL"))
    message = f"`TF_CPP_MIN_LOG_LEVEL=0` does not reach the job, {base}:{line + 1} wins with: 2"
    assert refused(call, "TF_CPP_MIN_LOG_LEVEL=0", overlay=dev) == (message, REMOVE)
    assert call("set", str(dev), "MLOPS_SEED=7").exit_code == 0
    assert yaml.safe_load((dev / "kustomization.yaml").read_text())["configMapGenerator"][0]["literals"] == ["MLOPS_SEED=7"]
