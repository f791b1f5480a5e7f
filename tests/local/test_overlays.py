"""The unchanged overlays on this machine: what the ranks get, what a dry run shows, what is refused before a start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

MULTI_NODE = Path("quickstart/k8s/mlops/multi-node")
SINGLE_NODE = Path("quickstart/k8s/mlops/single-node")


@pytest.fixture
def printer(package):
    """A package whose scripts print the ranks' environments."""
    return package("environment.py")


def ranks(run):
    return [json.loads(line) for line in run.lines]


def test_ranks_find_the_folders_of_this_machine(run_local, printer, tmp_path):
    data, outputs = tmp_path / "my data", tmp_path / "outputs of mine"
    data.mkdir()
    run = run_local(printer / MULTI_NODE, "--mount", f"datasets={data}", "--mount", f"outputs={outputs}")
    assert run.wait() == 0, run.errors
    found = ranks(run)
    names = ("DATASET_DIR", "OUTPUT_DIR", "MODEL_DIR", "MODEL_NAME", "MLOPS_PRESET", "MLOPS_WORKERS", "MLOPS_SLOTS_PER_WORKER")
    assert [[variables[name] for name in names] for variables in found] == [
        [str(data), f"{outputs}/resnet50v1-5-multi-node", str(printer), "resnet50v1_5", "demo", "1", "2"]
    ] * 2
    assert [(v["OMPI_COMM_WORLD_RANK"], v["OMPI_COMM_WORLD_SIZE"]) for v in found] == [("0", "2"), ("1", "2")]


def test_workers_times_slots_ranks_start(run_local, printer):
    patch = printer / MULTI_NODE / "mlops-job-patch.yaml"
    patch.write_text(patch.read_text().replace("slotsPerWorker: 1", "slotsPerWorker: 3").replace("replicas: 2", "replicas: 1"))
    run = run_local(printer / MULTI_NODE)
    assert run.wait() == 0, run.errors
    assert [variables["OMPI_COMM_WORLD_RANK"] for variables in ranks(run)] == ["0", "1", "2"]


def test_a_run_does_not_depend_on_the_shell(run_local, printer, environment):
    environment |= {"MLOPS_EPOCHS": "99", "TF_DETERMINISTIC_OPS": "1", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "7"}
    run = run_local(printer / SINGLE_NODE)
    assert run.wait() == 0, run.errors
    (variables,) = ranks(run)
    assert variables["LANG"] == "C.UTF-8"
    assert {"MLOPS_EPOCHS", "TF_DETERMINISTIC_OPS", "OMP_NUM_THREADS"}.isdisjoint(variables)


def test_the_pod_runs_its_own_command(run_local, printer, tmp_path):
    run = run_local(printer / SINGLE_NODE, "--env", "OUTPUT_DIR=/outputs/mine")
    assert run.wait() == 0, run.errors
    (variables,) = ranks(run)
    assert variables["OUTPUT_DIR"] == str(tmp_path / ".mlops/volumes/outputs/mine")
    assert "OMPI_COMM_WORLD_RANK" not in variables
    assert variables["HOME"] == variables["TMPDIR"].replace("volumes/tmp", "volumes/home")
    assert not Path(variables["HOME"]).exists()  # ended with the run


def test_model_dir_on_a_claim(run_local, printer, tmp_path):
    """The seed's way: the package lies on a shared volume."""
    overlay = printer / SINGLE_NODE
    env = overlay / "mlops.env"
    env.write_text(env.read_text().replace("MODEL_DIR=/workspace", "MODEL_DIR=/outputs/package"))
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "package").symlink_to(printer)
    run = run_local(overlay, "--mount", f"outputs={tmp_path / 'volume'}")
    assert run.wait() == 0, run.errors
    assert ranks(run)[0]["MODEL_DIR"] == str(tmp_path / "volume" / "package")


def test_model_dir_option(run_local, printer, tmp_path):
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (printer / "quickstart").rename(moved / "quickstart")
    refused = run_local(moved / SINGLE_NODE)
    assert refused.wait() == 125
    assert refused.errors.startswith("Error: no folder of this machine stands for MODEL_DIR: /workspace\n\nhint: ")
    (printer / "quickstart").symlink_to(moved / "quickstart")
    run = run_local(moved / SINGLE_NODE, "--model-dir", str(printer))
    assert run.wait() == 0, run.errors


def test_a_dry_run_shows_the_plan_and_makes_nothing(call, printer, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    shown = call("run", str(printer / MULTI_NODE), "--local", "--dry-run", "--env", "MY_TOKEN=hidden")
    assert shown.returncode == 0, shown.stderr
    assert sorted(tmp_path.rglob("*")) == before
    actions = [line[2:].partition(". ")[2] for line in shown.stdout.splitlines() if line.startswith("#")]
    assert f"mount /outputs: {tmp_path}/.mlops/volumes/outputs" in actions
    assert "set MLOPS_SLOTS_PER_WORKER=2" in actions
    assert "set MY_TOKEN=<redacted>" in actions
    (start_action,) = [action for action in actions if action.startswith("start ")]
    assert start_action == (
        f"start 2 ranks in {printer}: python3 {printer}/common/entrypoint/launcher.py mpirun -x DATASET_DIR -x MODEL_DIR -x OUTPUT_DIR "
        f"-x MODEL_NAME -x 'MLOPS_*' -x 'HOROVOD_*' -x 'TF_*' bash {printer}/quickstart/fp32_training_multi_node.sh"
    )
    assert [item["kind"] for item in yaml.safe_load_all(shown.stdout)] == ["ServiceAccount", "ConfigMap", "ConfigMap", "MPIJob"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--mount", "data=/tmp"], 2, "no claim of that name in the overlay: data"),
        (["--mount", "datasets=/no/such/folder"], 2, "no such folder for `--mount datasets`: /no/such/folder"),
        (["--mount", "datasets"], 2, "not CLAIM=DIR: datasets"),
        (["--env", "=x"], 2, "not KEY=VALUE: =x"),
    ],
)
def test_a_wrong_call_is_refused(call, printer, tmp_path, arguments, code, message):
    ended = call("run", str(printer / MULTI_NODE), "--local", *arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    first, blank, hint = ended.stderr.splitlines()
    assert (first, blank) == (f"Error: {message}", "")
    assert hint.startswith("hint: ")
    assert list((tmp_path / ".mlops").glob("runs/*/*")) == []


def test_options_of_a_local_run_are_refused_without_local(call, printer):
    ended = call("run", str(printer / MULTI_NODE), "--env", "A=1")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "Error: only for a run on this machine: --env\n\nhint: add `--local`, or set it in the overlay\n"


def test_a_variable_that_is_not_exported_to_ranks_is_refused(call, printer):
    """One host hides it: every rank would inherit the variable here, and none on a cluster."""
    env = printer / MULTI_NODE / "mlops.env"
    env.write_text(env.read_text() + "MY_SETTING=1\n")
    ended = call("run", str(printer / MULTI_NODE), "--local")
    assert ended.returncode == 125
    assert "MY_SETTING" in ended.stderr.splitlines()[0]


def test_errors_of_check_are_refused_before_anything_starts(call, printer, tmp_path):
    env = printer / MULTI_NODE / "mlops.env"
    env.write_text(env.read_text().replace("OUTPUT_DIR=/outputs/resnet50v1-5-multi-node", "OUTPUT_DIR=/outputs"))
    ended = call("run", str(printer / MULTI_NODE), "--local")
    assert ended.returncode == 125
    assert ended.stderr.splitlines()[0].startswith("Error: mlops.env:")
    assert not (tmp_path / ".mlops").exists()


def test_a_script_that_does_not_exist_is_named(call, printer):
    env = printer / MULTI_NODE / "mlops.env"
    env.write_text(env.read_text().replace("fp32_training_multi_node.sh", "training.sh"))
    ended = call("run", str(printer / MULTI_NODE), "--local")
    assert ended.returncode == 125
    assert "training.sh" in ended.stderr.splitlines()[0]
