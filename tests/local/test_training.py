"""The unchanged overlays with the real trainer, in multi-node under Horovod: killed anywhere, it goes on to the same end.

The network is the small one; everything else is as in `make demo`.
"""

import json
import os
import re
import shutil
import signal
import socket
from pathlib import Path

import pytest

from mlops_launch.contract import ExitCode, parse_fields
from tests.local.conftest import REPOSITORY
from tests.manifests.tools import edit

OVERLAYS = REPOSITORY / "quickstart" / "k8s" / "mlops"
OVERLAY = OVERLAYS / "multi-node"
STEPS = 58  # two epochs of 1,412 images in batches of 50
SETTINGS = {
    "MLOPS_MODEL": "tiny",
    "MLOPS_IMAGE_SIZE": "16",
    "MLOPS_EPOCHS": "2",
    "MLOPS_LOG_STEPS": "1",
    "MLOPS_CHECKPOINT_STEPS": "10",
    "MLOPS_SUMMARIES": "false",
}


@pytest.fixture
def start(run_local, digits):
    """Start the training, each time with the same command but for `changed` variables."""

    def start(**changed):
        arguments = [word for name, value in (SETTINGS | changed).items() for word in ("--env", f"{name}={value}")]
        return run_local(OVERLAY, "--mount", f"datasets={digits}", *arguments)

    return start


def trained_steps(output):
    records = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return [record["step"] for record in records if record["kind"] == "train"]


def require_the_same_end(run, output):
    assert run.wait(120) == ExitCode.SUCCESS, run.errors
    assert parse_fields(run.lines[-1])["step"] == str(STEPS)
    assert run.lines[-1].startswith("result top1=")
    assert trained_steps(output) == list(range(1, STEPS + 1))
    assert (output / "checkpoints" / f"step-{STEPS:08d}.safetensors").exists()


@pytest.mark.parametrize("victim", ["launcher", "mpirun", "rank"])
def test_killed_no_rank_survives_and_the_same_command_goes_on_to_the_same_step(start, output, victim):
    run = start()
    run.wait_for_line(r"^step=25/")
    assert run.lines[0].startswith("start comm=horovod world_size=2 ranks=0:")
    ranks = run.pids("rank")
    assert len(ranks) == 2
    os.kill({"launcher": run.process.pid, "mpirun": run.pids("mpirun")[0], "rank": ranks[1]}[victim], signal.SIGKILL)
    run.wait_until_gone(90)
    again = start()
    resumed = again.wait_for_line(r"^resume ", 90)
    # A killed launcher leaves ranks the time to save; a killed rank or mpirun does not.
    assert int(parse_fields(resumed)["step"]) >= 20
    require_the_same_end(again, output)


def test_no_second_training_starts_in_the_same_output_folder(start, output):
    first = start(MLOPS_EPOCHS="1000")
    first.wait_for_line(r"^step=5/")
    second = start(MLOPS_EPOCHS="1000")
    assert second.wait(90) == ExitCode.CANNOT_CREATE
    assert "the output folder is in use by process" in "\n".join(second.lines)
    first.signal(signal.SIGTERM)
    assert first.wait(90) == ExitCode.INTERRUPTED
    assert trained_steps(output) == list(range(1, len(trained_steps(output)) + 1))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_saves_exits_with_143_and_goes_on_from_there(start, output, number):
    run = start()
    run.wait_for_line(r"^step=15/")
    run.signal(number)
    assert run.wait(90) == ExitCode.INTERRUPTED
    assert run.processes() == []
    done = trained_steps(output)[-1]
    assert (output / "checkpoints" / f"step-{done:08d}.safetensors").exists()
    again = start()
    assert int(parse_fields(again.wait_for_line(r"^resume ", 90))["step"]) == done
    require_the_same_end(again, output)


def test_a_stopped_rank_is_named_and_one_interrupt_ends_the_run(run_local, digits, output, tmp_path):
    package = tmp_path / "package"
    for name in ("common", "models", "quickstart"):
        shutil.copytree(REPOSITORY / name, package / name)
    # In a tenth of the time.
    edit(package / "common" / "stall.py", "LIMIT_S: Final = 60.0", "LIMIT_S: Final = 6.0")
    edit(package / "common" / "entrypoint" / "launcher.py", "GRACE_S = 120.0", "GRACE_S = 12.0")
    settings = [word for name, value in (SETTINGS | {"MLOPS_EPOCHS": "1000"}).items() for word in ("--env", f"{name}={value}")]
    run = run_local(package / OVERLAY.relative_to(REPOSITORY), "--mount", f"datasets={digits}", *settings)
    run.wait_for_line(r"^step=15/", 180)
    # The one that speaks for all and saves.
    os.kill(next(pid for pid in run.pids("rank") if "OMPI_COMM_WORLD_RANK=0\0" in environment_of(pid)), signal.SIGSTOP)
    named = run.wait_for_line(r"^warning: no step has ended for .*\(stopped\)", 60)
    done, host = trained_steps(output)[-1], socket.gethostname()
    ranks = re.escape(f"0:{host} (stopped), 1:{host}")
    assert re.fullmatch(rf"warning: no step has ended for \d+ s, the last was {done}; ranks: {ranks}", named), done
    run.signal(signal.SIGINT)
    assert run.wait(60) == ExitCode.KILLED
    assert "Warning: still running 12 s after it was asked to stop: killed" in run.lines
    assert run.processes() == []
    assert run.result()["stopped_by"] == "signal"


def environment_of(pid):
    return Path(f"/proc/{pid}/environ").read_text()


@pytest.mark.parametrize(("overlay", "ranks"), [("multi-node", "2"), ("single-node", "1")])
def test_another_model_trains_through_the_same_overlays(run_local, digits, tmp_path, overlay, ranks):
    settings = ("--env", "MODEL_NAME=mnist_mlp", "--env", "OUTPUT_DIR=/outputs/mnist-mlp")
    run = run_local(OVERLAYS / overlay, "--mount", f"datasets={digits}", "--mount", f"outputs={tmp_path}", *settings)
    assert run.wait(240) == ExitCode.SUCCESS, run.errors
    result = parse_fields(run.lines[-1])
    assert run.lines[-1].startswith("result ")
    assert (result["world_size"], result["step"], result["output"]) == (ranks, "348", str(tmp_path / "mnist-mlp"))
    assert float(result["top1"]) >= 0.93
