"""The cluster's long-running programs: started in the sandbox, recorded by number and start time, ended only by both."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .sandbox import Sandbox, spawn, start_time
from .settings import ClusterError, Settings


@dataclass(frozen=True)
class Process:
    """One started program: numbers as seen in the sandbox, `started` in clock ticks since boot."""

    name: str
    pid: int
    started: int
    argv: list[str]


def start(
    settings: Settings, sandbox: Sandbox, name: str, argv: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> Process:
    """Starts a program whose output goes to logs/NAME.log and records it; one that runs already stays."""
    running = load(settings, name)
    if running is not None and alive(sandbox, running):
        return running
    command = [str(word) for word in argv]
    if environment:
        command = ["env", *(f"{key}={value}" for key, value in environment.items()), *command]
    pid = spawn(sandbox.nsenter(), command, settings.logs / f"{name}.log")
    process = Process(name, pid, start_time(sandbox.proc, pid) or 0, command)
    settings.records.mkdir(parents=True, exist_ok=True)
    (settings.records / f"{name}.json").write_text(json.dumps(asdict(process)))
    return process


def load(settings: Settings, name: str) -> Process | None:
    """The record of a program, None when it was never started."""
    try:
        return Process(**json.loads((settings.records / f"{name}.json").read_text()))
    except FileNotFoundError:
        return None


def recorded(settings: Settings) -> list[Process]:
    """Every record, by name."""
    return [Process(**json.loads(path.read_text())) for path in sorted(settings.records.glob("*.json"))]


def alive(sandbox: Sandbox, process: Process) -> bool:
    """Whether the recorded program runs."""
    return process.started != 0 and start_time(sandbox.proc, process.pid) == process.started


def stop(settings: Settings, sandbox: Sandbox, name: str, signal: str = "TERM", timeout: float = 20) -> Process:
    """Ends a program by its record and waits until it is gone; its record stays, so that it can be started again.

    Raises:
        ClusterError: never started, or still there after `timeout` seconds.
    """
    process = load(settings, name)
    if process is None:
        raise ClusterError(f"no such component, never started: {name}")
    if alive(sandbox, process):
        sandbox.enter(["kill", f"-{signal}", str(process.pid)], check=False)
    deadline = time.monotonic() + timeout
    while alive(sandbox, process):
        if time.monotonic() > deadline:
            raise ClusterError(f"`{name}` is still there {timeout:.0f} s after SIG{signal}: process {process.pid} of the sandbox")
        time.sleep(0.05)
    return process


def restart(settings: Settings, sandbox: Sandbox, name: str, signal: str = "TERM") -> Process:
    """Ends a program and starts it again with the same words."""
    return start(settings, sandbox, name, stop(settings, sandbox, name, signal).argv)
