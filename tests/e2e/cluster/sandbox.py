"""The cluster's own world: one network, mount and process namespace, made by `unshare` and held by one process.

Everything the cluster starts lives inside. Ending that one process makes the kernel end all others, and with them go
the mounts, links, addresses and firewall rules. What namespaces do not cover is undone by hand: the host's end of the
link and the cgroups.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import network
from .settings import ClusterError, Settings

# A kubelet, a container engine and hostPath volumes use fixed places below these folders: inside they are the cluster's own.
MOUNTS = """
mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
mount --bind "$1/var-lib" /var/lib
mount --bind "$1/var-log" /var/log
mount --bind "$1/srv" /srv
# A kubelet changes these for the whole machine: here it changes copies.
mkdir "$1/kernel"
for name in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
  [ -e "/proc/sys/$name" ] || continue
  copy="$1/kernel/$(basename "$name")"
  cat "/proc/sys/$name" >"$copy"
  mount --bind "$copy" "/proc/sys/$name"
done
"""


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox: `pid` is its first process as the host sees it, `started` that process's start time in ticks."""

    pid: int
    started: int

    @property
    def proc(self) -> Path:
        """The sandbox's own /proc, with the process numbers that are valid inside."""
        return Path(f"/proc/{self.pid}/root/proc")

    def alive(self) -> bool:
        """Whether the first process is there and is the one that was started."""
        return start_time(Path("/proc"), self.pid) == self.started

    def enter(self, argv: Sequence[str], *, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command inside and waits for it.

        Raises:
            ClusterError: `check` and a non-zero exit.
        """
        done = subprocess.run([*self.nsenter(), *argv], input=text, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise ClusterError(f"`{' '.join(argv)}` in the sandbox failed with exit code {done.returncode}: {done.stderr.strip()[-2000:]}")
        return done

    def nsenter(self) -> list[str]:
        """The words before a command that put it inside."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--"]


def start_time(proc: Path, pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None when it is gone or only waits to be reaped."""
    try:
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # A killed program's first thread may wait to be reaped while others still hold its sockets.
    is_gone = fields[0] == "X" or (fields[0] == "Z" and int(fields[17]) <= 1)
    return None if is_gone else int(fields[19])


def create(settings: Settings, pause: Path) -> Sandbox:
    """Makes namespaces, network and cgroups, and records them in the work folder.

    Raises:
        ClusterError: a step failed; sandbox.log has its words.
    """
    for name in ("var-lib", "var-log", "srv"):
        (settings.work / name).mkdir(parents=True, exist_ok=True)
    log, ready = settings.logs / "sandbox.log", settings.work / "sandbox.ready"
    script = MOUNTS + network.inside(settings) + ': >"$1/sandbox.ready"\nexec "$2"\n'
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    holder = spawn([], [*unshare, "sh", "-euc", script, "sandbox", str(settings.work), str(pause)], log)
    try:
        sandbox = _record(settings, holder, log, ready)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder, signal.SIGKILL)
        raise
    network.connect(settings, sandbox.pid)
    for folder in cgroup_folders(settings):
        _create_cgroup(folder)
    return sandbox


def _record(settings: Settings, holder: int, log: Path, ready: Path) -> Sandbox:
    deadline = time.monotonic() + 10
    while not ready.exists():
        if time.monotonic() > deadline or start_time(Path("/proc"), holder) is None:
            raise ClusterError(f"the sandbox did not start, see {log}:\n{log.read_text()[-2000:]}")
        time.sleep(0.02)
    first = _child(holder)
    started = start_time(Path("/proc"), first)
    if started is None:
        raise ClusterError(f"the sandbox ended at once, see {log}:\n{log.read_text()[-2000:]}")
    sandbox = Sandbox(first, started)
    (settings.work / "sandbox.json").write_text(json.dumps({"pid": first, "started": started}))
    return sandbox


def load(settings: Settings) -> Sandbox | None:
    """The recorded sandbox, None when there is none or it has ended."""
    try:
        sandbox = Sandbox(**json.loads((settings.work / "sandbox.json").read_text()))
    except FileNotFoundError:
        return None
    return sandbox if sandbox.alive() else None


def destroy(settings: Settings) -> None:
    """Ends everything inside and undoes what reaches outside; harmless when there is nothing.

    Raises:
        ClusterError: processes or cgroups are still there after 20 s.
    """
    sandbox = load(settings)
    if sandbox is not None:
        os.kill(sandbox.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    # The first process of a process namespace is gone only when all others are.
    while sandbox is not None and Path(f"/proc/{sandbox.pid}").exists() and start_time(Path("/proc"), sandbox.pid) == sandbox.started:
        _wait(deadline, f"process {sandbox.pid} did not end")
    network.disconnect(settings)
    for folder in cgroup_folders(settings):
        while folder.exists():
            _remove_cgroup(folder)
            _wait(deadline, f"cgroup is still in use: {folder}")
    (settings.work / "sandbox.json").unlink(missing_ok=True)
    (settings.work / "sandbox.ready").unlink(missing_ok=True)


def spawn(prefix: Sequence[str], argv: Sequence[str], log: Path) -> int:
    """Starts a process that outlives this one, output appended to `log`; its number as seen where it runs."""
    # The shell leaves at once, so the process belongs to init and is never a zombie of ours.
    shell = ["sh", "-c", '"$@" </dev/null >>"$0" 2>&1 & echo $!', str(log), *argv]
    done = subprocess.run([*prefix, *shell], capture_output=True, text=True, check=True, start_new_session=True)
    return int(done.stdout)


def _child(parent: int) -> int:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            return int(stat.parent.name)
    raise ClusterError(f"process {parent} has no child")


def cgroup_folders(settings: Settings) -> list[Path]:
    """The cluster's folder in every cgroup hierarchy of the machine, whether or not it is there."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [Path(mount[1]) / settings.name for mount in mounts if mount[2] in ("cgroup", "cgroup2")]


def _create_cgroup(folder: Path) -> None:
    if (folder.parent / "cgroup.controllers").exists():
        controllers = (folder.parent / "cgroup.controllers").read_text().split()
        if not controllers or "memory" not in controllers:
            return  # the second hierarchy of a machine with cgroup v1
        (folder.parent / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))
    folder.mkdir(exist_ok=True)
    for name in ("cpuset.cpus", "cpuset.mems"):  # version 1 begins with none, and nothing can run in it
        if (folder / name).exists() and not (folder / "cgroup.controllers").exists():
            (folder / name).write_text((folder.parent / name).read_text())


def _remove_cgroup(folder: Path) -> None:
    for path, _, _ in os.walk(folder, topdown=False):
        try:
            os.rmdir(path)
        except OSError:
            return  # a process is still on its way out


def _wait(deadline: float, problem: str) -> None:
    if time.monotonic() > deadline:
        raise ClusterError(problem)
    time.sleep(0.05)
