"""The launcher's entry point by itself, as the first process of a container starts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_launch import contract

ENTRY_POINT = Path(__file__).resolve().parents[2] / "common" / "entrypoint" / "launcher.py"
SAVES = "trap 'echo saved; exit 143' USR1; echo ready; while :; do sleep 0.05; done"


@pytest.fixture
def enter(environment):
    """Start the entry point around `sh -c SCRIPT`."""
    started = []

    def enter(script, output_dir=None, **options):
        variables = environment | ({"OUTPUT_DIR": str(output_dir)} if output_dir else {})
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        started.append(subprocess.Popen([sys.executable, str(ENTRY_POINT), "sh", "-c", script], env=variables, **options))
        return started[-1]

    yield enter
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 66", 66), ("kill -9 $$", 137), ("kill -10 $$", 138), ("exec no-such", 127)]
)
def test_the_exit_code_is_the_commands(enter, script, code):
    process = enter(script)
    process.communicate(timeout=30)
    assert process.returncode == code


def test_a_command_that_cannot_be_started(environment):
    argv = [sys.executable, str(ENTRY_POINT), "no-such-program"]
    ended = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (127, "")
    assert ended.stderr == "Error: cannot start `no-such-program`: No such file or directory\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_becomes_sigusr1(enter, number):
    process = enter(SAVES)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    process.send_signal(number)
    assert process.communicate(timeout=30)[0] == b"saved\n"
    assert process.returncode == 143


@pytest.mark.parametrize(
    "script",
    [
        "trap '' USR1; echo $$; while :; do sleep 0.05; done",
        "trap '' USR1; sh -c 'echo $$; kill -STOP $$' & wait",
        "trap '' USR1; sh -c 'echo $$; exec sleep 600' & while :; do sleep 0.05; done",
    ],
    ids=["deaf", "its child is stopped", "its child is deaf"],
)
def test_one_signal_ends_whatever_runs_within_the_grace_and_nothing_survives(environment, script):
    program = (
        f"import sys\nsys.path.insert(0, {str(ENTRY_POINT.parent)!r})\n"
        "import launcher\nlauncher.GRACE_S = 1\nsys.exit(launcher.main(sys.argv[1:]))\n"
    )
    argv = [sys.executable, "-c", program, "sh", "-c", script]
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pid = int(process.stdout.readline())
    begun = time.monotonic()
    process.terminate()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 137
    assert 1 <= time.monotonic() - begun < 10
    assert errors.decode() == "Warning: still running 1 s after it was asked to stop: killed\n"
    assert not Path(f"/proc/{pid}").exists()


def test_a_command_that_has_nothing_to_save_counts_as_interrupted(enter):
    process = enter("echo ready; exec sleep 60")
    assert process.stdout.readline() == b"ready\n"
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 143


def test_a_signal_before_the_command_runs_is_not_lost(tmp_path, environment):
    """The signal comes between the handlers' installation and the command's start."""
    program = (
        "import os, runpy, signal, subprocess, sys\n"
        "start = subprocess.Popen\n"
        "def signalled(*words, **options):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return start(*words, **options)\n"
        "subprocess.Popen = signalled\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    argv = [sys.executable, "-c", program, str(ENTRY_POINT), "sleep", "60"]
    assert subprocess.run(argv, env=environment, timeout=30, check=False).returncode == 143


def test_the_copy_is_the_stream_without_nul_bytes_and_grows(enter, tmp_path):
    """mpirun sends a NUL byte behind each message of its own, which would stand in front of the next line."""
    output = tmp_path / "outputs" / "run"
    first, _ = enter("printf 'a\\377\\nno line end'; printf '%s\\n\\0' talk >&2; echo more", output).communicate(timeout=30)
    second, _ = enter("echo again", output).communicate(timeout=30)
    assert (first, second) == (b"a\xff\nno line endtalk\nmore\n", b"again\n")
    assert (output / "launcher.log").read_bytes() == first + second
    starts = [contract.parse_fields(line) for line in (output / "launcher.log.starts").read_text().splitlines()]
    assert [int(fields["offset"]) for fields in starts] == [0, len(first)]
    assert time.time() - 60 < float(starts[0]["time"]) <= float(starts[1]["time"]) <= time.time()
    assert {fields["host"] for fields in starts} == {socket.gethostname()}


@pytest.mark.parametrize("torn", ["offset=0 ti", "offset=0 time=1.5 host=a", "\0\0\0"])
def test_a_start_line_that_is_cut_off_is_ended_before_the_next(enter, tmp_path, torn):
    (tmp_path / "launcher.log").write_bytes(b"old\n")
    (tmp_path / "launcher.log.starts").write_text(torn)
    enter("true", tmp_path).communicate(timeout=30)
    lines = (tmp_path / "launcher.log.starts").read_text().splitlines()
    assert lines[0] == torn
    assert contract.parse_fields(lines[1])["offset"] == "4"


def test_what_workers_say_of_memory_kills_is_repeated_once(enter, tmp_path):
    log = tmp_path / "out-of-memory.log"
    log.write_text("out-of-memory host=w0 kills=1 limit_bytes=1\n")
    process = enter(f"echo out-of-memory host=w1 kills=1 limit_bytes=2 >>'{log}'; kill -9 $$", tmp_path)
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (137, b"out-of-memory host=w1 kills=1 limit_bytes=2\n")
    assert (tmp_path / "launcher.log").read_bytes() == output


def test_what_is_repeated_begins_a_line(enter, tmp_path):
    process = enter(f"printf 'cut off'; echo out-of-memory host=w1 >'{tmp_path}/out-of-memory.log'; kill -9 $$", tmp_path)
    output, _ = process.communicate(timeout=30)
    assert output == b"cut off\nout-of-memory host=w1\n"


@pytest.mark.parametrize(("code", "told", "expected"), [(14, "", 255), (14, "out-of-memory host=w1", 137), (255, "", 255), (15, "", 15)])
def test_a_lost_peer_is_a_lost_worker_unless_memory_ran_out(tmp_path, environment, code, told, expected):
    """14 is what Open MPI's ranks end with when another rank of theirs is gone."""
    mpirun = tmp_path / "mpirun"
    mpirun.write_text(f"#!/bin/sh\necho '{told}' | grep . >>'{tmp_path}/out-of-memory.log'\nexit {code}\n")
    mpirun.chmod(0o755)
    argv = [sys.executable, str(ENTRY_POINT), str(mpirun)]
    ended = subprocess.run(argv, env=environment | {"OUTPUT_DIR": str(tmp_path)}, capture_output=True, text=True, check=False, timeout=30)
    assert (ended.returncode, ended.stdout.strip()) == (expected, told)


def test_a_full_disk_is_said_once_and_does_not_stop_the_command(enter, tmp_path):
    (tmp_path / "launcher.log").symlink_to("/dev/full")
    out, errors = enter("for i in 1 2 3; do echo $i; sleep 0.05; done; exit 9", tmp_path).communicate(timeout=30)
    assert out == b"1\n2\n3\n"
    warning = f"Warning: cannot write the log, the training continues: {tmp_path / 'launcher.log'}: No space left on device\n"
    assert errors.decode() == warning


def test_a_copy_that_cannot_be_made_is_said(enter, tmp_path):
    (tmp_path / "file").touch()
    out, errors = enter("echo on", tmp_path / "file").communicate(timeout=30)
    assert out == b"on\n"
    assert errors.decode() == f"Warning: no copy of the log: {tmp_path / 'file' / 'launcher.log'}: File exists\n"


def test_a_folder_is_not_made_where_no_volume_is_mounted(enter):
    _, errors = enter("true", "/no-such-volume/run").communicate(timeout=30)
    assert errors.decode() == "Warning: no copy of the log: /no-such-volume/run/launcher.log: No such file or directory\n"
    assert not Path("/no-such-volume").exists()


def test_a_closed_stdout_does_not_stop_the_command(enter, tmp_path):
    process = enter("while [ ! -e go ]; do sleep 0.05; done; echo one; sleep 0.2; echo two; exit 5", tmp_path, cwd=tmp_path)
    process.stdout.close()
    (tmp_path / "go").touch()
    assert process.wait(30) == 5
    assert (tmp_path / "launcher.log").read_text() == "one\ntwo\n"
    assert process.stderr.read().decode() == "Warning: cannot write the log, the training continues: stdout: Broken pipe\n"
    process.stdout = None


def test_what_the_command_leaves_running_is_killed(enter):
    process = enter("setsid sleep 600 & echo $!; exit 3")
    orphan = int(process.stdout.readline())
    assert process.wait(30) == 3
    assert not Path(f"/proc/{orphan}").exists()


def test_the_commands_own_killer_is_its_parents_death(enter):
    """SIGKILL of the entry point: the command is asked to save, and is not left alone."""
    process = enter("trap 'exit 143' USR1; echo $$; while :; do sleep 0.05; done")
    child = int(process.stdout.readline())
    process.kill()
    process.wait(30)
    until = time.monotonic() + 10
    while os.path.exists(f"/proc/{child}") and " Z " not in Path(f"/proc/{child}/stat").read_text():
        assert time.monotonic() < until, "survived"
        time.sleep(0.02)


@pytest.fixture
def mpirun(tmp_path, environment):
    """Start the entry point around a program `mpirun` that says it runs, with this hostfile."""
    program, hostfile = tmp_path / "mpirun", tmp_path / "hostfile"
    program.write_text("#!/bin/sh\necho mpirun runs\n")
    program.chmod(0o755)

    def start(hosts, **options):
        hostfile.write_text("".join(f"{host} slots=1\n" for host in hosts))
        variables = environment | {"PRTE_MCA_prte_default_hostfile": str(hostfile), "OUTPUT_DIR": str(tmp_path)}
        argv = [sys.executable, *options.pop("python", [str(ENTRY_POINT)]), str(program)]
        return subprocess.Popen(argv, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    return start


def test_mpirun_starts_at_once_when_all_names_have_an_address(mpirun):
    begun = time.monotonic()
    assert mpirun(["localhost", "127.0.0.1"]).communicate(timeout=30) == (b"mpirun runs\n", b"")
    assert time.monotonic() - begun < 2


def test_mpirun_waits_for_names_and_the_log_says_so(mpirun, tmp_path):
    """The seventh question for a name gets an address, after three seconds."""
    program = f"""
import socket, sys
sys.path.insert(0, {str(ENTRY_POINT.parent)!r})
import launcher
asked = []
def answer(host, port):
    asked.append(host)
    if host == "job-worker-1" and asked.count(host) < 7:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return [host]
socket.getaddrinfo = answer
code = launcher.main(sys.argv[1:])
assert asked.count("job-worker-0") == 1 and asked.count("job-worker-1") == 7, asked
sys.exit(code)
"""
    process = mpirun(["job-worker-0", "job-worker-1"], python=["-c", program])
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, b"")
    assert output == b"waiting for the DNS: no address yet for 1 workers: job-worker-1\nmpirun runs\n"
    assert (tmp_path / "launcher.log").read_bytes() == output


def test_a_signal_ends_the_wait_for_names(mpirun):
    process = mpirun(["no-such-worker.invalid"])
    assert process.stdout.readline().startswith(b"waiting for the DNS: ")
    process.terminate()
    assert process.communicate(timeout=30)[0] == b""
    assert process.returncode == 143
