"""`set` changes the named values and nothing else, shows the difference, and refuses what `check` would call an error."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import ROOT, Call, Ended, content

MULTI_NODE = "quickstart/k8s/mlops/multi-node"
SINGLE_NODE = "quickstart/k8s/mlops/single-node"
PATCH = Path(MULTI_NODE, "mlops-job-patch.yaml")
ENV = Path(MULTI_NODE, "mlops.env")

COUNT = "\n\nhint: count devices, pods and ranks in whole numbers\n"
UNKNOWN = "a key that mlops.env has, a setting of the model (`mlops-launch check OVERLAY --settings`), or a variable of a library\n"
QUANTITY = "\n\nhint: for instance 4 or 500m for CPU, 8Gi for memory\n"

DIFF = f"""\
--- {PATCH}
+++ {PATCH}
@@ -10,9 +10,9 @@
       template:
         spec:
           securityContext:
-            runAsUser: 1000   # <User ID>
-            runAsGroup: 1000  # <Group ID>
-            fsGroup: 1000     # <Group ID>
+            runAsUser: 1234   # <User ID>
+            runAsGroup: 5678  # <Group ID>
+            fsGroup: 5678     # <Group ID>
           containers:
           - name: launcher
             resources:
@@ -23,13 +23,13 @@
                 cpu: "1"
                 memory: 1Gi
     Worker:
-      replicas: 2
+      replicas: 5
       template:
         spec:
           securityContext:
-            runAsUser: 1000   # <User ID>
-            runAsGroup: 1000  # <Group ID>
-            fsGroup: 1000     # <Group ID>
+            runAsUser: 1234   # <User ID>
+            runAsGroup: 5678  # <Group ID>
+            fsGroup: 5678     # <Group ID>
           containers:
           - name: worker
             resources:
@@ -39,4 +39,4 @@
               limits:
                 cpu: "4"
                 memory: 8Gi
-                nvidia.com/gpu: 0
+                nvidia.com/gpu: 4
"""


def changed(folder: str | Path = "quickstart") -> dict[str, str]:
    """The lines that differ from the repository's files, by file: `-old` and `+new`."""
    found = {}
    for name, text in content(Path(folder)).items():
        original = ROOT / folder / name
        old = original.read_bytes() if original.exists() else b""
        if old != text:
            before, after = old.decode().splitlines(), text.decode().splitlines()
            removed = [f"-{line.strip()}" for line in before if line not in after]
            found[Path(name).name] = " ".join([*removed, *(f"+{line.strip()}" for line in after if line not in before)])
    return found


def test_user_gpus_and_workers(call: Call) -> None:
    assert call("set", MULTI_NODE, "--user", "1234:5678", "--gpus", "4", "--workers", "5") == Ended(0, DIFF, "")
    before = content(Path())
    assert call("set", MULTI_NODE, "--user", "1234:5678", "--gpus", "4", "--workers", "5") == Ended(0, "", "no change\n")
    assert content(Path()) == before


def test_the_difference_is_a_patch(call: Call) -> None:
    shown = call("set", MULTI_NODE, "--user", "7", "OUTPUT_DIR=/outputs/a", "--dry-run").stdout
    subprocess.run(["patch", "-p0", "--quiet"], input=shown, text=True, check=True)
    patched = content(Path(MULTI_NODE))
    assert call("set", MULTI_NODE, "--user", "7", "OUTPUT_DIR=/outputs/a") == Ended(0, "", "no change\n")
    assert content(Path(MULTI_NODE)) == patched


def test_the_objects_then_have_the_values(call: Call) -> None:
    call("set", MULTI_NODE, "--user", "1234:5678", "--gpus", "4", "--workers", "5")
    objects = {o["kind"]: o for o in yaml.safe_load_all(call("render", MULTI_NODE).stdout) if o["metadata"]["name"][:9] != "mlops-env"}
    roles = objects["MPIJob"]["spec"]["mpiReplicaSpecs"]
    for role in roles.values():
        context = role["template"]["spec"]["securityContext"]
        assert [context[field] for field in ("runAsUser", "runAsGroup", "fsGroup")] == [1234, 5678, 5678]
    assert roles["Worker"]["replicas"] == 5
    assert roles["Worker"]["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 4
    env = {entry["name"]: entry["value"] for entry in roles["Launcher"]["template"]["spec"]["containers"][0]["env"]}
    assert (env["MLOPS_WORKERS"], env["MLOPS_SLOTS_PER_WORKER"]) == ("5", "1")
    assert objects["ConfigMap"]["data"] == {"passwd": "mlops:x:1234:5678::/home/mlops:/bin/sh\n"}


@pytest.mark.parametrize(
    ("overlay", "words", "expected"),
    [
        (MULTI_NODE, ["--slots", "5"], {"mlops-job-patch.yaml": "-slotsPerWorker: 1 +slotsPerWorker: 5"}),
        (MULTI_NODE, ["--cpu", "16"], {"mlops-job-patch.yaml": '-cpu: "4" +cpu: "16"'}),
        (MULTI_NODE, ["--memory", "16Gi"], {"mlops-job-patch.yaml": "-memory: 8Gi +memory: 16Gi"}),
        # A request above the new limit comes down with it.
        (MULTI_NODE, ["--cpu", "250m"], {"mlops-job-patch.yaml": '-cpu: 500m -cpu: "4" +cpu: "250m"'}),
        (MULTI_NODE, ["--memory", "2Gi"], {"mlops-job-patch.yaml": "-memory: 4Gi -memory: 8Gi +memory: 2Gi +memory: 2Gi"}),
        (MULTI_NODE, ["--preset", "full"], {"mlops.env": "-MLOPS_PRESET=demo +MLOPS_PRESET=full"}),
        (
            SINGLE_NODE,
            ["--preset", "one_epoch"],
            {"mlops.env": "-MODEL_SCRIPT=fp32_training_demo.sh +MODEL_SCRIPT=fp32_training_1_epoch.sh"},
        ),
        # No script starts this preset, so that a variable does.
        (SINGLE_NODE, ["--preset", "benchmark"], {"mlops.env": "+MLOPS_PRESET=benchmark"}),
        (SINGLE_NODE, ["--gpus", "1"], {"pod-patch.yaml": "-nvidia.com/gpu: 0 +nvidia.com/gpu: 1"}),
        (
            SINGLE_NODE,
            ["--user", "5:6:7"],
            {
                "pod-patch.yaml": "-runAsUser: 1000   # <User ID> -runAsGroup: 1000  # <Group ID> -fsGroup: 1000     # <Group ID> "
                "+runAsUser: 5   # <User ID> +runAsGroup: 6  # <Group ID> +fsGroup: 7     # <Group ID>"
            },
        ),
        (MULTI_NODE, ["--namespace", "team-a"], {"kustomization.yaml": "+namespace: team-a"}),
        (MULTI_NODE, ["--registry", "localhost:5000/a"], {"mlops.env": "-REGISTRY=registry.example.com/mlops +REGISTRY=localhost:5000/a"}),
        (MULTI_NODE, ["--image-tag", "0.2.0"], {"mlops.env": "-IMAGE_TAG=0.1.0 +IMAGE_TAG=0.2.0"}),
        (MULTI_NODE, ["--dataset-dir", "/imagenet"], {"mlops.env": "-DATASET_DIR=/datasets +DATASET_DIR=/imagenet"}),
        (MULTI_NODE, ["--model-dir", "/outputs/package"], {"mlops.env": "-MODEL_DIR=/workspace +MODEL_DIR=/outputs/package"}),
        (
            MULTI_NODE,
            ["--output-dir", "/outputs/b"],
            {"mlops.env": "-OUTPUT_DIR=/outputs/resnet50v1-5-multi-node +OUTPUT_DIR=/outputs/b"},
        ),
        (MULTI_NODE, ["MLOPS_TRACE_SAMPLES=/a=b c"], {"mlops.env": "+MLOPS_TRACE_SAMPLES=/a=b c"}),
        (
            MULTI_NODE,
            ["TF_AUTOTUNE_THRESHOLD=1", "HOROVOD_CYCLE_TIME=2"],
            {"mlops.env": "+TF_AUTOTUNE_THRESHOLD=1 +HOROVOD_CYCLE_TIME=2"},
        ),
        # The base's `env` has it, which wins over every ConfigMap.
        (
            MULTI_NODE,
            ["TF_CPP_MIN_LOG_LEVEL=0"],
            {"mlops-job-patch.yaml": '+env: +- name: TF_CPP_MIN_LOG_LEVEL +value: "0"'},
        ),
    ],
)
def test_changes_that_value_alone(call: Call, overlay: str, words: list[str], expected: dict[str, str]) -> None:
    ended = call("set", overlay, *words)
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert changed() == expected
    assert call("set", overlay, *words) == Ended(0, "", "no change\n")


def test_a_dry_run_shows_the_difference_and_writes_nothing(call: Call) -> None:
    before = content(Path())
    ended = call("set", MULTI_NODE, "--user", "1234:5678", "--gpus", "4", "--workers", "5", "--dry-run")
    assert ended == Ended(0, DIFF, "dry run: no file was changed\n")
    assert content(Path()) == before


@pytest.mark.parametrize(
    ("overlay", "words", "exit_code", "stderr"),
    [
        (MULTI_NODE, [], 2, "Error: nothing to set\n\nhint: give an option or KEY=VALUE; `mlops-launch set --help` lists them\n"),
        (
            MULTI_NODE,
            ["--user", "me"],
            2,
            "Error: not a user: me\n\nhint: numbers as `id -u` and `id -g` print them: 1234, 1234:5678 or 1234:5678:5678\n",
        ),
        (MULTI_NODE, ["--gpus", "-1"], 2, "Error: GPUs must be 0 or more: -1" + COUNT),
        (MULTI_NODE, ["--workers", "0"], 2, "Error: workers must be 1 or more: 0" + COUNT),
        (MULTI_NODE, ["--slots", "0"], 2, "Error: slots must be 1 or more: 0" + COUNT),
        (MULTI_NODE, ["--cpu", "many"], 2, "Error: not a quantity for CPU: many" + QUANTITY),
        (MULTI_NODE, ["--memory", "8GB"], 2, "Error: not a quantity for memory: 8GB" + QUANTITY),
        (MULTI_NODE, ["--preset", "dmeo"], 2, "Error: unknown preset: dmeo\n\nhint: did you mean `demo`?\n"),
        (MULTI_NODE, ["--preset", "zz"], 2, "Error: unknown preset: zz\n\nhint: one of benchmark, demo, full, one_epoch\n"),
        (SINGLE_NODE, ["--preset", "fulll"], 2, "Error: unknown preset: fulll\n\nhint: did you mean `full`?\n"),
        (
            MULTI_NODE,
            ["MLOPS_LEARNING_RATE=1"],
            2,
            "Error: unknown key: MLOPS_LEARNING_RATE\n\nhint: did you mean `MLOPS_BASE_LEARNING_RATE`?\n",
        ),
        (MULTI_NODE, ["MLOPS_ZZ=1"], 2, "Error: unknown key: MLOPS_ZZ\n\nhint: " + UNKNOWN),
        (
            MULTI_NODE,
            ["MLOPS_EPOCHS=ten"],
            1,
            "Error: refused, a new error of `check` (setting-value): MLOPS_EPOCHS is not a whole number: ten\n\n"
            "hint: times that each image is seen; the default is 90\n",
        ),
        (
            MULTI_NODE,
            ["MODEL_NAME=resnet50"],
            1,
            "Error: refused, a new error of `check` (model-missing): no such model in models/: resnet50\n\n"
            "hint: did you mean `resnet50v1_5`?\n",
        ),
        (
            MULTI_NODE,
            ["--workers", "3"],
            1,
            "Error: refused, a new error of `check` (global-batch): the global batch of preset demo cannot be divided among 3 ranks: 50\n\n"
            "hint: a multiple of workers × slots: `mlops-launch set OVERLAY MLOPS_GLOBAL_BATCH=51`\n",
        ),
        (
            MULTI_NODE,
            ["--namespace", "Team A"],
            2,
            "Error: not the name of a namespace: Team A\n\n"
            "hint: lower-case letters, digits and `-`, at most 63 characters, starting and ending with a letter or digit\n",
        ),
        (MULTI_NODE, ["DATASETDIR=/data"], 2, "Error: unknown key: DATASETDIR\n\nhint: did you mean `DATASET_DIR`?\n"),
        (
            MULTI_NODE,
            ["PEPPER=1"],
            2,
            "Error: unknown key: PEPPER\n\nhint: " + UNKNOWN,
        ),
        (MULTI_NODE, ["MLOPS_SEED"], 2, "Error: not KEY=VALUE: MLOPS_SEED\n\nhint: for instance MLOPS_SEED=7\n"),
        (
            MULTI_NODE,
            ["MLOPS_SEED="],
            2,
            "Error: no value for: MLOPS_SEED\n\nhint: to get the default, remove the line from mlops.env by hand\n",
        ),
        (
            MULTI_NODE,
            ["--output-dir", "/outputs/a", "OUTPUT_DIR=/outputs/b"],
            2,
            "Error: two values for `OUTPUT_DIR`: /outputs/b and /outputs/a\n\nhint: give one of them\n",
        ),
        (
            SINGLE_NODE,
            ["--workers", "2"],
            2,
            "Error: `--workers` needs an MPIJob or JobSet, this overlay holds a: Pod\n\nhint: use the multi-node overlay\n",
        ),
        (
            MULTI_NODE,
            ["--output-dir", "/outputs"],
            1,
            "Error: refused, a new error of `check` (output-is-mount): OUTPUT_DIR is the mount path of volume `outputs`: /outputs\n\n"
            "hint: give each run a folder of its own below it, for instance /outputs/run-1\n",
        ),
        (
            MULTI_NODE,
            ["--user", "0", "--workers", "5"],
            1,
            "Error: refused, a new error of `check` (user-root): `runAsUser` of Launcher is root: 0\n\n"
            "hint: choose another uid: ssh refuses the key with fsGroup, and Pod Security `restricted` refuses the pod\n",
        ),
        (
            MULTI_NODE,
            ["--slots", "2", "--gpus", "1"],
            1,
            "Error: refused, a new error of `check` (slots-above-gpus): more slots than GPUs per worker: 2 > 1\n\n"
            "hint: one rank per GPU: `mlops-launch set OVERLAY --slots N --gpus N`\n",
        ),
        (
            "quickstart",
            ["--gpus", "1"],
            2,
            "Error: no kustomization.yaml in: quickstart\n\n"
            "hint: did you mean `quickstart/k8s/mlops/all-reduce` or `quickstart/k8s/mlops/multi-node` or "
            "`quickstart/k8s/mlops/single-node`?\n",
        ),
        (
            MULTI_NODE,
            ["--memory", "1e99"],
            2,
            "Error: not a quantity for memory: 1e99\n\nhint: for instance 4 or 500m for CPU, 8Gi for memory\n",
        ),
        (
            MULTI_NODE,
            ["--cpu", "1e400"],
            2,
            "Error: not a quantity for CPU: 1e400\n\nhint: for instance 4 or 500m for CPU, 8Gi for memory\n",
        ),
    ],
)
def test_refuses_in_one_line_with_a_hint(call: Call, overlay: str, words: list[str], exit_code: int, stderr: str) -> None:
    before = content(Path())
    assert call("set", overlay, *words) == Ended(exit_code, "", stderr)
    assert content(Path()) == before


def test_an_error_from_before_does_not_block(call: Call) -> None:
    ENV.write_text(ENV.read_text().replace("OUTPUT_DIR=/outputs/resnet50v1-5-multi-node", "OUTPUT_DIR=/outputs"))
    assert call("set", MULTI_NODE, "--workers", "5").exit_code == 0
    assert call("check", MULTI_NODE).exit_code == 1


def test_mends_an_overlay_that_does_not_render(call: Call) -> None:
    ENV.write_text(ENV.read_text().replace("IMAGE_TAG=0.1.0\n", ""))
    assert call("render", MULTI_NODE).exit_code == 1
    assert call("set", MULTI_NODE, "--image-tag", "0.1.0").exit_code == 0
    assert call("check", MULTI_NODE).exit_code == 0


def test_a_yaml_error_is_told_with_its_line(call: Call) -> None:
    PATCH.write_text(PATCH.read_text().replace("slotsPerWorker: 1", "slotsPerWorker: [1"))
    before = content(Path())
    assert call("set", MULTI_NODE, "--workers", "5") == Ended(
        1,
        "",
        "Error: mlops-job-patch.yaml: not valid YAML in line 8, column 18: expected ',' or ']', but got ':'\n\n"
        "hint: look at the line and the one above it: indentation, `: `, brackets, quotes, tabs\n",
    )
    assert content(Path()) == before


def test_creates_what_the_patch_does_not_have(call: Call) -> None:
    kept = [
        line
        for line in PATCH.read_text().splitlines(keepends=True)
        if not any(word in line for word in ("gpu", "replicas: 2", "securityC", "<"))
    ]
    PATCH.write_text("".join(kept))
    ended = call("set", MULTI_NODE, "--user", "1000", "--gpus", "0", "--workers", "2")
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert yaml.safe_load(PATCH.read_text()) == yaml.safe_load((ROOT / PATCH).read_text())


def test_line_ends_and_mode_of_the_file_are_kept(call: Call) -> None:
    ENV.write_bytes(ENV.read_bytes().replace(b"\n", b"\r\n"))
    ENV.chmod(0o640)
    before = ENV.read_bytes()
    assert call("set", MULTI_NODE, "IMAGE_TAG=0.2.0").exit_code == 0
    assert ENV.read_bytes() == before.replace(b"IMAGE_TAG=0.1.0\r\n", b"IMAGE_TAG=0.2.0\r\n")
    assert ENV.stat().st_mode & 0o777 == 0o640


def test_a_failure_while_writing_leaves_both_files_as_they_were(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(Path())
    real, calls = os.fsync, []

    def fail_for_the_second_file(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(28, "No space left on device", "mlops.env")
        real(descriptor)

    monkeypatch.setattr("mlops_launch.commands.overlay.files.os.fsync", fail_for_the_second_file)
    assert call("set", MULTI_NODE, "--workers", "5", "IMAGE_TAG=0.2.0") == Ended(
        1, "", "Error: No space left on device: mlops.env\n\nhint: make room, or name a place on another disk\n"
    )
    assert content(Path()) == before


def test_an_overlay_that_was_copied_elsewhere(call: Call) -> None:
    copy = Path("quickstart/k8s/mlops/mine")
    copy.mkdir()
    for path in Path(MULTI_NODE).iterdir():
        (copy / path.name.replace("mlops-job", "my")).write_text(path.read_text().replace("mlops-job-patch", "my-patch"))
    assert call("set", str(copy), "--workers", "5").exit_code == 0
    assert "replicas: 5" in (copy / "my-patch.yaml").read_text()


def test_an_overlay_without_a_base_above_it_and_without_an_env_file(call: Call) -> None:
    flat = Path("flat")
    flat.mkdir()
    (flat / "objects.yaml").write_text(call("render", SINGLE_NODE).stdout)
    (flat / "pod-patch.yaml").write_text(Path(SINGLE_NODE, "pod-patch.yaml").read_text())
    (flat / "kustomization.yaml").write_text("resources:\n- objects.yaml\npatches:\n- path: pod-patch.yaml\n")
    assert call("set", "flat", "--gpus", "2").exit_code == 0
    assert "nvidia.com/gpu: 2" in (flat / "pod-patch.yaml").read_text()
    assert call("set", "flat", "IMAGE_TAG=1") == Ended(
        1, "", "Error: no env file in the overlay: flat\n\nhint: `configMapGenerator` in kustomization.yaml names it in `envs`\n"
    )


def test_an_env_file_in_a_folder_of_the_overlay(call: Call) -> None:
    kustomization = Path(MULTI_NODE, "kustomization.yaml")
    kustomization.write_text(kustomization.read_text().replace("- mlops.env", "- values/job.env"))
    Path(MULTI_NODE, "values").mkdir()
    moved = ENV.rename(Path(MULTI_NODE, "values/job.env"))
    assert call("set", MULTI_NODE, "--image-tag", "0.2.0").exit_code == 0
    assert "IMAGE_TAG=0.2.0\n" in moved.read_text()
