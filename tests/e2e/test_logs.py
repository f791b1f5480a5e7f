"""Following a log on a cluster: nothing twice, nothing lost without a word, as fast as kubectl. The node rotates logs at 1 MiB."""

import re
import shutil
import statistics
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.e2e import workloads
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.kubectl import Kubectl
from tests.e2e.launching import Launcher, of_ranks

pytestmark = pytest.mark.usefixtures("small_image", "mpi_operator")

LINES = 300_000


def paced(lines: int, rate: int) -> str:
    """A program that prints numbered lines, each with its time, so many a second."""
    return f"""
        import sys, time
        begun = time.monotonic()
        for number in range({lines}):
            if number % 100 == 0:
                time.sleep(max(0.0, begun + number / {rate} - time.monotonic()))
            sys.stdout.write(f"{{number:06d}} {{time.time():.6f}} {{'x' * 60}}\\n")
    """


GAP = re.compile(r"lines may be missing between (\S+) and (\S+): the kubelet")
HEAD = re.compile(r"the log's beginning may be missing, before (\S+): the kubelet")


@pytest.fixture
def launch(tmp_path: Path, kubectl: Kubectl, namespace: str) -> Iterator[Launcher]:
    with Launcher(tmp_path, kubectl, namespace) as launcher:
        yield launcher


def numbers(text: str) -> list[int]:
    return [int(line.split()[0]) for line in text.splitlines()]


def test_every_line_of_300000_comes_once_and_in_order_through_rotations(launch: Launcher, outputs: Path, tmp_path: Path) -> None:
    ended = launch("run", str(workloads.pod(tmp_path / "overlay", paced(LINES, 20_000), outputs=True)))
    assert ended.code == 0, ended.stderr
    assert numbers((launch.archives()[0] / "training.log").read_text()) == list(range(LINES))
    assert launch.record()["gaps"] == []
    # A kubelet that is at the end of a file when it rotates it skips what is written before it opens the next one.
    lost = check_losses(ended.stdout, ended.stderr, LINES)
    print(f"{len(GAP.findall(ended.stderr))} rotations, each told as a place where lines may be missing; the kubelet skipped {lost} lines")
    assert lost < LINES / 100


def test_any_bytes_arrive_as_they_were_printed_and_end_nothing(launch: Launcher, outputs: Path, tmp_path: Path) -> None:
    """A bar of carriage returns, colors, bytes that are no text, and 16 MiB without a line feed; then the training's own exit code."""
    program = r"""
        import os, sys, time
        for done in range(30):
            os.write(1, b"\r\x1b[32m%3d%%\x1b[0m |%s" % (done, b"#" * done))
            time.sleep(0.05)
        os.write(1, b"\r\xff\xfe\x80 \xc3 \x85 \xe2\x80\xa8 \x0b\x0c\x1c\n")
        rest = memoryview(b"0123456789abcdef" * (1 << 20))
        while rest:
            rest = rest[os.write(1, rest[: 1 << 16]) :]
        os.write(1, b"\nlast\n")
        sys.exit(66)
    """
    overlay = str(workloads.pod(tmp_path / "overlay", program, outputs=True))
    # When the node rotates such a log meanwhile, its kubelet skips bytes: a gap, filled in the archive. A second time it may not.
    for _ in range(4):
        shutil.rmtree(outputs / "small", ignore_errors=True)
        run = launch.start("run", overlay)
        assert run.process.wait(120) == 66, run.err.read_bytes()[-2000:]
        copied = (outputs / "small" / "launcher.log").read_bytes()
        assert copied.endswith(b"89abcdef\nlast\n") and copied.count(b"\r") == 31 and len(copied) > 1 << 24
        assert copied == (launch.archives()[-1] / "training.log").read_bytes()
        assert launch.record()["gaps"] == []
        printed = run.out.read_bytes()
        if printed == copied:
            break
        assert b"may be missing" in run.err.read_bytes()
    assert printed == copied


def test_restarts_repeat_no_line_and_each_loss_lies_in_a_reported_gap(cluster: Cluster, launch: Launcher, tmp_path: Path) -> None:
    run = launch.start("run", str(workloads.pod(tmp_path / "overlay", paced(LINES, 7_000))))
    run.wait_for("^020000 ")
    first = launch.start("logs", "-f", "small-training")
    first.wait_for("^060000 ")
    cluster.restart("kube-apiserver", "KILL")
    cluster.wait_ready()
    run.wait_for("^120000 ")
    first.kill()
    cluster.restart("kubelet", "KILL")
    run.wait_for("^180000 ")
    cluster.restart("kube-apiserver", "KILL")
    cluster.wait_ready()
    second = launch.start("logs", "-f", "small-training")
    followed = second.end()
    ended = run.end()
    assert (ended.code, followed.code) == (0, 0), ended.stderr + followed.stderr
    assert (launch.archives()[0] / "training.log").read_text() == ended.stdout
    for text, words in ((ended.stdout, ended.stderr), (followed.stdout, followed.stderr)):
        lost = check_losses(text, words, LINES)
        print(f"lost in {len(GAP.findall(words))} reported gaps: {lost} of {LINES}")
    assert numbers(ended.stdout)[-1] == numbers(followed.stdout)[-1] == LINES - 1
    assert [tuple(gap) for gap in launch.record()["gaps"]] == GAP.findall(ended.stderr)


def test_an_archive_is_completed_from_the_output_volume_whoever_followed(
    cluster: Cluster, launch: Launcher, outputs: Path, tmp_path: Path
) -> None:
    """The follower is killed; `logs -f` goes on with its archive, through restarts, and fills what both have missed."""
    before, lines = launch.listing(), 150_000
    run = launch.start("run", str(workloads.pod(tmp_path / "overlay", paced(lines, 7_000), outputs=True)))
    run.wait_for("^040000 ")
    cluster.restart("kubelet", "KILL")
    run.wait_for("^060000 ")
    run.kill()
    assert launch.record()["exit_code"] is None
    time.sleep(4)  # at this pace the kubelet rotates twice meanwhile
    follower = launch.start("logs", "-f", "small-training")
    follower.wait_for("^110000 ")
    cluster.restart("kube-apiserver", "KILL")
    cluster.wait_ready()
    ended = follower.end()
    assert ended.code == 0, ended.stderr
    lost = check_losses(ended.stdout, run.err.read_text() + ended.stderr, lines)
    assert lost > 0, "nothing was rotated away: the test shows nothing"
    log = (launch.archives()[0] / "training.log").read_text()
    assert numbers(log) == list(range(lines))
    assert (outputs / "small" / "launcher.log").read_text() == log
    assert re.search(rf"the archived log is whole: {lost} lines of it came from /mnt/outputs/small/launcher.log", ended.stderr)
    record = launch.record()
    assert (record["exit_code"], record["gaps"]) == (0, [])
    assert [path.name for path in launch.archives()[0].iterdir() if "position" in path.name] == []
    assert launch("delete", "small-training").code == 0
    assert launch.listing() == before


def check_losses(text: str, words: str, lines: int) -> int:
    """Each loss between two lines lies in a gap whose times are theirs; returns how many lines are missing."""
    got, printed = numbers(text), [float(line.split()[1]) for line in text.splitlines()]
    assert got == sorted(set(got)), "a line came twice, or out of order"
    gaps = [(seconds(after), seconds(before)) for after, before in GAP.findall(words)]
    for index in range(1, len(got)):
        if got[index] != got[index - 1] + 1:
            times = printed[index - 1], printed[index]
            # The container's engine stamps a line a little after the program has printed it.
            covered = any(
                after < times[0] + 1 and before > times[1] - 1 and before - after < times[1] - times[0] + 1 for after, before in gaps
            )
            assert covered, f"a silent loss behind line {got[index - 1]}: {words}"
    if got[0] != 0:
        (head,) = HEAD.findall(words)
        assert abs(seconds(head) - printed[0]) < 1
    return lines - len(got)


def seconds(stamp: str) -> float:
    head, fraction = stamp.rstrip("Z").split(".")
    return datetime.fromisoformat(f"{head}+00:00").timestamp() + float(f"0.{fraction}")


@pytest.mark.full
def test_it_is_as_fast_as_kubectl(launch: Launcher, kubectl: Kubectl, namespace: str, tmp_path: Path) -> None:
    # At once, so that much of it is in the file when the container ends: then nothing is rotated any more.
    program = """
        import os
        rest = memoryview(b"".join(b"%06d %s\\n" % (number, b"x" * 91) for number in range(400_000)))
        while rest:
            rest = rest[os.write(1, rest[: 1 << 20]) :]
    """
    overlay = str(workloads.pod(tmp_path / "overlay", program))
    # When the last rotation comes is chance; a short log says little of the rate.
    for _ in range(8):
        assert launch("run", overlay).code == 0
        if kubectl("-n", namespace, "logs", "small-training").stdout.count("\n") >= LINES:
            break
    assert launch("run", str(workloads.pod(tmp_path / "short", "print('hello')", name="short-training"))).code == 0

    def timed(name: str) -> tuple[float, float, str]:
        """Return the seconds of kubectl and of mlops-launch for the log of a pod, and the log, which is the same for both."""
        begun = time.monotonic()
        printed = kubectl("-n", namespace, "logs", "-f", name).stdout
        between = time.monotonic()
        ended = launch("logs", "-f", name)
        seconds = (between - begun, time.monotonic() - between)
        assert ended.stdout == printed
        return (*seconds, printed)

    rates, whole = [], []
    # Five pairs on a calm machine; on a busy one up to fifteen, all of which count.
    for _ in range(3):
        for _ in range(5):
            their_start, our_start, _ = timed("short-training")
            theirs, ours, printed = timed("small-training")
            # What the log takes, without the start of the program and what it asks first.
            rates.append((theirs - their_start) / (ours - our_start))
            whole.append((theirs, ours))
        if statistics.median(rates) >= 0.95:
            break
    theirs, ours = (statistics.median(column) for column in zip(*whole, strict=True))
    lines, ratio = printed.count("\n"), statistics.median(rates)
    print(f"{lines} lines: kubectl {theirs:.2f} s, mlops-launch {ours:.2f} s, ratio of lines per second, without the starts, {ratio:.2f}")
    assert ratio >= 0.95


def test_all_pods_and_a_time_to_begin_at(launch: Launcher, tmp_path: Path) -> None:
    program = """
        from mpi4py import MPI
        import time
        world = MPI.COMM_WORLD
        if world.rank == 0:
            print("early", flush=True)
            time.sleep(4)
            print("late", flush=True)
        world.Barrier()
        time.sleep(600)
    """
    assert launch("run", str(workloads.mpi_job(tmp_path / "overlay", program)), "--detach").code == 0
    follower = launch.start("logs", "-f", "small")
    follower.wait_for("^late$")
    follower.kill()
    everything = of_ranks(launch("logs", "small", "--all").stdout.splitlines())
    names = {line.split(":")[0] for line in everything}
    assert {"small-worker-0", "small-worker-1"} < names and len(names) == 3
    assert [line.split(":", 1)[1].strip() for line in everything if line.startswith("small-launcher-")] == ["early", "late"]
    assert launch("logs", "small", "--since", "3s").stdout in ("late\n", "")
    assert launch("delete", "small").code == 0


def test_a_training_that_is_not_there(launch: Launcher) -> None:
    ended = launch("logs", "nothing")
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"Error: no job of that name in namespace {launch.namespace}: nothing\n")
