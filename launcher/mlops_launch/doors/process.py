"""The door to other programs: kubectl and mpirun, always as argument lists, never through a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_launch.errors import LauncherError, ProcessError


@dataclass(frozen=True)
class Completed:
    """A program that ended: its argument list, exit code and what it printed."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


class Processes:
    """Runs programs. Tests pass a twin with the same methods."""

    def find(self, name: str, hint: str) -> str:
        """Return the path of program `name`: first on PATH, then beside this Python (pip puts wheels' programs there).

        Raises:
            LauncherError: it is in neither place.
        """
        found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
        if found is None:
            raise LauncherError(f"program not found on PATH: `{name}`", hint)
        return found

    def run(self, argv: Sequence[str], *, input: str | None = None, check: bool = True) -> Completed:
        """Run a program to its end and return what it printed.

        Raises:
            ProcessError: `check` is set and the exit code is not 0.
        """
        ended = subprocess.run(list(argv), input=input, capture_output=True, text=True, check=False)
        if check and ended.returncode != 0:
            raise ProcessError(argv, ended.returncode, ended.stderr)
        return Completed(tuple(argv), ended.returncode, ended.stdout, ended.stderr)

    def run_together(self, *argvs: Sequence[str]) -> list[Completed]:
        """Run several programs at the same time; return each one's end, in the order given, whatever its exit code."""
        started = [subprocess.Popen(list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for argv in argvs]
        printed = [process.communicate() for process in started]
        return [Completed(tuple(argv), process.returncode, out, err) for argv, process, (out, err) in zip(argvs, started, printed, strict=True)]

    def start(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own, its output and errors in one pipe, and return it running.

        The session keeps the terminal's Ctrl-C away from it: the caller decides what an interrupt means.
        """
        return subprocess.Popen(
            list(argv), env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True, bufsize=0, pass_fds=(),
        )  # fmt: skip

    def is_root(self) -> bool:
        """Return whether this process runs as root."""
        return os.geteuid() == 0
