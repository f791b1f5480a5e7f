"""The parts that models share: schedule, placement, threads, buckets."""

import subprocess
import sys
import threading
from pathlib import Path
from queue import Queue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.comm import buckets, open_comm
from common.cpu import quota_cores, require_bfloat16, threads_per_rank
from common.errors import TrainingError
from common.meeting import waiting_is_told
from common.placement import require_placement
from common.schedule import Schedule, scaled
from mlops_launch.contract import ExitCode

ROOT = Path(__file__).parents[2]
ASKED = {"MLOPS_WORKERS": "2", "MLOPS_SLOTS_PER_WORKER": "2"}


class TestSchedule:
    def test_warm_up_rises_linearly_to_the_peak_and_the_cosine_falls_towards_zero(self) -> None:
        schedule = Schedule("cosine", peak=1.0, warmup_steps=4, total_steps=12, steps_per_epoch=4)
        assert [round(schedule(step), 3) for step in range(12)] == [
            0.25,
            0.5,
            0.75,
            1.0,
            1.0,
            0.962,
            0.854,
            0.691,
            0.5,
            0.309,
            0.146,
            0.038,
        ]

    def test_steps_are_a_tenth_after_epochs_30_60_and_80(self) -> None:
        schedule = Schedule("step", peak=1.0, warmup_steps=0, total_steps=900, steps_per_epoch=10)
        assert [schedule(10 * epoch) for epoch in (0, 29, 30, 59, 60, 79, 80, 89)] == pytest.approx(
            [1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
        )

    @given(st.integers(0, 50), st.integers(1, 500))
    def test_the_rate_never_exceeds_the_peak_and_is_never_negative(self, warmup: int, length: int) -> None:
        schedule = Schedule("cosine", 0.4, warmup, warmup + length, 10)
        assert all(0 <= schedule(step) <= 0.4 for step in range(warmup + length))

    def test_the_rate_scales_with_the_global_batch(self) -> None:
        assert scaled(0.256, 2048) == pytest.approx(2.048)


class TestPlacement:
    def test_two_ranks_on_each_of_two_hosts_are_what_was_asked_for(self) -> None:
        require_placement(["a", "a", "b", "b"], ASKED)

    def test_without_a_wish_any_placement_is_right(self) -> None:
        require_placement(["a"], {})

    @pytest.mark.parametrize(
        ("hosts", "message"),
        [
            (["a", "a", "b"], "asked for 2 workers x 2 slots = 4 ranks, started: 3"),
            (["a"] * 4, "asked for 2 ranks on each of 2 hosts, found: 4 on a"),
            (["a", "a", "a", "b"], "asked for 2 ranks on each of 2 hosts, found: 3 on a, 1 on b"),
        ],
    )
    def test_everything_else_is_refused_with_what_was_found(self, hosts: list[str], message: str) -> None:
        with pytest.raises(TrainingError) as caught:
            require_placement(hosts, ASKED)
        assert (caught.value.message, caught.value.code) == (message, ExitCode.CONFIGURATION)

    def test_an_empty_number_of_workers_is_refused(self) -> None:
        with pytest.raises(TrainingError, match="MLOPS_WORKERS is not a positive number: empty\n"):
            require_placement(["a"], {"MLOPS_WORKERS": "", "MLOPS_SLOTS_PER_WORKER": "1"})


class TestThreads:
    def test_cgroup_v2_quota_in_cores(self, tmp_path: Path) -> None:
        (tmp_path / "cpu.max").write_text("150000 100000\n")
        assert quota_cores(tmp_path) == 1.5

    def test_cgroup_v2_without_quota(self, tmp_path: Path) -> None:
        (tmp_path / "cpu.max").write_text("max 100000\n")
        assert quota_cores(tmp_path) is None

    @pytest.mark.parametrize(("quota", "cores"), [("400000", 4.0), ("-1", None)])
    def test_cgroup_v1_quota(self, tmp_path: Path, quota: str, cores: float | None) -> None:
        (tmp_path / "cpu").mkdir()
        (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
        (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
        assert quota_cores(tmp_path) == cores

    def test_no_cgroup_no_quota(self, tmp_path: Path) -> None:
        assert quota_cores(tmp_path) is None

    @pytest.mark.parametrize(("ranks", "quota", "affinity", "threads"), [(2, 4.0, 64, 2), (1, None, 8, 8), (4, 2.0, 64, 1), (1, 1.5, 8, 2)])
    def test_a_rank_gets_its_share_of_the_quota(self, ranks: int, quota: float | None, affinity: int, threads: int) -> None:
        assert threads_per_rank(ranks, quota, affinity) == threads


class TestBfloat16:
    def test_a_cpu_without_it_is_refused_with_the_reason(self) -> None:
        with pytest.raises(TrainingError) as caught:
            require_bfloat16(frozenset({"avx2"}), force=False)
        assert caught.value.message == "this CPU has no bfloat16 instructions, it lacks: amx_bf16, avx512_bf16"
        assert caught.value.code == ExitCode.CONFIGURATION

    def test_unless_forced_or_there(self) -> None:
        require_bfloat16(frozenset({"avx2"}), force=True)
        require_bfloat16(frozenset({"avx512_bf16"}), force=False)


@given(st.lists(st.integers(1, 100)), st.integers(1, 200))
def test_buckets_hold_every_tensor_once_in_order_and_stay_below_the_limit_where_they_can(sizes: list[int], limit: int) -> None:
    found = buckets(sizes, limit)
    assert [position for bucket in found for position in bucket] == list(range(len(sizes)))
    assert all(len(bucket) == 1 or sum(sizes[i] for i in bucket) <= limit for bucket in found)


def test_auto_is_a_single_process_only_where_mpirun_did_not_start_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert open_comm("auto").name == "single"


@pytest.mark.parametrize("ranks", ["2", "16"])
def test_one_process_alone_is_refused_where_mpirun_started_more(monkeypatch: pytest.MonkeyPatch, ranks: str) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", ranks)
    with pytest.raises(TrainingError) as caught:
        open_comm("single")
    assert (caught.value.message, caught.value.code) == (
        f"one process alone was asked for, but mpirun has started ranks: {ranks}",
        ExitCode.CONFIGURATION,
    )
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "1")
    assert open_comm("single").name == "single"


def test_a_rank_that_waits_for_the_others_says_so_until_they_have_met() -> None:
    said: Queue[str] = Queue()
    with waiting_is_told("horovod", {"OMPI_COMM_WORLD_RANK": "3"}, said.put, limit_s=0.01):
        first, second = said.get(timeout=10), said.get(timeout=10)
    told = said.qsize()
    assert first == ("warning: rank 3 has waited 0 s for the other ranks; all must be at work, and have the same MLOPS_COMM, here: horovod")
    assert second.startswith("warning: rank 3 has waited ")
    with waiting_is_told("auto", {}, said.put):
        pass
    assert said.qsize() == told
    assert not any(thread.name == "meeting" for thread in threading.enumerate())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_stdout_cannot_encode_is_escaped(encoding: str) -> None:
    program = "from common.output import print_whatever, say; print_whatever(); say('output=/caf\\udce9/\u732b')"
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'launcher'}", "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    cat = "\u732b" if encoding == "utf-8" else "\\u732b"
    assert done.stdout.decode(encoding) == f"output=/caf\\udce9/{cat}\n"
