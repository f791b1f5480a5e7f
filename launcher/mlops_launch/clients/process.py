"""The client that runs other programs: kubectl and mpirun, always as argument lists, never through a shell."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mlops_launch.errors import LauncherError, ProcessError


@dataclass(frozen=True)
class Completed:
    """A program that ended: its argument list, exit code and what it printed."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


class Processes:
    """Runs programs."""

    def find(self, name: str, hint: str) -> str:
        """Return the path of program `name`: first on PATH, then beside this Python (pip puts wheels' programs there).

        Raises:
            LauncherError: it is in neither place.
        """
        found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
        if found is None:
            raise LauncherError(f"program not found on PATH: `{name}`", hint)
        return found

    def run(self, argv: Sequence[str], *, input: str | None = None, check: bool = True, env: Mapping[str, str] | None = None) -> Completed:
        """Run a program to its end, in this environment or in `env`, and return what it printed.

        Raises:
            ProcessError: `check` is set and the exit code is not 0.
        """
        ended = subprocess.run(
            list(argv), input=input, capture_output=True, encoding="utf-8", errors="backslashreplace", check=False, env=env
        )
        if check and ended.returncode != 0:
            raise ProcessError(argv, ended.returncode, ended.stderr)
        return Completed(tuple(argv), ended.returncode, ended.stdout, ended.stderr)

    def run_into(self, out: BinaryIO, argv: Sequence[str]) -> None:
        """Run a program to its end, its stdout at the end of the file `out`.

        Raises:
            ProcessError: its exit code is not 0.
        """
        ended = subprocess.run(list(argv), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, check=False)
        if ended.returncode != 0:
            raise ProcessError(argv, ended.returncode, ended.stderr.decode(errors="replace"))
        out.seek(0, os.SEEK_END)

    def run_together(self, *argvs: Sequence[str]) -> list[Completed]:
        """Run several programs at the same time; return each one's end, in the order given, whatever its exit code."""
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        started = [
            subprocess.Popen(list(argv), stdin=null, stdout=pipe, stderr=pipe, encoding="utf-8", errors="backslashreplace")
            for argv in argvs
        ]
        printed = [process.communicate() for process in started]
        return [Completed(tuple(a), process.returncode, *texts) for a, process, texts in zip(argvs, started, printed, strict=True)]

    def start(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own, its output and errors in one pipe, and return it running.

        The session keeps the terminal's Ctrl-C away from it: the caller decides what an interrupt means. When the
        caller is killed, the kernel sends the program a SIGTERM. Call it from the main thread.

        Raises:
            LauncherError: the program or the folder does not exist.
        """
        prctl = ctypes.CDLL(None).prctl

        def die_with_parent() -> None:
            prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG

        try:
            return subprocess.Popen(
                list(argv), env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True, bufsize=0, preexec_fn=die_with_parent,
            )  # fmt: skip
        except OSError as error:
            raise LauncherError(f"cannot start `{argv[0]}`: {error.strerror}: {error.filename}") from error

    def session(self, leader: int) -> list[int]:
        """Return the processes of the session that `leader` began, zombies left out; `leader` may have ended."""
        members = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            if fields[3] == str(leader) and fields[0] not in "ZX":
                members.append(int(folder.name))
        return members

    def kill(self, pids: Iterable[int]) -> None:
        """Kill processes at once."""
        _send(pids, signal.SIGKILL)

    def pause(self, leader: int) -> None:
        """Do what Ctrl-Z does, to a session and to this process; return when this process is continued, and the session with it.

        Where there is no shell to continue it, that is at once. When this process is killed meanwhile, the session is
        continued as well: it has been asked to save by then.
        """
        stopped: set[int] = set()
        # SIGTSTP would not do: the kernel takes it from a session without a terminal. Again, for what was started meanwhile.
        while started := set(self.session(leader)) - stopped:
            _send(started, signal.SIGSTOP)
            stopped |= started
        guard = ["/bin/sh", "-c", f"cat; kill -CONT {' '.join(map(str, stopped))}"]
        null = subprocess.DEVNULL
        with subprocess.Popen(guard, stdin=subprocess.PIPE, stdout=null, stderr=null, start_new_session=True):
            self.pause_self()
        _send(stopped, signal.SIGCONT)

    def pause_self(self) -> None:
        """Do what Ctrl-Z does by default: return when a shell has continued this process, at once where there is no shell to do so."""
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)

    def is_root(self) -> bool:
        """Return whether this process runs as root."""
        return os.geteuid() == 0


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
