"""A run's record, as `result.json` keeps it, and what its exit code means."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from mlops_launch.contract import NO_DATA_HINT, ExitCode, LauncherExitCode, Value
from mlops_launch.errors import LauncherError

SCHEMA: Final = 1

# Why the launcher stopped a run.
BY_SIGNAL: Final = "signal"
BY_TIMEOUT: Final = "timeout"
# Why it stopped following one that keeps running in a cluster.
BY_DETACHING: Final = "detached"

LOCAL: Final = "local"
CLUSTER: Final = "cluster"

OF_A_CLUSTER: Final = frozenset({"namespace", "context", "uid", "reason", "gaps"})  # fields of a record

OUT_OF_MEMORY: Final = "out of memory"

HINTS: Final[Mapping[int, str]] = {
    ExitCode.FAILURE: "an unexpected error: the end of the log has the traceback",
    ExitCode.USAGE: "a flag or an MLOPS_* variable is wrong: the log names it",
    ExitCode.BAD_DATA: "the data is damaged or its labels are out of range: the log names the file",
    ExitCode.NO_DATA: NO_DATA_HINT,
    ExitCode.DIVERGED: "the loss is not finite: a smaller learning rate or a longer warm-up",
    ExitCode.CANNOT_CREATE: "the output folder is not writable, or another run uses it",
    ExitCode.IO_ERROR: "the disk is full or failing: make room; the same command then resumes from the newest checkpoint",
    ExitCode.CONFIGURATION: "a setting, the number of ranks or the checkpoint does not fit: the log says which",
    LauncherExitCode.NO_RESULT: "the command ended with 0 and without a result line: does MODEL_SCRIPT run the trainer to its end?",
    126: "the command cannot be executed: is MODEL_SCRIPT a script?",
    127: "a program of the command is missing in this Python environment: `pip install 'mlops-launch[train]'`",
    128 + signal.SIGBUS: "memory that is a file could not be had: is there room in /dev/shm, and in the folder of temporary files?",
    ExitCode.KILLED: "a process was killed: the same command resumes from the newest checkpoint",
    ExitCode.INTERRUPTED: "stopped when asked: the same command resumes from the newest checkpoint",
    ExitCode.WORKER_LOST: "a worker was lost: the same command resumes from the newest checkpoint",
}
STOPPED_HINT: Final = "stopped when asked, before anything was saved: the same command resumes from an earlier checkpoint, if there is one"
# Whose hints only lead to the log's own words.
SAID_BY_LOG: Final = frozenset({ExitCode.USAGE, ExitCode.BAD_DATA, ExitCode.CONFIGURATION})
MEMORY_HINT: Final = "use a smaller batch, fewer ranks, or more memory"


@dataclass(frozen=True)
class RunRecord:
    """One try of one run.

    Args:
        name: the workload's name.
        kind: of the workload.
        overlay: the overlay's folder, absolute.
        started: UTC, ISO 8601.
        try_number: 1 for the first.
        output: the output folder, or None.
        host: the machine that runs it.
        pid: the launcher's process, with `pid_started` (the kernel's clock ticks) so that a reused number is noticed.
        ended: UTC; None until it has ended.
        exit_code: the training's own; None until it has ended.
        stopped_by: BY_SIGNAL or BY_TIMEOUT when the launcher stopped it.
        out_of_memory: the kernel has killed a process for memory while it ran.
        step: the fields of the newest step line.
        evaluation: the fields of the newest evaluation line.
        result: the fields of the result line.
        saved: it was asked to stop, and has said that it saved.
        error: the first error that the log of a failed run names.
        error_hint: what the log says to do about it.
        engine: LOCAL or CLUSTER; what follows is known for a cluster only.
        namespace: where its objects are.
        context: the kubeconfig's, or None inside a pod.
        uid: of the workload in the cluster.
        reason: what is known of its end beside the exit code.
        gaps: (after, before) timestamps between which lines of the log may be missing.
    """

    name: str
    kind: str
    overlay: str
    started: str
    try_number: int
    output: str | None
    host: str
    pid: int
    pid_started: int
    ended: str | None = None
    exit_code: int | None = None
    stopped_by: str | None = None
    out_of_memory: bool = False
    step: Mapping[str, Value] = field(default_factory=dict)
    evaluation: Mapping[str, Value] = field(default_factory=dict)
    result: Mapping[str, Value] = field(default_factory=dict)
    saved: bool = False
    error: str | None = None
    error_hint: str | None = None
    engine: str = LOCAL
    namespace: str | None = None
    context: str | None = None
    uid: str | None = None
    reason: str | None = None
    gaps: Sequence[tuple[str | None, str | None]] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the content of `result.json`."""
        fields = asdict(self)
        fields["try"] = fields.pop("try_number")
        if self.engine == LOCAL:
            fields = {key: value for key, value in fields.items() if key not in OF_A_CLUSTER}
        name = None if self.exit_code is None else exit_name(self.exit_code, self.out_of_memory)
        return {"schema": SCHEMA, **fields, "exit_name": name}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> RunRecord:
        """Return the record of a `result.json`.

        Raises:
            LauncherError: another version wrote it.
            ValueError: it is damaged.
        """
        if not isinstance(fields, Mapping):
            raise ValueError(f"not a mapping: {fields!r}")
        if fields.get("schema") != SCHEMA:
            found = fields.get("schema")
            raise LauncherError(f"a run's record has an unknown schema: {found}", "use the version of mlops-launch that wrote it")
        known = {key: value for key, value in fields.items() if key in cls.__dataclass_fields__}
        for name, kinds in _SHAPE.items():
            if name in known and not isinstance(known[name], kinds):
                raise ValueError(f"{name} cannot be: {known[name]!r}")
        return cls(**known, try_number=int(fields["try"]))

    def at(self, **changes: Any) -> RunRecord:
        """Return the record with some fields changed."""
        return replace(self, **changes)


_TEXT: Final = (str, type(None))
# What the fields of a record may be; whatever wrote it may have been killed, or edited it.
_SHAPE: Final[Mapping[str, tuple[type, ...]]] = {
    **dict.fromkeys(("name", "kind", "overlay", "started", "host", "engine"), (str,)),
    **dict.fromkeys(("output", "ended", "stopped_by", "error", "error_hint", "namespace", "context", "uid", "reason"), _TEXT),
    **dict.fromkeys(("pid", "pid_started"), (int,)),
    **dict.fromkeys(("step", "evaluation", "result"), (Mapping,)),
    "exit_code": (int, type(None)), "out_of_memory": (bool,), "saved": (bool,), "gaps": (list, tuple),
}  # fmt: skip


def state(record: RunRecord, alive: bool) -> str:
    """Return the state of a run, a word.

    `running`, `succeeded`, `failed`; `interrupted`: stopped on request, and saved; `stopped`: it has not said that it
    saved, be it that there was nothing to save; `lost`: its process is gone and left no result; `detached`: it went
    on in the cluster when its follower left.
    """
    if record.stopped_by == BY_DETACHING:
        return "detached"
    if record.exit_code is None:
        return "running" if alive else "lost"
    if record.exit_code == ExitCode.SUCCESS:
        return "succeeded"
    if record.stopped_by or record.exit_code == ExitCode.INTERRUPTED:
        return "interrupted" if record.saved else "stopped"
    return "failed"


def exit_name(code: int, out_of_memory: bool = False) -> str:
    """Return a word or two for an exit code.

    >>> exit_name(66), exit_name(143), exit_name(139), exit_name(9)
    ('no data', 'interrupted', 'SIGSEGV', 'unknown')
    """
    if out_of_memory and code >= 128:
        return OUT_OF_MEMORY
    try:
        return ExitCode(code).name.lower().replace("_", " ")
    except ValueError:
        pass
    try:
        return signal.Signals(code - 128).name
    except ValueError:
        return {LauncherExitCode.NO_RESULT: "no result", 126: "not executable", 127: "program not found"}.get(code, "unknown")


def exit_hint(code: int, out_of_memory: bool = False, saved: bool = True) -> str | None:
    """Return what to do after an exit code, or None when there is nothing to say."""
    if code == ExitCode.INTERRUPTED and not saved:
        return STOPPED_HINT
    if out_of_memory and code >= 128:
        return MEMORY_HINT
    return HINTS.get(code)


def record_hint(record: RunRecord) -> str | None:
    """Return what to do about a run that has ended: the log's own words where it has some, else those of the exit code."""
    if record.exit_code is None or record.error_hint is not None:
        return record.error_hint
    if record.error is not None and record.exit_code in SAID_BY_LOG:
        return None
    if record.exit_code == ExitCode.KILLED and record.stopped_by and not record.saved and not record.out_of_memory:
        return STOPPED_HINT  # by a second Ctrl-C
    return exit_hint(record.exit_code, record.out_of_memory, record.saved)
