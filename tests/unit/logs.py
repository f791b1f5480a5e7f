"""Logs for tests: lines with timestamps of a clock that jumps, and what must have become of them."""

from __future__ import annotations

from hypothesis import strategies as st

from mlops_launch.core.log.pieces import Gap, Piece


def stamp(nanoseconds: int, zone: str = "Z") -> str:
    return f"2026-01-02T03:04:{nanoseconds // 10**9:02d}.{nanoseconds % 10**9:09d}{zone}"


def line(nanoseconds: int, text: str) -> bytes:
    return f"{stamp(nanoseconds)} {text}\n".encode()


NOISE = st.sampled_from([b"", b"\r", b" 10%|#\r100%|##", b"\xff\xfe", b"\x00\x1b[2J", b"\x0b\x0c\xc2\x85", b"long " * 9, b"longer " * 30])
CLOCK = st.one_of(st.integers(0, 700_000_000), st.just(0), st.integers(-(10**10), 10**10))
WRITES = st.lists(st.tuples(CLOCK, NOISE | st.binary(max_size=20).map(lambda data: data.replace(b"\n", b""))), max_size=6)


class Clock:
    """A node's clock, and the number of the newest line, which makes each line another one."""

    def __init__(self) -> None:
        self._now, self._number = 30 * 10**9, 0

    def lines(self, writes: list[tuple[int, bytes]]) -> list[bytes]:
        """Lines as the kubelet serves them: each comes some nanoseconds after the last one, or before it."""
        written = []
        for pause, text in writes:
            self._now, self._number = min(max(0, self._now + pause), 60 * 10**9 - 1), self._number + 1
            written.append(stamp(self._now).encode() + f" {self._number:05d} ".encode() + text + b"\n")
        return written


def judge(written: list[bytes], got: list[Piece], late: bool) -> None:
    """Every line that was written came once, whole and in order, but for those at a gap.

    With `late`, the first connection that brought a line was not the first of all: lines before it are nobody's to tell.
    """
    lines = [piece.partition(b" ")[2] for piece in written]
    place, gap_before = 0, late
    open_line = b""  # a line of which a part has come
    for piece in got:
        if isinstance(piece, Gap):
            gap_before, open_line = True, b""
            continue
        for part in (open_line + piece).split(b"\n")[:-1]:
            found = lines.index(part + b"\n", place) if part + b"\n" in lines[place:] else None
            assert found is not None, f"doubled, damaged or out of order: {part!r}"
            assert found == place or gap_before, f"lost without a gap: {lines[place:found]}"
            place, gap_before = found + 1, False
        open_line = (open_line + piece).rpartition(b"\n")[2]
    assert not open_line, f"the end of a line is lost without a gap: {open_line!r}"
    assert place == len(lines) or gap_before, f"lost without a gap: {lines[place:]}"
