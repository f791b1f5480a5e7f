"""`ls`, `status` and `logs` over an archive: which run is meant, where it is kept, what fits a terminal; durations of every verb."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_launch.clients.host import Host
from mlops_launch.commands.runs import listing
from mlops_launch.commands.runs.archive import Archive, ArchivedRun
from mlops_launch.commands.runs.listing import RunStatus, follow_log, table
from mlops_launch.commands.runs.root import find_root
from mlops_launch.core.record import RunRecord
from tests.cli.conftest import Call, Ended


def add(archive: Archive, name: str, day: int, exit_code: int | None, log: str = "") -> ArchivedRun:
    """A run of this process; with an exit code, one that has ended."""
    started = datetime(2026, 1, day, tzinfo=timezone.utc)
    run = archive.create(name, started)
    pid, pid_started = Host().own_process()
    run.write(RunRecord(name, "Pod", "/overlay", started.isoformat(), 1, "/out", Host().name(), pid, pid_started, exit_code=exit_code))
    run.log.write_text(log)
    return run


def test_runs_are_found_from_any_folder_below(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(Archive(tmp_path / ".mlops"), "job", 1, 0, "a line\n")
    above = call("ls").stdout
    monkeypatch.chdir("quickstart/k8s")
    assert call("ls") == Ended(0, above, "")
    assert call("logs") == Ended(0, "a line\n", "")
    (tmp_path / "quickstart" / ".mlops").mkdir()
    assert call("ls") == Ended(0, "", f"no runs in {tmp_path / 'quickstart/.mlops/runs'}\n")


def test_a_new_folder_is_in_the_working_directory(call: Call) -> None:
    assert (find_root(), call("ls").stderr) == (Path(".mlops"), "no runs in .mlops/runs\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_above_that_is_somebody_elses_is_not_used(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".mlops").mkdir()
    os.chown(tmp_path / ".mlops", 4711, 4711)
    monkeypatch.chdir("quickstart")
    assert find_root() == Path(".mlops")


@pytest.mark.parametrize("verb", ["status", "logs"])
def test_a_name_that_is_not_known_where_no_cluster_is(call: Call, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    monkeypatch.setenv("KUBECONFIG", "none.yaml")
    ended = call(verb, "nosuch")
    assert (ended.exit_code, ended.stdout) == (1, "")
    hint = "in .mlops/runs: {}; to ask a cluster, set KUBECONFIG or write ~/.kube/config"
    said = f"Error: no run of that name here, and no cluster to ask: nosuch\n\nhint: {hint}\n"
    assert ended.stderr == said.format("no runs yet")
    add(Archive(Path(".mlops")), "job", 1, 0, "done\n")
    assert call(verb, "nosuch").stderr == said.format("job")
    assert call(verb, "nosuch", "-n", "team-a").stderr.startswith("Error: no cluster is known: "), "the user names a cluster"


@pytest.mark.parametrize("words", [(), ("job",)])
def test_a_run_that_is_running_comes_before_a_newer_one_that_has_ended(call: Call, words: tuple[str, ...]) -> None:
    archive = Archive(Path(".mlops"))
    add(archive, "job", 1, 0, "old\n")
    add(archive, "job", 2, None, "running\n")
    newest = add(archive, "job", 3, 66, "failed\n")
    assert call("logs", *words).stdout == "running\n"
    assert "state:     running" in call("status", *words).stdout
    assert call("logs", *words, "--run", newest.time).stdout == "failed\n"


def test_the_newest_when_none_is_running(call: Call) -> None:
    archive = Archive(Path(".mlops"))
    add(archive, "job", 1, 0, "old\n")
    add(archive, "other", 2, 66, "failed\n")
    assert call("logs").stdout == "failed\n"
    assert call("logs", "job").stdout == "old\n"


@pytest.mark.parametrize("words", [("--all",), ("--since", "5m"), ("-f", "--all", "--tail", "3")])
def test_what_a_local_log_cannot_answer_is_refused(call: Call, words: tuple[str, ...]) -> None:
    add(Archive(Path(".mlops")), "job", 1, 0, "a line\n")
    option = "--all" if "--all" in words else "--since"
    assert call("logs", *words) == Ended(
        2,
        "",
        f"Error: only for a run on a cluster: {option}\n\nhint: job 20260101T000000Z ran on this machine: `--tail N` prints its end\n",
    )


@pytest.fixture(params=[1, 2, 7, 1 << 20])
def chunks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Logs that are read in pieces of that size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "CHUNK", request.param)
        yield


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=st.lists(st.sampled_from([b"\n", b"a", b"\r", b"line\n", b"\xff"]), max_size=20).map(b"".join), count=st.integers(0, 12))
@pytest.mark.parametrize("follow", [False, True])
def test_the_tail_of_any_log_is_its_last_lines(tmp_path: Path, chunks: None, log: bytes, count: int, follow: bool) -> None:
    run = ArchivedRun(tmp_path)
    run.log.write_bytes(log)
    run.write(RunRecord("job", "Pod", "/o", "2026-01-01T00:00:00+00:00", 1, None, "another", 1, 1, exit_code=0, ended="x"))
    lines = [line for line in log.split(b"\n")[:-1]]
    whole = [line + b"\n" for line in lines] + ([log[log.rfind(b"\n") + 1 :]] if not log.endswith(b"\n") and log else [])
    expected = b"".join(whole[len(whole) - count :] if count < len(whole) else whole) if count else b""
    host = Host()
    host.name = lambda: "this"  # type: ignore[method-assign]
    if follow:
        run.write(run.read().at(host="this"))
    assert b"".join(follow_log(run, host, follow, count)) == expected


@given(
    name=st.from_regex(r"[a-z0-9-]{1,14}", fullmatch=True),
    output=st.text("abc/", max_size=200),
    step=st.integers(0, 10**7),
    rate=st.floats(0, 10**5).map(lambda rate: round(rate, 1)),
    code=st.sampled_from([None, 0, 1, 66, 143]),
)
def test_a_table_fits_80_columns_or_is_whole(name: str, output: str, step: int, rate: float, code: int | None) -> None:
    fields = {"step": step, "steps": step + 1, "images_per_s": rate}
    record = RunRecord(name, "Pod", "/o", "2026-01-01T00:00:00+00:00", 1, output, "host", 1, 1, exit_code=code, step=fields)
    run = RunStatus(ArchivedRun(Path(f".mlops/runs/{name}/20260101T000000Z")), record, "interrupted")
    narrow, whole = table([run], 80), table([run])
    assert max(map(len, narrow.splitlines())) <= 80
    assert whole.splitlines()[0].split("  ")[0].strip() == "NAME" and "OUTPUT" in whole
    assert {"NAME", "RUN", "STATE", "TOP-1"} <= set(narrow.splitlines()[0].split())


DURATIONS = {
    ("run", "quickstart", "--local", "--timeout"), ("run", "quickstart", "--start-timeout"), ("delete", "job", "--wait-seconds"),
    ("gc", "--older-than"),
}  # fmt: skip


@pytest.mark.parametrize("words", sorted(DURATIONS))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(word=st.text(max_size=8).filter(lambda word: not any(letter.isdigit() for letter in word)))
def test_what_is_not_a_duration_is_a_wrong_call_in_every_verb(call: Call, words: tuple[str, ...], word: str) -> None:
    ended = call(*words[:-1], f"{words[-1]}={word}")
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "not a duration" in ended.stderr and "hint: for instance 90, 90s, 15m, 2h or 1d" in ended.stderr


@pytest.mark.parametrize("words", sorted(DURATIONS))
@pytest.mark.parametrize("word", ["90", "90s", "15m", "2h", "1.5h", "1d", "9" * 18 + "d"])
def test_a_duration_is_read_alike_in_every_verb(call: Call, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], word: str) -> None:
    monkeypatch.setenv("KUBECONFIG", "none.yaml")
    ended = call(*words[:-1], f"{words[-1]}={word}")
    assert "duration" not in ended.stderr and ended.exit_code in (1, 2, 125)
