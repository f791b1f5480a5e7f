"""Wait for the launcher's ssh connection, say when a rank is killed for memory, let ranks save when the pod must go.

    python3 worker.py

The first process of a worker's container, as any user whose passwd entry exists. Standard library only.

* sshd runs as this user on port 2222, with a host key made at start and the keys that the operator mounts in
  $HOME/.ssh. It hands this process's PATH on, so that the ranks find the image's python3 and Open MPI.
* A killed rank leaves no trace in the pod's status under cgroup v1, because sshd survives. So the cgroup's count is
  watched, and a line says it: `out-of-memory host=demo-worker-0 kills=1 limit_bytes=8589934592`. This log goes with the
  pod when the job has failed, so the line is also put into OUTPUT_DIR/out-of-memory.log, where the launcher reads it.
* SIGTERM comes when a node is drained or the job deleted: no new connections, SIGUSR1 to the ranks of this pod,
  which make all ranks save and exit; this process ends when they are gone, and the ssh session that started them: a
  daemon of mpirun that is cut off before it has reported the ranks' exit code counts as a lost worker. The kubelet
  bounds the time.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PORT = 2222
WATCH_S = 1.0
SESSION_S = 10.0  # from the ranks' end to that of the ssh session, in which mpirun's daemon reports their exit code
OUT_OF_MEMORY = "out-of-memory"  # the word of mlops_launch.contract
MEMORY_LOG = "out-of-memory.log"  # as in launcher.py
HANDED_ON = ("PATH", "LD_LIBRARY_PATH")  # ssh starts with an empty environment
RANK_VARIABLE = b"OMPI_COMM_WORLD_RANK="

# What the kernel offers: cgroup v2, then v1; (file with an `oom_kill N` line, file with the limit in bytes).
MEMORY_FILES = (("memory.events", "memory.max"), ("memory/memory.oom_control", "memory/memory.limit_in_bytes"))


def main() -> int:
    """Run sshd until SIGTERM, or until it fails; return the exit code."""
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if sshd is None:
        print("Error: sshd not found in the image", file=sys.stderr, flush=True)
        return 127
    # Before sshd starts, so that no signal is lost; a blocked signal waits for `sigtimedwait`.
    awaited = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    folder = Path(tempfile.mkdtemp(prefix="sshd-", dir=_writable_folder()))
    config = write_config(folder, os.environ)
    process = subprocess.Popen(
        [sshd, "-D", "-e", "-f", str(config)], preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, awaited)
    )
    watch = OutOfMemoryWatch(Path("/sys/fs/cgroup"), os.environ.get("OUTPUT_DIR"))
    stopping = False
    ranks_ended_at: float | None = None
    while True:
        received = signal.sigtimedwait(awaited, WATCH_S)
        watch.look()
        code = _reap(process.pid)
        if code is not None and not stopping:
            process.returncode = code
            return 128 - code if code < 0 else code or 1  # 0 is no success: nobody asked sshd to end
        if received is not None and received.si_signo != signal.SIGCHLD and not stopping:
            stopping = True
            process.terminate()
            for pid in ranks(Path("/proc")):
                os.kill(pid, signal.SIGUSR1)
        if stopping and not any(ranks(Path("/proc"))):
            ranks_ended_at = ranks_ended_at or time.monotonic()
            if not _has_children() or time.monotonic() > ranks_ended_at + SESSION_S:
                process.returncode = 0
                shutil.rmtree(folder, ignore_errors=True)
                return 0


def write_config(folder: Path, environment: Mapping[str, str]) -> Path:
    """Make a host key in `folder` and write the sshd configuration beside it; return the configuration's path."""
    key = folder / "host_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, stdin=subprocess.DEVNULL)
    config = folder / "sshd_config"
    config.write_text(sshd_config(key, Path(environment["HOME"]), {n: environment[n] for n in HANDED_ON if n in environment}))
    return config


def sshd_config(key: Path, home: Path, handed_on: Mapping[str, str]) -> str:
    """Return the text of an sshd configuration that needs no root: public keys only, nothing written outside `key`'s folder."""
    lines = [
        f"Port {PORT}",
        f"HostKey {key}",
        f"AuthorizedKeysFile {home}/.ssh/authorized_keys",
        "AuthenticationMethods publickey",
        "UsePAM no",
        "StrictModes no",  # the operator's key folder is root's, with the group's rights
        "PidFile none",
        "PermitRootLogin prohibit-password",
        "AllowTcpForwarding no",
        "X11Forwarding no",
        "PrintMotd no",
        "LogLevel ERROR",
        "MaxStartups 100",
    ]
    if handed_on:
        lines.append("SetEnv " + " ".join(f'"{name}={value}"' for name, value in handed_on.items()))
    return "".join(f"{line}\n" for line in lines)


@dataclass
class OutOfMemoryWatch:
    """Prints a line whenever the cgroup's count of processes killed for memory has risen.

    Args:
        cgroup: the folder of the container's own cgroup.
        output: the training's output folder, for the launcher to read the line there.
    """

    cgroup: Path
    output: str | None = None

    def __post_init__(self) -> None:
        self.kills = self._count()

    def look(self) -> None:
        """Compare the count with the last one."""
        kills = self._count()
        if kills > self.kills:
            line = f"{OUT_OF_MEMORY} host={socket.gethostname()} kills={kills - self.kills} limit_bytes={self._limit()}\n"
            print(line, end="", flush=True)
            if self.output:
                with contextlib.suppress(OSError), open(os.path.join(self.output, MEMORY_LOG), "a") as log:
                    log.write(line)
        self.kills = kills

    def _count(self) -> int:
        for events, _ in MEMORY_FILES:
            for line in _lines(self.cgroup / events):
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
        return 0

    def _limit(self) -> str:
        return next((line for _, limit in MEMORY_FILES for line in _lines(self.cgroup / limit)), "unknown")


def ranks(proc: Path) -> Iterable[int]:
    """Yield the process ids of this pod's ranks: leaders of a process group that carry Open MPI's rank variable."""
    for folder in proc.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it ended, or belongs to somebody else
                pid, environment = int(folder.name), (folder / "environ").read_bytes()
                if any(entry.startswith(RANK_VARIABLE) for entry in environment.split(b"\0")) and os.getpgid(pid) == pid:
                    yield pid


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _reap(pid: int) -> int | None:
    """Take in children that have ended, orphans of ssh sessions too; return the exit code of `pid` if it was one."""
    code = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == pid:
                code = os.waitstatus_to_exitcode(ended[1])
    return code


def _has_children() -> bool:
    """Return whether sshd or a session of it is there; as process 1 it has adopted the sessions when sshd ended."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _writable_folder() -> str:
    """Return $HOME, an emptyDir in the overlays, or the folder for temporary files."""
    home = os.environ.get("HOME", "")
    return home if os.access(home, os.W_OK) else tempfile.gettempdir()


if __name__ == "__main__":
    sys.exit(main())
