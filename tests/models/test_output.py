"""The output folder's small files: whatever a killed run, a power cut or a stranger has left in them, a run starts and says so."""

from __future__ import annotations

import errno
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import TrainingError
from common.files import io_error, replace_file
from common.output import OutputFolder
from mlops_launch.contract import ExitCode
from tests.models.conftest import ROOT

LINES = [json.dumps({"kind": "train", "step": step, "loss": 0.5}) for step in (1, 2, 3)]
# One folder for all examples of a property: each example writes its file anew.
ANY = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    held = OutputFolder(tmp_path)
    yield held
    held.close()


def kept(folder: OutputFolder, data: bytes, step: int = 100) -> list[Any]:
    """Return the steps that stay of a metrics.jsonl with this content; its file then holds just these, a JSON line each."""
    path = folder.path / "metrics.jsonl"
    path.write_bytes(data)
    records = folder.rewind_metrics(step)
    content = path.read_bytes()
    assert content == b"" or content.endswith(b"\n")
    assert [json.loads(line) for line in content.splitlines()] == records
    return [record["step"] for record in records]


class TestMetrics:
    def test_later_steps_are_dropped_silently(self, folder: OutputFolder, capsys: pytest.CaptureFixture[str]) -> None:
        assert kept(folder, "".join(line + "\n" for line in LINES).encode(), step=2) == [1, 2]
        assert capsys.readouterr().err == ""

    def test_cut_at_any_byte_the_whole_lines_stay(self, folder: OutputFolder, capsys: pytest.CaptureFixture[str]) -> None:
        whole = "".join(line + "\n" for line in LINES).encode()
        ends = [sum(len(line) + 1 for line in LINES[:count]) for count in (1, 2, 3)]
        for length in range(len(whole) + 1):
            # A last line that lacks only its newline is whole.
            assert kept(folder, whole[:length]) == [step for step, end in enumerate(ends, 1) if end - 1 <= length]
            torn = not any(length in (end - 1, end) for end in [0, *ends])
            assert (capsys.readouterr().err != "") == torn
            folder.write_metrics({"kind": "train", "step": 4})
            assert json.loads((folder.path / "metrics.jsonl").read_bytes().splitlines()[-1])["step"] == 4

    @pytest.mark.parametrize(
        "line",
        [b"\xff\xfe", b"\0" * 500, b"7", b'"a"', b"[]", b"{}", b'{"kind": "train"}', b'{"step": 2}', b'{"kind": 1, "step": 2}',
         b'{"kind": "train", "step": "2"}', b'{"kind": "train", "step": true}', b"[" * 100_000, b'{"kind": "train", "step": 1e400}',
         b'{"kind": "train", "step": ' + b"9" * 5000 + b"}", b'{"kind": "train", "step": -1}',
         b'{"kind": "train", "step": 9223372036854775808}', b'{"kind": "train", "step": -1e3}'],
    )  # fmt: skip
    def test_an_illegible_line_is_dropped_aloud(self, folder: OutputFolder, line: bytes, capsys: pytest.CaptureFixture[str]) -> None:
        assert kept(folder, LINES[0].encode() + b"\n" + line + b"\n" + LINES[2].encode() + b"\n") == [1, 3]
        assert capsys.readouterr().err == "warning: lines of metrics.jsonl that a killed run has left illegible are dropped: 1\n"

    @ANY
    @given(data=st.binary())
    def test_any_bytes_behind_whole_lines_lose_none_of_them(self, folder: OutputFolder, data: bytes) -> None:
        assert kept(folder, LINES[0].encode() + b"\n" + data)[:1] == [1]

    def test_numbers_that_are_not_finite_are_null(self, folder: OutputFolder) -> None:
        folder.write_metrics({"kind": "train", "step": 1, "loss": float("nan"), "lr": float("inf")})
        assert (folder.path / "metrics.jsonl").read_text() == '{"kind": "train", "step": 1, "loss": null, "lr": null}\n'


class TestResult:
    def test_what_was_written_is_read(self, folder: OutputFolder) -> None:
        folder.write_json("result.json", {"step": 58, "loss": float("nan")})
        assert folder.read_json("result.json") == {"step": 58, "loss": None}

    def test_none_is_none(self, folder: OutputFolder, capsys: pytest.CaptureFixture[str]) -> None:
        assert folder.read_json("result.json") is None
        assert capsys.readouterr().err == ""

    @ANY
    @given(data=st.one_of(st.binary(), st.from_regex(rb"\A[\[{\"0-9a-z:, ]{0,40}\Z")))
    def test_damaged_it_does_not_count_and_that_is_said(
        self, folder: OutputFolder, data: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder.path / "result.json").write_bytes(data)
        assert folder.read_json("result.json") is None
        assert capsys.readouterr().err == "warning: result.json is damaged and does not count\n"

    def test_cut_at_any_byte_it_does_not_count(self, folder: OutputFolder) -> None:
        whole = b'{"step": 58, "top1": 0.5}'
        for length in range(len(whole)):
            (folder.path / "result.json").write_bytes(whole[:length])
            assert folder.read_json("result.json") is None


class TestLock:
    def test_a_second_holder_is_refused_by_the_first_one_s_name(self, folder: OutputFolder) -> None:
        with pytest.raises(TrainingError) as caught:
            OutputFolder(folder.path)
        holder = f"process {os.getpid()} on {os.uname().nodename}"
        assert (caught.value.message, caught.value.code) == (
            f"the output folder is in use by {holder}: {folder.path}",
            ExitCode.CANNOT_CREATE,
        )

    def test_let_go_it_is_free(self, folder: OutputFolder) -> None:
        folder.close()
        OutputFolder(folder.path).close()

    @pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
    def test_a_file_system_without_locks_is_refused_with_the_reason(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        # No file system of a test's machine is without locks.
        def flock(file: object, operation: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("fcntl.flock", flock)
        with pytest.raises(TrainingError) as caught:
            OutputFolder(tmp_path)
        assert (caught.value.message, caught.value.code) == (
            f"the file system of the output folder has no locks, two runs could overwrite each other: {tmp_path}",
            ExitCode.CANNOT_CREATE,
        )

    def test_a_link_in_its_place_leads_to_no_other_file(self, tmp_path: Path) -> None:
        (tmp_path / "precious").write_text("precious")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / ".lock").symlink_to(tmp_path / "precious")
        with pytest.raises(TrainingError) as caught:
            OutputFolder(tmp_path / "run")
        assert caught.value.code == ExitCode.CANNOT_CREATE
        assert (tmp_path / "precious").read_text() == "precious"

    def test_any_bytes_in_it_are_survived(self, tmp_path: Path) -> None:
        (tmp_path / ".lock").write_bytes(b"\xff\0" * 1000)
        OutputFolder(tmp_path).close()
        assert (tmp_path / ".lock").read_text() == f"process {os.getpid()} on {os.uname().nodename}\n"

    def test_with_it_what_killed_runs_have_left_goes_and_nothing_else(self, tmp_path: Path) -> None:
        for name in (".metrics.jsonl.partial", ".result.json.partial", "metrics.partial", ".mine.partial", "notes.txt"):
            (tmp_path / name).write_text("half")
        OutputFolder(tmp_path).close()
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", ".mine.partial", "notes.txt"]


class TestReplaceFile:
    def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("old")

        def fail(file: Any) -> None:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "full")

        with pytest.raises(OSError, match="full"):
            replace_file(tmp_path / "file", fail)
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "old"}

    def test_a_link_under_the_temporary_name_leads_to_no_other_file(self, tmp_path: Path) -> None:
        (tmp_path / "precious").write_text("precious")
        (tmp_path / ".file.partial").symlink_to(tmp_path / "precious")
        replace_file(tmp_path / "file", lambda file: file.write(b"new"))
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "new", "precious": "precious"}


RESUMES = "the same command then resumes where it stopped"


@pytest.mark.parametrize(
    ("number", "code", "hint"),
    [
        (errno.ENOSPC, 74, f"make room or raise the quota; {RESUMES}"),
        (errno.EDQUOT, 74, f"make room or raise the quota; {RESUMES}"),
        (errno.EFBIG, 74, f"raise the limit on the size of a file (`ulimit -f`); {RESUMES}"),
        (errno.EIO, 74, f"check the disk or the mount; {RESUMES}"),
        (errno.ESTALE, 74, f"check the disk or the mount; {RESUMES}"),
        (errno.ENOTCONN, 74, f"check the disk or the mount; {RESUMES}"),
        (errno.EROFS, 73, "mount the volume for writing, or choose another folder"),
        (errno.ENOTDIR, 73, "choose another folder"),
        (errno.ENAMETOOLONG, 73, "choose another folder"),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) and value not in (73, 74) else "",
)
def test_what_the_file_system_refuses_has_its_words_and_its_exit_code(number: int, code: int, hint: str) -> None:
    error = io_error(OSError(number, os.strerror(number)), "write the file")
    assert (error.message, error.hint, error.code) == (f"cannot write the file: {os.strerror(number)}", hint, code)


def test_a_permission_that_is_missing_names_the_user() -> None:
    error = io_error(PermissionError(errno.EACCES, "Permission denied"), "write the file")
    assert error.code == ExitCode.CANNOT_CREATE
    assert error.hint is not None
    assert error.hint.startswith(f"this process is uid {os.geteuid()} in the groups ")


LAST_WORDS = """
import sys, time
from common.output import hand_over, talk
talk("error: last words")
began = time.monotonic()
hand_over()
print(time.monotonic() - began)
"""


@pytest.mark.parametrize(("read_after", "least", "most"), [(0.0, 0.0, 1.0), (1.0, 0.5, 1.9), (2.9, 1.9, 2.8)])
def test_a_rank_is_not_ended_before_its_last_words_are_read_or_two_seconds_have_passed(
    read_after: float, least: float, most: float, tmp_path: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'launcher'}"}
    with (tmp_path / "waited").open("w+b") as waited:
        process = subprocess.Popen([sys.executable, "-c", LAST_WORDS], env=environment, stdout=waited, stderr=subprocess.PIPE)
        assert process.stderr is not None
        if read_after:
            select.select([process.stderr], [], [], 30)  # written, and not read
            time.sleep(read_after)
        assert process.stderr.readline() == b"error: last words\n"
        process.communicate(timeout=30)
        waited.seek(0)
        assert least <= float(waited.read()) <= most
