"""The archive's files, whatever has become of them: what can be used, or one line that names the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_launch.clients.host import Host
from mlops_launch.commands.runs.archive import Archive, ArchivedRun, Position
from mlops_launch.commands.runs.listing import list_runs, table
from mlops_launch.core.log.pieces import Mark
from mlops_launch.core.record import RunRecord
from mlops_launch.errors import LauncherError

RECORD = RunRecord("job", "Pod", "/overlay", "2026-01-02T03:04:05.000+00:00", 1, "/out", "host", 7, 8, step={"step": 1, "steps": 2})
POSITION = Position(("uid-1",), "uid-2", 3, Mark((b"2026-01-02T03:04:05.000000000Z \xff\r\x00\n",)))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[ArchivedRun]:
    """One run in an archive, its log three bytes long."""
    found = Archive(tmp_path / ".mlops").create("job", Host().now())
    with found.open_log() as log:
        log.write(b"abc")
    yield found


def listed(run: ArchivedRun) -> list[str]:
    """Lists and shows the archive; returns the warnings."""
    warnings: list[str] = []
    runs = list_runs(Archive(run.folder.parents[2]), Host(), warnings.append)
    assert len(runs) + len(warnings) == 1
    table(runs)
    assert [status.to_text() for status in runs] != [""]
    return warnings


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from([*RECORD.to_json()]), VALUES)
def test_any_value_in_a_record_is_shown_or_named(run: ArchivedRun, key: str, value: Any) -> None:
    (run.folder / "result.json").write_text(json.dumps({**RECORD.to_json(), key: value}))
    for warning in listed(run):
        assert str(run.folder / "result.json") in warning or "unknown schema" in warning


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '"x"', "{}"])
def test_a_file_that_is_no_record_is_named_and_stops_no_new_run(run: ArchivedRun, text: str) -> None:
    (run.folder / "result.json").write_text(text)
    run.scratch.mkdir()
    assert len(listed(run)) == 1
    Archive(run.folder.parents[2]).sweep(Host())
    with pytest.raises(LauncherError):
        run.read()


def test_a_position_survives_its_file(run: ArchivedRun) -> None:
    run.write_position(POSITION)
    assert run.read_position() == POSITION


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(["read", "pod", "offset", "lines"]), VALUES)
def test_a_damaged_position_is_none_or_lies_inside_the_log(run: ArchivedRun, key: str, value: Any) -> None:
    run.write_position(POSITION)
    path = run.folder / "position.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    found = run.read_position()
    assert found is None or (0 <= found.offset <= 3 and found.mark.lines), asdict(found)
