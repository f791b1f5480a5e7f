"""Run the real `mlops-launch run --local` with the real mpirun, and look at every process it starts."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).parent / "programs"
PATIENCE_S = 60.0  # for what takes a second on an idle machine


@dataclass(frozen=True)
class Process:
    """A process of a run: `kind` is `entry point`, `mpirun`, `rank` or `other`."""

    pid: int
    kind: str
    command: str


class LocalRun:
    """A started `mlops-launch run --local`; its lines are collected in the background.

    Args:
        arguments: of `run`.
        folder: where it is started.
        environment: all its variables.
        job: in a process group of its own, as a shell with job control does it.
        orphan: in a session of its own, where nobody can continue what is stopped.
    """

    def __init__(self, arguments: list[str], folder: Path, environment: dict[str, str], *, job: bool = False, orphan: bool = False) -> None:
        self.folder = folder
        self.errors_file = folder / f"stderr-{time.monotonic_ns()}"
        with self.errors_file.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlops_launch", "run", *arguments, "--local"],
                cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                preexec_fn=os.setpgrp if job else None, start_new_session=orphan,
            )  # fmt: skip
        self.output = b""
        self._session: int | None = None
        self._grown = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        while data := os.read(self.process.stdout.fileno(), 1 << 16):
            with self._grown:
                self.output += data
                self._grown.notify_all()

    @property
    def lines(self) -> list[str]:
        return self.output.decode().splitlines()

    @property
    def errors(self) -> str:
        return self.errors_file.read_text()

    def wait_for_line(self, pattern: str, timeout: float = PATIENCE_S) -> str:
        """Return the first line of stdout that `pattern` matches, as soon as it is there."""
        expression, until = re.compile(pattern), time.monotonic() + timeout
        while True:
            with self._grown:
                found = next((line for line in self.lines if expression.search(line)), None)
                if found is not None:
                    self._find_session()
                    return found
                self._grown.wait(0.2)
            if not self._reader.is_alive() or time.monotonic() > until:
                pytest.fail(f"no line {pattern!r} in:\n{self.output.decode()}\nstderr:\n{self.errors}")

    def wait(self, timeout: float = PATIENCE_S) -> int:
        """Return the exit code once the launcher has ended and all its output is read."""
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    @property
    def session(self) -> int:
        """The session that the launcher has made for the entry point; known from the first line waited for."""
        self._find_session()
        assert self._session is not None, "no entry point was seen; wait for a line first"
        return self._session

    def _find_session(self) -> None:
        if self._session is None:
            children = [pid for pid, fields in _stats() if fields[1] == str(self.process.pid) and fields[3] == str(pid)]
            self._session = children[0] if children else None

    def processes(self) -> list[Process]:
        """Return what runs in the entry point's session, also when launcher and entry point are gone."""
        return [Process(pid, _kind(pid, self.session), _command(pid)) for pid, fields in _stats() if fields[3] == str(self.session)]

    def pids(self, kind: str) -> list[int]:
        return [process.pid for process in self.processes() if process.kind == kind]

    def wait_until_gone(self, timeout: float = PATIENCE_S) -> None:
        """Wait until no process of the run is left; fail when one survives."""
        until = time.monotonic() + timeout
        while survivors := self.processes():
            if time.monotonic() > until:
                pytest.fail(f"survivors: {survivors}")
            time.sleep(0.05)

    def archives(self) -> list[Path]:
        """Return the folders of the archive, oldest first."""
        return sorted((self.folder / ".mlops" / "runs").glob("*/*"))

    def result(self) -> dict[str, Any]:
        """Return the newest archive's record."""
        return dict(json.loads((self.archives()[-1] / "result.json").read_text()))

    def end(self) -> None:
        """Kill what a failed test has left."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._session is not None:
            for process in self.processes():
                os.kill(process.pid, signal.SIGKILL)
        self._reader.join(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()


def _stats() -> Iterator[tuple[int, list[str]]]:
    """Yield (pid, [state, parent, group, session, …]) of each process, zombies left out."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] not in "ZX":
                yield int(folder.name), fields


def _kind(pid: int, session: int) -> str:
    if pid == session:
        return "entry point"
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return "other"
    if b"OMPI_COMM_WORLD_RANK=" in environment:
        return "rank"
    return "mpirun" if re.match(r"(\S*/)?(prterun|mpirun)\b", _command(pid)) else "other"


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of a user's shell with the launcher installed."""
    paths = [str(REPOSITORY / "launcher"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OMPI_", "PRTE_", "PMIX_", "MLOPS_"))},
        "PYTHONPATH": os.pathsep.join(paths),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }


@pytest.fixture
def run_local(tmp_path: Path, environment: dict[str, str]) -> Iterator[Callable[..., LocalRun]]:
    """Start `mlops-launch run OVERLAY … --local` in tmp_path, and leave nothing running after the test."""
    started: list[LocalRun] = []

    def run_local(overlay: Path, *arguments: str, **kind: bool) -> LocalRun:
        started.append(LocalRun([str(overlay), *arguments], tmp_path, environment, **kind))
        return started[-1]

    yield run_local
    for run in started:
        run.end()


@pytest.fixture
def call(tmp_path: Path, environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call `mlops-launch …` in tmp_path to its end."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "mlops_launch", *arguments]
        return subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    return call


@pytest.fixture
def package(tmp_path: Path) -> Callable[[str], Path]:
    """Copy the quickstart with its entry points, and have its scripts start a test program; return the copy's folder."""

    def package(program: str, script_text: str | None = None) -> Path:
        folder = tmp_path / "package"
        shutil.copytree(REPOSITORY / "quickstart", folder / "quickstart")
        shutil.copytree(REPOSITORY / "common" / "entrypoint", folder / "common" / "entrypoint")
        (folder / "models").mkdir()
        for script in (folder / "quickstart").glob("*.sh"):
            script.write_text(script_text or f"#!/bin/sh\nexec python3 {PROGRAMS / program}\n")
        return folder

    return package


@pytest.fixture
def multi_node(package: Callable[[str], Path]) -> Path:
    """The unchanged multi-node overlay, its ranks running programs/train.py."""
    return package("train.py") / "quickstart" / "k8s" / "mlops" / "multi-node"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The output folder of the multi-node overlay, when no mount is given."""
    return tmp_path / ".mlops" / "volumes" / "outputs" / "resnet50v1-5-multi-node"
