"""A container's log through connections that break: every line once and in order, or a gap that says between which times."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_launch.core.log import stream as logstream
from mlops_launch.core.log.pieces import Gap, Mark, Piece
from mlops_launch.core.log.places import REMEMBERED, Places
from mlops_launch.core.log.stream import LogStream
from tests.unit.logs import WRITES, Clock, judge, line, stamp


def text_of(found: list[Piece]) -> bytes:
    return b"".join(piece for piece in found if isinstance(piece, bytes))


def stream(*lines: bytes) -> LogStream:
    log = LogStream()
    log.begin()
    log.feed(b"".join(lines))
    return log


@pytest.fixture
def short_lines() -> Iterator[None]:
    """Lines of more than 60 bytes, timestamp included, count as long, and are known by 48 of them."""
    original = logstream.LONG, logstream.KEY
    logstream.LONG, logstream.KEY = 60, 48  # type: ignore[misc]
    yield
    logstream.LONG, logstream.KEY = original  # type: ignore[misc]


def test_timestamps_go_and_cut_lines_are_joined() -> None:
    log = LogStream()
    log.begin()
    assert log.feed(line(1, "one") + line(2, "two")[:20]) == [b"one\n"]
    assert log.feed(line(2, "two")[20:]) == [b"two\n"]
    assert (log.first, log.last, log.synced) == (stamp(1), stamp(2), True)
    assert log.end() == []


def test_a_line_ends_at_a_line_feed_whatever_else_is_in_it() -> None:
    odd = b"a\rb\x0bc\x0cd\x1ce\x85f\xe2\x80\xa8g\x00h\xff\x1b[2J\r\n"
    log = LogStream()
    log.begin()
    assert log.feed(stamp(1).encode() + b" " + odd) == [odd]
    assert log.mark == Mark((stamp(1).encode() + b" " + odd,))
    log.begin()
    assert log.feed(stamp(1).encode() + b" " + odd + line(2, "two")) == [b"two\n"]


def test_a_last_line_without_its_end_stays_without_it() -> None:
    log = LogStream()
    log.begin()
    assert log.feed(line(1, "one")[:-1]) == []
    assert log.end() == [b"one"]


def test_a_last_line_that_had_an_end_is_known_without_it_too() -> None:
    log = stream(line(1, "one"), line(2, "two"))
    log.begin()
    assert log.feed(line(1, "one") + line(2, "two")[:-1]) == []
    log.settle()
    assert log.synced
    assert log.end() == []


def test_a_file_that_begins_in_the_middle_of_equal_lines_and_ends_without_an_end_loses_nothing() -> None:
    log = stream(line(1, "same") * 2)
    log.begin()
    assert log.feed(line(1, "same") + line(2, "two")[:-1]) == []
    assert log.settle() == []
    assert log.synced
    assert log.end() == [b"two"]


def test_lines_that_come_again_are_left_out() -> None:
    log = stream(line(1, "one"), line(2, "two"))
    log.begin()
    assert log.feed(line(1, "one")) == []
    assert not log.synced
    assert log.feed(line(2, "two") + line(3, "three")) == [b"three\n"]
    assert log.synced


def test_equal_lines_of_equal_times_are_counted_not_merged() -> None:
    log = stream(line(1, "same") * 3)
    log.begin()
    assert text_of(log.feed(line(1, "same") * 4)) == b"same\n"


def test_a_clock_that_is_set_back_doubles_and_hides_nothing() -> None:
    log = stream(line(5, "five"), line(9, "nine"))
    log.begin()
    assert log.feed(line(5, "five") + line(9, "nine") + line(1, "one") + line(2, "two")) == [b"one\ntwo\n"]
    log.begin()
    assert log.feed(line(5, "five") + line(9, "nine") + line(1, "one") + line(2, "two") + line(6, "six")) == [b"six\n"]


def test_another_file_is_read_to_its_end_before_the_last_line_counts_as_lost() -> None:
    log = stream(line(1, "one"), line(2, "two"))
    log.begin()
    assert log.feed(line(7, "seven")) == []
    assert log.unsure, "a file that begins with another line may hold the last known one, or not"
    log.begin()
    assert log.feed(line(7, "seven") + line(8, "eight")) == []
    log.settle()
    assert not log.unsure
    log.begin()
    assert log.feed(line(7, "seven") + line(8, "eight")) == [Gap(stamp(2), stamp(7)), b"seven\neight\n"]


def test_another_file_with_the_last_known_line_has_lost_nothing() -> None:
    log = stream(line(1, "one"), line(2, "two"), line(3, "three"))
    log.begin()
    assert log.feed(line(3, "three") + line(4, "four")) == [b"four\n"], "the file's first line is the last known one"
    log.begin()
    assert log.feed(line(2, "not seen in this file before") + line(4, "four") + line(5, "five")) == [b"five\n"]


def test_an_end_without_the_last_line_is_a_gap_at_the_end() -> None:
    log = stream(line(1, "one"))
    log.begin()
    assert log.end() == [Gap(stamp(1), None)]


def test_a_connection_that_broke_for_good_is_a_gap_at_the_end() -> None:
    assert stream(line(1, "one")).end(complete=False) == [Gap(stamp(1), None)]


def test_a_rotation_while_attached_may_have_torn_a_gap_before_the_new_files_first_line() -> None:
    log = stream(line(1, "one"))
    log.feed(line(2, "two"))
    assert log.places.rotated(stamp(5)) is None
    log.feed(line(5, "five"))
    assert log.places.rotated(stamp(5)) == [Gap(stamp(2), stamp(5))]
    assert log.places.rotated(stamp(5)) == []
    log.feed(line(9, "nine"))
    assert log.places.rotated(stamp(7)) == [Gap(stamp(5), stamp(9))], "a whole file was skipped"


def test_a_rotation_after_the_clock_was_set_back_is_placed_among_the_newest_lines() -> None:
    log = stream(line(3, "three"))
    for number in (5, 8, 1, 4, 6):
        log.feed(line(number, str(number)))
    assert log.places.rotated(stamp(4)) == [Gap(stamp(1), stamp(4))]


def test_another_stream_resumes_behind_the_last_lines_of_one_time() -> None:
    log = LogStream()
    assert log.mark is None
    log.begin()
    log.feed(line(1, "one") + line(2, "two"))
    log.feed(line(2, "three"))
    assert log.mark == Mark((line(2, "two"), line(2, "three")))
    log.begin()
    assert log.mark is None, "it is not known yet what will come again"
    other = LogStream(Mark((line(2, "two"), line(2, "three"))))
    assert other.last == stamp(2)
    other.begin()
    assert other.feed(line(1, "one") + line(2, "two") + line(2, "three") + line(2, "four")) == [b"four\n"]


def test_a_gap_that_a_reconnect_has_found_is_not_told_again_as_a_rotation() -> None:
    log = stream(line(1, "one"))
    log.begin()
    log.feed(line(7, "seven"))
    log.settle()
    log.begin()
    assert log.feed(line(7, "seven")) == [Gap(stamp(1), stamp(7)), b"seven\n"]
    assert log.places.rotated(stamp(7)) == []


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


def test_a_long_line_is_handed_on_as_it_comes_and_resumed_in_the_middle(short_lines: None) -> None:
    begun = stamp(1).encode() + b" " + b"x" * 80
    log = LogStream()
    log.begin()
    assert log.feed(begun) == [b"x" * 80]
    assert log.feed(b"yyy") == [b"yyy"]
    assert log.mark is None, "nobody could resume inside a line"
    log.begin()
    assert log.feed(begun[:70]) == []
    assert log.feed(begun[70:] + b"yyyzz") == [b"zz"]
    assert log.feed(b"\n" + line(2, "two")) == [b"\n", b"two\n"]
    assert log.end() == []


def test_memory_is_bounded_for_a_line_that_never_ends() -> None:
    log = stream(stamp(1).encode() + b" ")
    total = sum(len(text_of(log.feed(b"x" * 100_000))) for _ in range(100))
    assert total == 10_000_000
    assert len(log._rest) + sum(map(len, log._last)) <= 2 * logstream.LONG


@dataclass
class Server:
    """A kubelet's view: a file that only grows or is rotated away; each connection brings it from its beginning."""

    written: list[bytes] = field(default_factory=list)
    file: list[bytes] = field(default_factory=list)

    def write(self, lines: list[bytes]) -> None:
        self.written += lines
        self.file += lines


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), WRITES),
        st.tuples(st.just("rotate"), st.integers(0, 12)),
        st.tuples(st.just("read"), st.integers(0, 400)),
        st.tuples(st.just("break"), st.none()),
        st.tuples(st.just("hand over"), st.none()),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=300)
@given(STEPS, st.sampled_from([60, 90, 200, logstream.LONG]), st.integers(1, 97))
def test_any_disconnects_rotations_and_clocks_give_every_line_once_or_a_gap(plan: list[tuple[str, object]], long: int, cut: int) -> None:
    original = logstream.LONG, logstream.KEY
    logstream.LONG, logstream.KEY = long, 48  # type: ignore[misc]
    try:
        Following(cut).follow(plan)
    finally:
        logstream.LONG, logstream.KEY = original  # type: ignore[misc]


class Following:
    """Connects, reads and is disconnected as the follower of a container does it."""

    def __init__(self, cut: int) -> None:
        self.server, self.log, self.cut = Server(), LogStream(), cut
        self.got: list[Piece] = []
        self.connection = b""  # what this connection has still to bring
        self.clock = Clock()
        self.late = False  # the first connection that brought a line was not the first of all: lines before it are nobody's to tell
        self.log.begin()

    def follow(self, plan: list[tuple[str, object]]) -> None:
        for action, argument in plan:
            if action == "write":
                self.write(argument)  # type: ignore[arg-type]
            elif action == "rotate":
                self.server.file = self.server.file[int(argument) :]  # type: ignore[call-overload]
            elif action == "read":
                self.read(int(argument))  # type: ignore[call-overload]
            else:
                if action == "hand over" and self.log.mark is not None:
                    self.log = LogStream(self.log.mark)
                self.connect()
        self.snapshot()
        if not self.log.synced:
            self.snapshot()
        self.got += self.log.end()
        judge(self.server.written, self.got, self.late)

    def write(self, lines: list[tuple[int, bytes]]) -> None:
        written = self.clock.lines(lines)
        self.server.write(written)
        self.connection += b"".join(written)

    def connect(self) -> None:
        self.late = self.late or not self.got
        self.log.begin()
        self.connection = b"".join(self.server.file)

    def read(self, size: int) -> None:
        data, self.connection = self.connection[:size], self.connection[size:]
        for begin in range(0, len(data), self.cut):
            self.got += self.log.feed(data[begin : begin + self.cut])
            if self.log.unsure:
                self.snapshot()
                self.connect()
                return

    def snapshot(self) -> None:
        self.late = self.late or not self.got
        self.log.begin()
        data = b"".join(self.server.file)
        for begin in range(0, len(data), self.cut):
            self.got += self.log.feed(data[begin : begin + self.cut])
        self.got += self.log.settle()


def test_a_million_lines_take_no_longer_than_kubectl_needs() -> None:
    chunk = b"".join(line(n, "x" * 80) for n in range(2000))
    log = LogStream()
    log.begin()
    begun = time.process_time()
    for _ in range(500):
        log.feed(chunk)
    assert time.process_time() - begun < 2.0


def test_a_rotation_that_the_log_has_not_reached_costs_nothing_however_much_has_been_read() -> None:
    """It is looked for with every piece; a reader slower than the kubelet would fall behind for good."""
    places = Places()
    for number in range(REMEMBERED):
        line = f"2026-01-01T00:00:{number // 1000:02}.{number % 1000:09}Z x".encode()
        places.add(line, line)
    begun = time.process_time()
    assert {places.rotated("2026-01-01T00:01:00.000000000Z") for _ in range(REMEMBERED)} == {None}
    assert time.process_time() - begun < 2
