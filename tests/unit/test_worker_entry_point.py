"""The worker's entry point: sshd's configuration, the watch over memory, which processes are ranks."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "common" / "entrypoint" / "worker.py"
CGROUP_V1 = ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n", "memory/memory.limit_in_bytes")
CGROUP_V2 = ("memory.events", "low 0\nhigh 0\nmax 7\noom 2\noom_kill {}\noom_group_kill 0\n", "memory.max")


@pytest.fixture(scope="module")
def worker():
    specification = importlib.util.spec_from_file_location("worker", PATH)
    module = importlib.util.module_from_spec(specification)
    sys.modules["worker"] = module  # dataclasses look there
    specification.loader.exec_module(module)
    yield module
    del sys.modules["worker"]


def test_sshd_needs_no_root_and_hands_the_path_on(worker):
    text = worker.sshd_config(Path("/run/key"), Path("/home/mlops"), {"PATH": "/opt/a b/bin:/bin", "LD_LIBRARY_PATH": "/opt/lib"})
    assert text == (
        "Port 2222\n"
        "HostKey /run/key\n"
        "AuthorizedKeysFile /home/mlops/.ssh/authorized_keys\n"
        "AuthenticationMethods publickey\n"
        "UsePAM no\n"
        "StrictModes no\n"
        "PidFile none\n"
        "PermitRootLogin prohibit-password\n"
        "AllowTcpForwarding no\n"
        "X11Forwarding no\n"
        "PrintMotd no\n"
        "LogLevel ERROR\n"
        "MaxStartups 100\n"
        'SetEnv "PATH=/opt/a b/bin:/bin" "LD_LIBRARY_PATH=/opt/lib"\n'
    )


@pytest.mark.parametrize("files", [CGROUP_V1, CGROUP_V2], ids=["cgroup v1", "cgroup v2"])
def test_a_risen_count_is_said_once(worker, tmp_path, capsys, files):
    events, text, limit = files
    (tmp_path / events).parent.mkdir(exist_ok=True)
    (tmp_path / events).write_text(text.format(3))
    (tmp_path / limit).write_text("8589934592\n")
    watch = worker.OutOfMemoryWatch(tmp_path, str(tmp_path))
    watch.look()
    assert capsys.readouterr().out == ""
    (tmp_path / events).write_text(text.format(5))
    watch.look()
    watch.look()
    line = f"out-of-memory host={socket.gethostname()} kills=2 limit_bytes=8589934592\n"
    assert capsys.readouterr().out == line
    assert (tmp_path / "out-of-memory.log").read_text() == line


def test_an_output_folder_that_is_not_there_is_no_error(worker, tmp_path, capsys):
    (tmp_path / "memory.events").write_text("oom_kill 0\n")
    watch = worker.OutOfMemoryWatch(tmp_path, str(tmp_path / "missing"))
    (tmp_path / "memory.events").write_text("oom_kill 1\n")
    watch.look()
    assert capsys.readouterr().out == f"out-of-memory host={socket.gethostname()} kills=1 limit_bytes=unknown\n"


def test_no_cgroup_is_no_error(worker, tmp_path, capsys):
    worker.OutOfMemoryWatch(tmp_path).look()
    assert capsys.readouterr().out == ""


def test_ranks_are_group_leaders_with_open_mpis_variable(worker):
    environment = {"PATH": os.environ["PATH"], "OMPI_COMM_WORLD_RANK": "0"}
    script = "sleep 60 & echo; wait"
    with subprocess.Popen(["sh", "-c", script], env=environment, stdout=subprocess.PIPE, start_new_session=True) as rank:
        rank.stdout.readline()
        try:
            assert [pid for pid in worker.ranks(Path("/proc")) if os.getsid(pid) == rank.pid] == [rank.pid]
        finally:
            os.killpg(rank.pid, 9)


def test_without_sshd_it_says_so(tmp_path):
    (tmp_path / "python3").symlink_to(sys.executable)
    if any(shutil.which("sshd", path=path) for path in ("/usr/sbin", "/usr/local/sbin")):
        copy = tmp_path / "worker.py"  # as on a machine without sshd
        copy.write_text(PATH.read_text().replace(":/usr/sbin:/usr/local/sbin", ""))
    else:
        copy = PATH
    ended = subprocess.run([sys.executable, str(copy)], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (127, "", "Error: sshd not found in the image\n")


def test_it_ends_after_the_session_that_reports_the_ranks_exit_code(tmp_path):
    reported = tmp_path / "reported"
    (tmp_path / "sshd").write_text(
        f"#!/bin/sh\n(sleep 1; touch {reported}) &\ntrap 'exit 0' TERM\necho ready\nwhile :; do sleep 0.05; done\n"
    )
    (tmp_path / "sshd").chmod(0o755)
    # As process 1, which adopts; and without a look at this machine's own ranks.
    program = "import ctypes, sys, worker; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0); worker.ranks = lambda proc: []; sys.exit(worker.main())"
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), "PYTHONPATH": str(PATH.parent)}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(20) == 0
        assert reported.exists()
