"""Call the real `mlops-launch` against the cluster under test."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.cluster.kubectl import Kubectl
from tests.e2e.cluster.settings import REPOSITORY

PATIENCE_S = 120.0
SETPGID = re.compile(r"\[\S+:\d+\] plm:ssh: Warning: setpgid\(")


def of_ranks(lines: list[str]) -> list[str]:
    """Leaves out a harmless word of mpirun's that comes by chance: its ssh was sooner in a process group than mpirun itself."""
    return [line for line in lines if not SETPGID.search(line)]


@dataclass(frozen=True)
class Ended:
    """How a call ended."""

    code: int
    stdout: str
    stderr: str


class Started:
    """A call that goes on; its output is in files, so that no pipe fills up."""

    def __init__(self, argv: list[str], folder: Path, environment: dict[str, str]) -> None:
        stamp = time.monotonic_ns()
        self.out, self.err = folder / f"stdout-{stamp}", folder / f"stderr-{stamp}"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    def wait_for(self, pattern: str, seconds: float = PATIENCE_S) -> str:
        """Waits until a line of stdout or stderr matches, and returns it."""
        until = time.monotonic() + seconds
        while True:
            found = re.search(rf"^.*(?:{pattern}).*$", self.out.read_text() + "\n" + self.err.read_text(), re.MULTILINE)
            if found:
                return found[0]
            assert self.process.poll() is None and time.monotonic() < until, (
                f"no {pattern!r} in:\n{self.out.read_text()}{self.err.read_text()}"
            )
            time.sleep(0.1)

    def end(self, number: int | None = None, seconds: float = PATIENCE_S) -> Ended:
        """Sends a signal, if any, and waits for the end."""
        if number is not None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(seconds)
        finally:
            self.kill()
        return Ended(code, self.out.read_text(), self.err.read_text())

    def kill(self) -> None:
        """Ends it at once, if it has not ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


class Launcher:
    """`mlops-launch` in one folder, with one namespace in mind; as a context it ends what it has started."""

    def __init__(self, folder: Path, kubectl: Kubectl, namespace: str) -> None:
        self.folder, self.kubectl, self.namespace = folder, kubectl, namespace
        self.started: list[Started] = []

    def __enter__(self) -> "Launcher":
        return self

    def __exit__(self, *_: object) -> None:
        for started in self.started:
            started.kill()

    def start(self, verb: str, *words: str, program: tuple[str, ...] = ("-m", "mlops_launch")) -> Started:
        """Starts a verb; the namespace is given to it. `program` is Python's arguments before it."""
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.kubectl.kubeconfig),
            "PYTHONPATH": str(REPOSITORY / "launcher"),
            "PATH": f"{self.kubectl.program.parent}:{os.environ['PATH']}",
        }
        argv = [sys.executable, *program, verb, *words, "--namespace", self.namespace]
        self.started.append(Started(argv, self.folder, environment))
        return self.started[-1]

    def __call__(self, verb: str, *words: str) -> Ended:
        return self.start(verb, *words).end()

    def archives(self) -> list[Path]:
        """The folders of the archived tries, oldest first."""
        return sorted((self.folder / ".mlops" / "runs").glob("*/*"), key=lambda path: path.name)

    def record(self) -> dict[str, Any]:
        """The newest try's record."""
        return dict(json.loads((self.archives()[-1] / "result.json").read_text()))

    def listing(self) -> list[str]:
        """Everything in the namespace, by kind and name; events are no objects of anybody's."""
        kinds = self.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").stdout.split()
        wanted = ",".join(kind for kind in kinds if not kind.startswith("events"))
        return sorted(self.kubectl("-n", self.namespace, "get", wanted, "-o", "name").stdout.split())
