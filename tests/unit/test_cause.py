"""What the log of a failed run says of the cause: kept, repeated at the end of `run`, shown by `status`."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_launch.commands.runs.archive import ArchivedRun
from mlops_launch.commands.runs.console import Console
from mlops_launch.commands.runs.display import Display
from mlops_launch.commands.runs.listing import RunStatus
from mlops_launch.commands.runs.loop import Ended, summarize
from mlops_launch.commands.runs.recorder import Recorder
from mlops_launch.commands.runs.streams import Streams
from mlops_launch.core.log.cause import LONGEST, Cause, find_cause
from mlops_launch.core.record import RunRecord, exit_hint

RECORD = RunRecord(
    "job", "MPIJob", "/overlay", "2026-01-02T03:04:05.000+00:00", 1, None, "host", 7, 8, ended="2026-01-02T03:05:05.000+00:00"
)
START = b"start comm=mpi4py world_size=2 ranks=0:a,1:a\n"
REFUSED = b"error: a global batch of 50 images cannot be divided among 3 ranks\n\nhint: set MLOPS_GLOBAL_BATCH=51\n"
OTHER = b"error: lost the connection to rank 0\n\nhint: look at its log\n"
TRACEBACK = b'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    f()\nValueError: no such thing: 3\n'
BOX = b"-" * 76 + b"\nMPI_ABORT was invoked on rank 1 in communicator MPI_COMM_WORLD\nwith errorcode 78.\n" + b"-" * 76 + b"\n"
CAUSE = Cause("a global batch of 50 images cannot be divided among 3 ranks", "set MLOPS_GLOBAL_BATCH=51")


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (REFUSED + BOX, CAUSE),
        (START + b"step=1/9 loss=0.5\n" + REFUSED + OTHER + BOX, CAUSE),
        (REFUSED.replace(b"\n\n", b"\n" + BOX.splitlines()[0] + b"\n"), CAUSE),
        (START + TRACEBACK + BOX, Cause("ValueError: no such thing: 3")),
        (START + TRACEBACK + REFUSED, CAUSE),
        (START + OTHER + START + REFUSED, CAUSE),  # another trainer of the same script, or another container of the same pod
        (REFUSED + START + b"step=1/9 loss=0.5\n", CAUSE),
        (b"Error: cannot start `mpirun`: No such file or directory\n", Cause("cannot start `mpirun`: No such file or directory")),
        (b"error: half a line", Cause("half a line")),
        (b"error: " + b"x" * 70000 + b"\n", Cause("x" * LONGEST + "…")),
        (b"an error: of a sentence\n  error: inside\nTraceback (most recent call last):\n", None),
        (b"error: \n \n", None),
        (b"", None),
    ],
)  # fmt: skip
def test_the_first_error_of_the_newest_training_counts(log: bytes, cause: Cause | None) -> None:
    assert find_cause(log) == cause


PIECES = st.one_of(
    st.binary(max_size=20), st.sampled_from([START, BOX, b"\n", b"error: ", b"hint: ", b"Traceback (most recent call last):\n", b" at\n"])
)


@given(st.lists(PIECES, max_size=12).map(b"".join))
def test_any_log_has_a_cause_or_none(log: bytes) -> None:
    found = find_cause(log)
    assert found is None or (found.message and "\n" not in found.message and len(found.message) <= LONGEST + 1)


@given(st.lists(PIECES, max_size=6).map(b"".join))
def test_what_comes_behind_an_error_does_not_hide_it(behind: bytes) -> None:
    found = find_cause(REFUSED + BOX + behind.replace(START, b""))
    assert found == CAUSE


@pytest.mark.parametrize(("code", "kept"), [(78, True), (1, True), (0, False), (137, False), (143, False), (255, False)])
def test_the_cause_is_kept_with_the_exit_code_of_a_failure(tmp_path: Path, code: int, kept: bool) -> None:
    run = ArchivedRun(tmp_path)
    recorder = Recorder(run, RECORD, Display(Streams(io.BytesIO(), io.StringIO(), terminal=False)))
    for chunk in (START, REFUSED[:30], REFUSED[30:], BOX):
        recorder.take(chunk)
    recorder.end()
    assert recorder.cause(code) == ({"error": CAUSE.message, "error_hint": CAUSE.hint} if kept else {})


def said(record: RunRecord) -> str:
    lines: list[str] = []
    summarize(Ended(ArchivedRun(Path("archive")), record), Console(lines.append))
    return "\n".join(lines)


def test_run_repeats_the_cause_at_its_end_and_status_shows_it() -> None:
    record = RECORD.at(exit_code=78, error=CAUSE.message, error_hint=CAUSE.hint)
    assert said(record) == (
        f"Error: the training ended with exit code 78: configuration\nthe log says: {CAUSE.message}\n\nhint: {CAUSE.hint}\narchive: archive"
    )
    status = RunStatus(ArchivedRun(Path("job/time")), RunRecord.from_json(json.loads(json.dumps(record.to_json()))), "failed").to_text()
    assert [line for line in status.splitlines() if line.startswith(("error:", "hint:"))] == [
        f"error:     {CAUSE.message}", f"hint:      {CAUSE.hint}",
    ]  # fmt: skip


def test_a_hint_that_only_leads_to_the_log_is_left_out_where_the_log_is_quoted() -> None:
    assert "hint:" not in said(RECORD.at(exit_code=78, error="no"))
    assert said(RECORD.at(exit_code=78)).endswith(f"hint: {exit_hint(78)}\narchive: archive")
    assert f"hint: {exit_hint(74)}" in said(RECORD.at(exit_code=74, error="the disk is full"))


def test_an_error_steers_no_terminal() -> None:
    record = RECORD.at(exit_code=1, error="\x1b]0;title\x07 a\rb")
    assert "\x1b" not in said(record) + RunStatus(ArchivedRun(Path("job/time")), record, "failed").to_text()
