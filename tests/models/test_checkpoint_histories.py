"""Random histories of saves, kills in the middle of one, damage, strangers' files and resumes.

Whatever happens, a run resumes from the newest checkpoint that is whole, no save costs a whole one that is still needed,
and nothing is left behind.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.checkpoint import Checkpoints
from common.checkpoint_file import Damaged, decode, encode
from common.errors import TrainingError
from mlops_launch.contract import ExitCode

ROOT = Path(__file__).parents[2]
CONFIGURATION = {"seed": 0}
INTERVAL = 10
CHECKPOINT = "step-????????.safetensors"


def content(step: int) -> bytes:
    return b"".join(encode(step, CONFIGURATION, {"w": np.full(300, step)}))


class Killer:
    """A process that forks runs and has them killed: this one may have TensorFlow loaded, which makes a fork slow."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'launcher'}"}
        self.process = subprocess.Popen([sys.executable, __file__], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, output: Path, keep: int, at: int, saves: int) -> None:
        """Return when the run is dead: killed at the `at`-th line that its last save executes, or, at 0, while the file is written."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{keep} {at} {saves} {output}\n".encode())
        self.process.stdin.flush()
        assert self.process.stdout.readline() == b"ended\n"


def be_killer() -> None:
    """Do what a Killer asks for on stdin."""
    for line in sys.stdin:
        keep, at, saves, output = line.rstrip("\n").split(" ", 3)
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(TrainingError):  # none is whole: nothing to save
                _save_and_die(Checkpoints(Path(output), CONFIGURATION, int(keep), lambda line: None), int(saves), int(at))
            os._exit(0)
        os.waitpid(pid, 0)
        print("ended", flush=True)


def _save_and_die(run: Checkpoints, saves: int, at: int) -> None:
    found = run.newest()
    step = 0 if found is None else found.step
    for _ in range(saves):
        step += INTERVAL
        run.save(step, {"w": np.full(300, step)})
    _kill_at(at)
    run.save(step + INTERVAL, {"w": np.full(300, step + INTERVAL)})


@dataclass
class History:
    """One output folder through several runs, and what must be in it."""

    output: Path
    run: Checkpoints | None = None
    step: int = 0
    keep: int = 3
    resumed_from: int | None = None
    strangers: dict[str, bytes] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.output / "checkpoints"

    def whole(self) -> list[int]:
        """Return the steps whose files hold just what was saved, newest first."""
        found = [path for path in self.folder.glob(CHECKPOINT) if path.is_file()]
        return sorted((int(path.name[5:13]) for path in found if _is_whole(path)), reverse=True)

    def resume(self, keep: int) -> None:
        """Start a run; after a refusal, start anew as its hint says."""
        whole, named = self.whole(), sorted(self.folder.glob(CHECKPOINT))
        self.keep, self.run = keep, Checkpoints(self.output, CONFIGURATION, keep, self.said.append)
        try:
            found = self.run.newest()
        except TrainingError as error:
            assert error.code == ExitCode.CONFIGURATION
            assert not whole and named and sorted(self.folder.glob(CHECKPOINT)) == named
            shutil.rmtree(self.folder)
            self.strangers.clear()
            self.step, self.resumed_from = 0, None
            return
        assert (None if found is None else found.step) == (whole[0] if whole else None)
        assert found is not None or not named
        self.step = 0 if found is None else found.step
        self.resumed_from = None if found is None else found.step
        self.require_no_leftover()

    def save(self) -> None:
        assert self.run is not None
        before = self.whole()
        self.step += INTERVAL
        self.run.save(self.step, {"w": np.full(300, self.step)})
        needed = sorted({self.step, *before}, reverse=True)[: self.keep]
        spared = {self.resumed_from} & set(before)
        assert set(self.whole()) == {*needed, *spared}
        self.resumed_from = None
        self.require_no_leftover()

    def kill_in_save(self, at: int, saves: int, killer: Killer) -> None:
        """Have a run of its own resume, save some times, and be killed in its next save."""
        before = self.whole()
        killer(self.output, self.keep, at, saves)
        # Those that an undisturbed save would have kept are there, whether or not the new one is.
        after = self.whole()
        assert set(sorted({*before, *after}, reverse=True)[: self.keep]) <= set(after)
        self.run = None

    def damage(self, which: int, how: str, where: int) -> None:
        paths = sorted(self.folder.glob(CHECKPOINT), reverse=True)
        if not paths:
            return
        path = paths[which % len(paths)]
        if not path.is_file():
            return
        data = bytearray(path.read_bytes())
        if how == "flip" and data:
            data[where % len(data)] ^= 1 << where % 8
        elif how == "cut":
            data = data[: where % (len(data) or 1)]
        elif how == "zeros":
            data = bytearray(len(data))
        elif how == "other step":
            data = bytearray(content(INTERVAL * (where % 20)))
        path.unlink()
        if how == "folder":
            path.mkdir()
        elif how == "link":
            path.symlink_to("nothing")
        elif how != "gone":
            path.write_bytes(data)

    def strange(self, number: int) -> None:
        self.folder.mkdir(exist_ok=True)
        name = ("notes.txt", ".hidden", "step-7.safetensors", "step-00000010.safetensors.bak", ".step-00000010.partial")[number % 5]
        self.strangers[name] = f"mine {number}".encode()
        (self.folder / name).write_bytes(self.strangers[name])

    def require_no_leftover(self) -> None:
        if not self.folder.exists():
            return
        names = {path.name for path in self.folder.iterdir()}
        assert {name: (self.folder / name).read_bytes() for name in self.strangers} == self.strangers
        rest = names - self.strangers.keys()
        assert [name for name in rest if not re.fullmatch(r"step-\d{8}\.safetensors(\.damaged(-\d+)?)?", name)] == []


def _is_whole(path: Path) -> bool:
    try:
        step, configuration, tensors = decode(path.read_bytes(), path.name)
    except Damaged:
        return False
    return (
        path.name == f"step-{step:08d}.safetensors" and configuration == CONFIGURATION and bool(np.all(tensors["w"] == np.full(300, step)))
    )


def _kill_at(line: int) -> None:
    """Have the kernel kill this process at a line of the code that saves, counted as executed; 0: after the file's first bytes."""
    if line == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return
    lines = itertools.count(1)

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.endswith(("common/checkpoint.py", "common/files.py")):
            return None
        if event == "line" and next(lines) == line:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


RESUME = st.tuples(st.just("resume"), st.sampled_from([1, 3]))
SAVE = st.just(("save",))
KILL = st.tuples(st.just("kill_in_save"), st.integers(0, 90), st.integers(0, 2))
DAMAGE = st.tuples(
    st.just("damage"),
    st.integers(0, 3),
    st.sampled_from(["flip", "cut", "zeros", "other step", "folder", "link", "gone"]),
    st.integers(0, 3000),
)
STRANGE = st.tuples(st.just("strange"), st.integers(0, 4))


@pytest.fixture(scope="module")
def fast_folder() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of files are synced here."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    killer = Killer()
    with killer.process:
        yield killer
        killer.process.stdin.close()  # type: ignore[union-attr]


HISTORIES = itertools.count()


@settings(max_examples=500, deadline=None)
@given(actions=st.lists(st.one_of(SAVE, SAVE, RESUME, KILL, DAMAGE, STRANGE), min_size=4, max_size=20))
def test_no_history_loses_more_than_what_was_not_yet_saved(fast_folder: Path, killer: Killer, actions: list[tuple[Any, ...]]) -> None:
    history = History(fast_folder / str(next(HISTORIES)))
    history.output.mkdir()
    history.resume(3)
    for name, *arguments in actions:
        if history.run is None and name == "save":
            history.resume(history.keep)
        getattr(history, name)(*arguments, *([killer] if name == "kill_in_save" else []))
    history.resume(3)
    history.save()


if __name__ == "__main__":
    be_killer()
