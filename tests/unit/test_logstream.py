"""A container's log through connections that break: every line once and in order, or a gap that says between which times."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_launch.core.log import stream as logstream
from mlops_launch.core.log.stream import Gap, LogStream, Mark


def stamp(nanoseconds: int, zone: str = "Z") -> str:
    return f"2026-01-02T03:04:{nanoseconds // 10**9:02d}.{nanoseconds % 10**9:09d}{zone}"


def line(nanoseconds: int, text: str) -> bytes:
    return f"{stamp(nanoseconds)} {text}\n".encode()


def text_of(found: list[bytes | Gap]) -> bytes:
    return b"".join(piece for piece in found if isinstance(piece, bytes))


def test_timestamps_go_and_cut_lines_are_joined() -> None:
    log = LogStream()
    assert log.since is None
    log.begin()
    assert log.feed(line(1, "one") + line(2, "two")[:20]) == [b"one\n"]
    assert log.feed(line(2, "two")[20:]) == [b"two\n"]
    assert (log.first, log.last, log.synced) == (stamp(1), stamp(2), True)
    assert log.end() == []


def test_a_last_line_without_its_end() -> None:
    log = LogStream()
    log.begin()
    assert log.feed(line(1, "one")[:-1]) == []
    assert log.end() == [b"one\n"]


def test_lines_that_come_again_are_left_out() -> None:
    log = LogStream()
    log.begin()
    log.feed(line(1, "one") + line(2, "two"))
    assert log.since == stamp(1)
    log.begin()
    assert log.feed(line(1, "one")) == []
    assert not log.synced
    assert log.feed(line(2, "two") + line(3, "three")) == [b"three\n"]
    assert log.synced


def test_equal_lines_of_equal_times_are_counted_not_merged() -> None:
    log = LogStream()
    log.begin()
    assert text_of(log.feed(line(1, "same") * 3)) == b"same\n" * 3
    log.begin()
    assert text_of(log.feed(line(1, "same") * 4)) == b"same\n"


def test_a_rotation_after_the_last_line_is_a_gap_between_two_times() -> None:
    log = LogStream()
    log.begin()
    log.feed(line(1, "one") + line(2, "two"))
    log.begin()
    assert log.feed(line(7, "seven")) == [Gap(stamp(2), stamp(7)), b"seven\n"]


def test_a_rotation_before_the_last_line_is_none() -> None:
    log = LogStream()
    log.begin()
    log.feed(line(1, "one") + line(2, "two") + line(3, "three"))
    log.begin()
    assert log.feed(line(3, "three") + line(4, "four")) == [b"four\n"]


def test_an_end_without_the_last_line_is_a_gap_at_the_end() -> None:
    log = LogStream()
    log.begin()
    log.feed(line(1, "one"))
    log.begin()
    assert log.end() == [Gap(stamp(1), None)]


def test_a_connection_that_broke_for_good_is_a_gap_at_the_end() -> None:
    log = LogStream()
    log.begin()
    log.feed(line(1, "one"))
    assert log.end(complete=False) == [Gap(stamp(1), None)]


def test_a_rotation_while_attached_may_have_torn_a_gap_before_the_new_files_first_line() -> None:
    log = LogStream()
    log.begin()
    log.feed(line(1, "one"))
    log.feed(line(2, "two"))
    assert log.rotated(stamp(5)) is None
    log.feed(line(5, "five"))
    assert log.rotated(stamp(5)) == [Gap(stamp(2), stamp(5))]
    assert log.rotated(stamp(5)) == []
    log.feed(line(9, "nine"))
    assert log.rotated(stamp(7)) == [Gap(stamp(5), stamp(9))], "a whole file was passed over"


def test_another_stream_goes_on_behind_the_last_lines_of_one_time() -> None:
    log = LogStream()
    assert log.mark is None
    log.begin()
    log.feed(line(1, "one") + line(2, "two"))
    log.feed(line(2, "three"))
    assert log.mark == Mark((line(2, "two"), line(2, "three")))
    log.begin()
    assert log.mark is None, "it is not known yet what will come again"
    other = LogStream(Mark((line(2, "two"), line(2, "three"))))
    assert (other.last, other.since) == (stamp(2), stamp(2))
    other.begin()
    assert other.feed(line(1, "one") + line(2, "two") + line(2, "three") + line(2, "four")) == [b"four\n"]


def test_a_gap_that_a_reconnect_has_found_is_not_told_again_as_a_rotation() -> None:
    log = LogStream()
    log.begin()
    log.feed(line(1, "one"))
    log.begin()
    assert log.feed(line(7, "seven")) == [Gap(stamp(1), stamp(7)), b"seven\n"]
    assert log.rotated(stamp(7)) == []


def test_the_servers_own_words_are_no_lines_of_the_log() -> None:
    log = LogStream()
    log.begin()
    assert log.feed(b"unable to retrieve container logs for containerd://1\n") == []
    assert log.refused
    assert log.feed(line(1, "one") + b"rpc error\n" + line(2, "two")) == [b"one\ntwo\n"]
    log.begin()
    assert not log.refused
    assert log.feed(b"unable to retrieve container logs for containerd://1\n") == []
    assert log.refused
    assert log.feed(line(1, "one") + line(2, "two") + line(3, "three")) == [b"three\n"]


def test_a_time_zone_may_change_with_the_season() -> None:
    log = LogStream()
    log.begin()
    summer = b"2026-10-25T02:59:59.500000000+02:00 one\n"
    winter = b"2026-10-25T02:00:00.500000000+01:00 two\n"
    assert log.feed(summer + winter) == [b"one\ntwo\n"]
    log.begin()
    assert log.feed(summer + winter + winter.replace(b"two", b"three")) == [b"three\n"]


@dataclass
class Server:
    """A kubelet's view: a file that only grows or is rotated away, asked by whole seconds."""

    written: list[bytes] = field(default_factory=list)
    file: list[bytes] = field(default_factory=list)

    def write(self, lines: list[bytes]) -> None:
        self.written += lines
        self.file += lines

    def since(self, moment: str | None) -> bytes:
        second = (moment or "")[:19].encode()
        return b"".join(piece for piece in self.file if piece[:19] >= second)


writes = st.lists(st.tuples(st.integers(0, 700_000_000), st.sampled_from(["a", "b", "long " * 9])), max_size=6)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), writes),
        st.tuples(st.just("rotate"), st.integers(0, 12)),
        st.tuples(st.just("read"), st.integers(0, 400)),
        st.tuples(st.just("break"), st.integers(0, 400)),
        st.tuples(st.just("hand over"), st.none()),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=400)
@given(steps, st.sampled_from([60, 300, logstream.WINDOW]))
def test_any_disconnects_and_rotations_give_every_line_once_or_a_gap(plan: list[tuple[str, object]], window: int) -> None:
    original, logstream.WINDOW = logstream.WINDOW, window  # type: ignore[misc]
    try:
        follow(plan)
    finally:
        logstream.WINDOW = original  # type: ignore[misc]


def follow(plan: list[tuple[str, object]]) -> None:
    server, log, clock, number = Server(), LogStream(), 0, 0
    first: str | None = None
    got: list[bytes | Gap] = []
    log.begin()
    connection = b""  # what this connection has still to bring
    for action, argument in plan:
        if action == "write":
            lines = []
            for pause, text in argument:  # type: ignore[attr-defined]
                clock, number = clock + pause, number + 1
                lines.append(line(clock, f"{number} {text}"))
            server.write(lines)
            connection += b"".join(lines)
        elif action == "rotate":
            server.file = server.file[int(argument) :]  # type: ignore[call-overload]
        elif action == "read":
            size = int(argument)  # type: ignore[call-overload]
            got += log.feed(connection[:size])
            connection = connection[size:]
        else:
            if action == "hand over" and log.mark is not None:
                first, log = first or log.first, LogStream(log.mark)
            connection = server.since(log.since)
            log.begin()
    first = first or log.first
    again = server.since(log.since)
    log.begin()
    got += log.feed(again)
    got += log.end()
    lines = [piece.partition(b" ")[2] for piece in server.written]
    printed = text_of(got).splitlines(keepends=True)
    assert len(set(printed)) == len(printed), "a line came twice"
    assert [piece for piece in lines if piece in set(printed)] == printed, "lines out of order"
    missing = [piece for piece in server.written if piece.partition(b" ")[2] not in set(printed)]
    gaps = [piece for piece in got if isinstance(piece, Gap)]
    head = [piece for piece in missing if first is None or piece[:30].decode() <= first]
    for piece in missing:
        moment = piece.split(b" ")[0].decode()
        covered = any((gap.after or "") <= moment <= (gap.before or "~") for gap in gaps)
        assert covered or piece in head, f"a silent loss: {piece!r}"


def test_a_million_lines_take_no_longer_than_kubectl_needs() -> None:
    chunk = b"".join(line(n, "x" * 80) for n in range(2000))
    log = LogStream()
    log.begin()
    begun = time.process_time()
    for _ in range(500):
        log.feed(chunk)
    assert time.process_time() - begun < 2.0
