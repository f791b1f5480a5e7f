"""What a run waits for, as far as its log has come."""

import io
from pathlib import Path

import pytest

from mlops_launch.commands.runs.archive import ArchivedRun
from mlops_launch.commands.runs.display import Display
from mlops_launch.commands.runs.recorder import FIRST_STEP, STARTING, Recorder
from mlops_launch.commands.runs.streams import Streams
from mlops_launch.core.record import RunRecord

RECORD = RunRecord("job", "Pod", "/overlay", "2026-01-02T03:04:05.000+00:00", 1, None, "host", 7, 8)
IMPORTING = f"{STARTING} and importing TensorFlow"


@pytest.mark.parametrize(
    ("trains", "awaited"), [(True, [IMPORTING, IMPORTING, FIRST_STEP, FIRST_STEP, None]), (False, [STARTING, None, None, None, None])]
)
def test_what_is_waited_for_before_the_first_step(tmp_path: Path, trains: bool, awaited: list[str | None]) -> None:
    recorder = Recorder(ArchivedRun(tmp_path), RECORD, Display(Streams(io.BytesIO(), io.StringIO(), terminal=True)), trains)
    found = [recorder.awaited]
    for line in (b"a warning of mpirun\n", b"start comm=single world_size=1\n", b"plan steps=9\n", b"step=1/9 loss=0.5\n"):
        recorder.take(line)
        found.append(recorder.awaited)
    recorder.end()
    assert found == awaited
