"""The archived logs of a role's pods: any bytes, lines that end at line feeds alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_launch.commands.runs.pods import pod_logs

# Bars, other line ends that are none, invalid UTF-8; a last line without its end.
LOG = st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\x0b", b"\x85", b"\xe2\x80\xa8", b"\xff"]) | st.binary(max_size=4), max_size=12).map(
    b"".join
)
ANY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def archived(folder: Path, *logs: bytes) -> Any:
    """Return a run whose workers have these logs."""
    (folder / "pods").mkdir(exist_ok=True)
    for path in (folder / "pods").iterdir():
        path.unlink()
    for index, log in enumerate(logs):
        (folder / "pods" / f"demo-worker-{index}.log").write_bytes(log)
    return SimpleNamespace(folder=folder, read=lambda: SimpleNamespace(name="demo"))


def lines(log: bytes) -> list[bytes]:
    *whole, rest = log.split(b"\n")
    return [*whole, *([rest] if rest else [])]


@ANY
@given(log=LOG, count=st.integers(0, 4))
def test_the_log_of_one_pod_is_handed_on_byte_for_byte(tmp_path: Path, log: bytes, count: int) -> None:
    run = archived(tmp_path, log)
    assert b"".join(pod_logs(run, "worker", None, None)) == log
    last = lines(log)[-count:] if count else []
    assert lines(b"".join(pod_logs(run, "Worker", 0, count))) == last


@ANY
@given(first=LOG, second=LOG, tail=st.none() | st.integers(0, 4))
def test_each_line_of_several_has_its_pods_name_in_front(tmp_path: Path, first: bytes, second: bytes, tail: int | None) -> None:
    run = archived(tmp_path, first, second)
    wanted = [
        f"demo-worker-{index}: ".encode() + line
        for index, log in enumerate((first, second))
        for line in (lines(log) if tail is None else lines(log)[-tail:] if tail else [])
    ]
    shown = b"".join(pod_logs(run, "worker", None, tail))
    assert shown == b"".join(line + b"\n" for line in wanted)
