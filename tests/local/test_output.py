"""Not a line is lost, none is doubled, and nothing that reads badly stops the training."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

LINES = 100_000


@pytest.fixture
def lines_overlay(package):
    return package("lines.py") / "quickstart" / "k8s" / "mlops" / "multi-node"


def test_100000_lines_arrive_complete_and_in_order(run_local, lines_overlay, output):
    run = run_local(lines_overlay, "--env", f"MLOPS_TEST_LINES={LINES}")
    assert run.wait() == 0, run.errors
    expected = [f"line {number} of a training that says much" for number in range(LINES)]
    assert run.lines == expected
    log = (run.archives()[0] / "training.log").read_bytes()
    assert log.decode().splitlines() == expected
    assert (output / "launcher.log").read_bytes() == log


def test_a_closed_stdout_does_not_stop_the_training(run_local, lines_overlay):
    run = run_local(lines_overlay, "--env", f"MLOPS_TEST_LINES={LINES}")
    os.dup2(os.open(os.devnull, os.O_RDONLY), run.process.stdout.fileno())  # the only reader of the pipe is gone
    assert run.process.wait(60) == 0
    assert "Warning: stdout cannot be written, the job keeps running and its log is kept: Broken pipe" in run.errors
    assert len((run.archives()[0] / "training.log").read_bytes().splitlines()) == LINES


def test_quiet_prints_only_the_result_line(run_local, multi_node):
    run = run_local(multi_node, "--env", "MLOPS_TEST_STEPS=3", "--quiet")
    assert run.wait() == 0, run.errors
    assert run.lines == ["result top1=1.0000 step=3 world_size=2"]


def test_the_result_line_is_the_last_of_stdout_and_stderr_together(multi_node, environment, tmp_path):
    import subprocess
    import sys

    argv = [sys.executable, "-m", "mlops_launch", "run", str(multi_node), "--local", "--env", "MLOPS_TEST_STEPS=3"]
    ended = subprocess.run(argv, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "result top1=1.0000 step=3 world_size=2"
    assert "resnet50v1-5 succeeded after" in ended.stdout


@pytest.mark.parametrize("blocks", [0, 4])  # no file may be larger, as on a disk that has that much room left
def test_a_disk_that_cannot_take_the_archive_is_told_before_anything_starts(multi_node, environment, tmp_path, blocks):
    limited = ["bash", "-c", f'ulimit -f {blocks}; exec "$@"', "bash", sys.executable, "-m", "mlops_launch"]
    kept = environment | {"PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(
        [*limited, "run", str(multi_node), "--local"], cwd=tmp_path, env=kept, capture_output=True, text=True, check=False
    )
    first, blank, hint = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout, blank) == (125, "", "")
    assert re.fullmatch(r"Error: cannot write the archive: \.mlops(/runs/resnet50v1-5/\d{8}T\d{6}Z)?: File too large", first)
    assert hint.endswith("runs are kept in its .mlops/")
    assert list(tmp_path.glob(".mlops/runs/*/*")) == []


def test_a_full_disk_below_the_archive_does_not_stop_the_training(run_local, multi_node, tmp_path):
    run = run_local(multi_node, "--env", "MLOPS_TEST_STEPS=30")
    run.wait_for_line("^step=2/")
    (folder,) = run.archives()
    (folder / "result.json.new").symlink_to("/dev/full")  # where the record is written next
    assert run.wait() == 0
    assert run.errors.splitlines()[0] == f"Warning: the archive cannot be written: {folder.relative_to(tmp_path)}: No space left on device"
    assert (folder / "training.log").read_bytes() == run.output


def test_a_bar_is_passed_on_as_it_comes_and_a_line_of_16_mib_costs_seconds(run_local, package):
    script = (
        "#!/bin/sh\nprintf ' 10%%|#  |\\r 50%%|## |\\r'; sleep 3; printf '100%%|###|\\n'; "
        "head -c 16777216 /dev/zero | tr '\\0' x; echo; echo 'result top1=1'\n"
    )
    run = run_local(package("", script) / "quickstart" / "k8s" / "mlops" / "single-node")
    run.wait_for_line("50%")
    assert b"100%" not in run.output
    assert run.wait() == 0, run.errors
    assert run.output == b" 10%|#  |\r 50%|## |\r100%|###|\n" + b"x" * (1 << 24) + b"\nresult top1=1\n"
    assert (run.archives()[0] / "training.log").read_bytes() == run.output


@pytest.mark.parametrize(
    "line", ["step=²/3 loss=1", "step= 5 of 10", "step=", "step=" + "9" * 5000 + "/9", 'result top1="', "step=1/2 steps=x"]
)
def test_no_line_ends_a_run(run_local, package, line):
    script = '#!/bin/sh\necho before; printf "%s\\n" "$MLOPS_TEST_LINE"; printf "\\033[2J\\377\\302\\205\\n"; echo after\n'
    run = run_local(package("", script) / "quickstart" / "k8s" / "mlops" / "single-node", "--env", f"MLOPS_TEST_LINE={line}")
    assert run.wait() == 0, run.errors
    log = (run.archives()[0] / "training.log").read_bytes()
    assert log == b"before\n" + line.encode() + b"\n\x1b[2J\xff\xc2\x85\nafter\n"
    assert sorted(run.output.split(b"\n")) == sorted(log.split(b"\n"))
