"""Start the training, hand signals on, keep a copy of the log, end with the training's exit code.

    python3 launcher.py mpirun -x MLOPS_* bash fp32_training_multi_node.sh

The first process of the launcher's container, and of a local run. Standard library only.

* SIGTERM, SIGINT and SIGHUP become SIGUSR1 for the command. mpirun hands SIGUSR1 to every rank, and the ranks save
  and exit with 143; SIGTERM itself would make mpirun kill them at once, with exit code 1. The signal is sent again
  every few seconds, because mpirun drops one that comes while it is starting the ranks. A command that ends by
  SIGUSR1 had nothing to save yet: that is 143 too.
* What the command prints goes to stdout and to the end of OUTPUT_DIR/launcher.log: the kubelet rotates a container's
  log away, the output volume keeps it. NUL bytes are left out: mpirun puts one behind each of its own messages.
  A closed stdout or a copy that cannot be written is said once on stderr and does not stop the training.
  OUTPUT_DIR/launcher.log.starts has a line for each container: where in the copy its part begins, when, which host.
* mpirun starts when the names of all workers have an address: a Service's names reach the cluster's DNS some time after
  the pods are ready, and mpirun gives up at the first one that it cannot resolve.
* When a rank dies, mpirun ends with 137, or with what the others made of the broken connection, whichever it hears of
  first. The others' code is MPI's own and says nothing to anybody: it becomes 255, as when mpirun itself loses a worker.
* A rank killed for memory is seen by its worker's entry point alone, whose log goes with its pod: what that one has put
  into OUTPUT_DIR/out-of-memory.log is repeated here after an exit code of 137 or 255, and makes it 137.
* In a container the kubelet bounds the time to save. A local run has nobody who does: GRACE_S seconds after the first
  signal the command is killed, whatever holds it up: a stopped rank, a disk that does not answer. When the parent
  process is killed, this is a SIGTERM.
* Nothing that was started survives: orphans are adopted, reaped, and killed once the command has ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

HOSTFILE = "PRTE_MCA_prte_default_hostfile"
NAMES_S = 120.0  # for names; then mpirun may say what is wrong
NAMES_TOLD_S = 2.0  # waiting that long is worth a line
GRACE_S = 120.0  # as terminationGracePeriodSeconds in the overlays
RESEND_S = 5.0  # between two SIGUSR1 to a command that has not ended
DRAIN_S = 1.0  # for orphans that hold the pipe open when the command has ended
MEMORY_LOG = "out-of-memory.log"  # as in worker.py
MEMORY_WAIT_S = 5.0  # for the line of a worker, which looks every second
CHUNK = 1 << 16  # bytes, the size of a pipe
INTERRUPTED = 128 + signal.SIGTERM
KILLED = 128 + signal.SIGKILL
WORKER_LOST = 255
PEER_LOST = 14  # MPI_ERR_UNKNOWN: Open MPI ends a rank so when its connection to another one breaks
NEVER = float("inf")

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def main(argv: Sequence[str]) -> int:
    """Run the command `argv` to its end and return the exit code for this process."""
    if not argv:
        _say("Error: no command given\n\nhint: python3 launcher.py COMMAND [ARGUMENT …]")
        return os.EX_USAGE
    if os.getppid() != 0:  # 0: the first process of a pid namespace
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    return Launcher().run(argv)


class Launcher:
    """One run of one command."""

    def __init__(self) -> None:
        self.parent = os.getppid()
        self.child: int | None = None
        self.code: int | None = None
        self.asked = False
        self.sent_at = 0.0
        self.kill_at = NEVER
        self.told_kill = False
        self.line_open = False  # what was written last does not end a line
        self.outputs = {"stdout": 1}  # name → file descriptor, of what can still be written
        self._open_copy(os.environ.get("OUTPUT_DIR"))
        self.memory_log = os.path.join(os.environ.get("OUTPUT_DIR") or os.devnull, MEMORY_LOG)  # nothing is below /dev/null
        self.memory_log_read = len(_content(self.memory_log))  # of earlier runs

    def run(self, argv: Sequence[str]) -> int:
        """Start the command, follow it to its end, leave nothing behind; return the exit code."""
        wake = self._watch_signals()
        if os.path.basename(argv[0]) == "mpirun":
            self._await_names()
            if self.asked:
                return INTERRUPTED
        try:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0, preexec_fn=_prepare_child
            )
        except OSError as error:
            _say(f"Error: cannot start `{argv[0]}`: {error.strerror}")
            return 127 if isinstance(error, FileNotFoundError) else 126
        assert process.stdout is not None
        self.child = process.pid
        if self.asked:  # before the command ran
            self._send()
        self._copy_output(process.stdout.fileno(), wake)
        while self.code is None:  # the command closed its output and goes on
            self._wait([wake], 1.0)
        process.returncode = self.code  # reaped here, not by Popen
        _kill_children()
        code = self.code if self.code >= 0 else 128 - self.code
        if code == PEER_LOST and os.path.basename(argv[0]) == "mpirun":
            code = WORKER_LOST
        if code in (KILLED, WORKER_LOST) and self._repeat_memory_kills():
            code = KILLED
        return INTERRUPTED if self.asked and code == 128 + signal.SIGUSR1 else code

    def _await_names(self) -> None:
        """Return when the hostfile's names have addresses, when a signal has come, or when it takes too long."""
        hosts = [line.split()[0] for line in _content(os.environ.get(HOSTFILE) or os.devnull).decode().splitlines() if line.strip()]
        begun, told = time.monotonic(), False
        while not self.asked:
            hosts = [host for host in hosts if not _resolves(host)]
            waited = time.monotonic() - begun
            if not hosts or waited > NAMES_S:
                return
            if waited > NAMES_TOLD_S and not told:
                told = True
                self._write(f"waiting for the DNS: no address yet for {len(hosts)} workers: {hosts[0]}\n".encode())
            time.sleep(0.5)

    def _copy_output(self, pipe: int, wake: int) -> None:
        """Copy the pipe until its end, which comes at the latest when the command and its orphans are gone."""
        kill_orphans_at = NEVER
        while True:
            if pipe in self._wait([pipe, wake], 1.0 if self.code is None else 0.1):
                data = os.read(pipe, CHUNK)
                if not data:
                    return
                self._write(data.replace(b"\0", b""))
            if self.code is not None:
                kill_orphans_at = min(kill_orphans_at, time.monotonic() + DRAIN_S)
                if time.monotonic() > kill_orphans_at:
                    _kill_children()

    def _watch_signals(self) -> int:
        """Install the handlers; return a file descriptor that can be read when a signal has come."""
        wake, writer = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        return wake

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if self.parent != 0:
            self.kill_at = min(self.kill_at, time.monotonic() + GRACE_S)
        self._send()

    def _send(self, number: signal.Signals = signal.SIGUSR1) -> None:
        self.sent_at = time.monotonic()
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.child, number)

    def _wait(self, files: list[int], seconds: float) -> list[int]:
        """Wait for one of `files`, take in children that have ended, repeat a signal that is due."""
        ready = select.select(files, [], [], seconds)[0]
        if files[-1] in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(files[-1], CHUNK)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self.child:
                    self.child, self.code = None, os.waitstatus_to_exitcode(ended[1])
        now = time.monotonic()
        if now > self.kill_at and self.code is None:
            if not self.told_kill:
                self.told_kill = True
                _say(f"Warning: still running {GRACE_S:.0f} s after it was asked to stop: killed")
            self._send(signal.SIGKILL)
        elif self.asked and now > self.sent_at + RESEND_S:
            self._send()
        return ready

    def _write(self, data: bytes) -> None:
        self.line_open = not data.endswith(b"\n") if data else self.line_open
        for name, file in list(self.outputs.items()):
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(file, view) :]
            except OSError as error:
                del self.outputs[name]
                _say(f"Warning: cannot write the log, the training continues: {name}: {error.strerror}")

    def _repeat_memory_kills(self) -> bool:
        # On one machine there is no worker to wait for.
        deadline = time.monotonic() + (MEMORY_WAIT_S if self.parent == 0 else 0)
        while not (lines := _content(self.memory_log)[self.memory_log_read :]) and time.monotonic() < deadline:
            time.sleep(0.2)
        if lines:
            self._write(b"\n" + lines if self.line_open else lines)
        return bool(lines)

    def _open_copy(self, folder: str | None) -> None:
        if not folder:
            return
        path = os.path.join(os.path.abspath(folder), "launcher.log")
        volume = os.path.join("/", path.split("/")[1])
        try:
            if os.path.isdir(volume):  # else nothing is mounted there, and the training says so
                os.makedirs(os.path.dirname(path), exist_ok=True)
            copy = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            with open(f"{path}.starts", "ab+") as starts:
                # A kill or a full disk may have cut the last line off.
                if starts.tell() and _content(f"{path}.starts")[-1:] != b"\n":
                    starts.write(b"\n")
                starts.write(f"offset={os.fstat(copy).st_size} time={time.time():.3f} host={socket.gethostname()}\n".encode())
            self.outputs[path] = copy
        except OSError as error:
            _say(f"Warning: no copy of the log: {path}: {error.strerror}")


def _prepare_child() -> None:
    """Between fork and exec: away from the terminal's Ctrl-C, and asked to save when this process is killed."""
    os.setpgid(0, 0)
    _prctl(PR_SET_PDEATHSIG, signal.SIGUSR1)


def _kill_children() -> None:
    """Kill what was adopted and is still there; what those had started is adopted then, and killed too."""
    with contextlib.suppress(OSError):  # a kernel without this file; a container's end kills them as well
        while pids := _read(f"/proc/self/task/{os.getpid()}/children").split():
            for pid in map(int, pids):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _resolves(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except OSError:
        return False


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody listens
        os.write(2, f"{text}\n".encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
