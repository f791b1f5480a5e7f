"""Where in a log that has been read a rotation may have torn a gap."""

from __future__ import annotations

from collections import deque
from typing import Final

from mlops_launch.core.log.pieces import Gap
from mlops_launch.core.log.stamps import moment_of

REMEMBERED: Final = 20_000  # pieces whose times are kept


class Places:
    """The times of what has been read, and the gaps that are known."""

    def __init__(self) -> None:
        self._times: deque[tuple[bytes, bytes]] = deque(maxlen=REMEMBERED)  # of each piece: its first line's, its last line's
        self._newest = b""  # of all these times
        self._gaps: list[Gap] = []

    def add(self, first: bytes, last: bytes) -> None:
        """Take the first and the last line of a piece that has been read."""
        times = moment_of(first), moment_of(last)
        self._times.append(times)
        self._newest = max(self._newest, *times)

    def add_gap(self, gap: Gap) -> None:
        """Take a gap that has been told."""
        self._gaps.append(gap)

    def rotated(self, head: str) -> list[Gap] | None:
        """Return the gap that a rotation may have torn, none when it is known already; None when the log is not there yet.

        A kubelet that follows a log goes over to the new file as soon as there is one: what was written to the old file
        just before can be lost without a break of the connection.

        Args:
            head: the timestamp of the first line of a new file.
        """
        moment = moment_of(head.encode())
        # Asked for every piece that comes until the log is there: a walk over all times would make the reader slower than the kubelet.
        if self._newest < moment:
            return None
        times = [time for pair in self._times for time in pair]
        # The newest place where the times pass the head's: a clock may have been set back since an older one.
        later = next((n for n in range(len(times) - 1, 0, -1) if times[n - 1] < moment <= times[n]), None)
        if later is None or any(_inside(moment, gap) for gap in self._gaps):
            return []
        gap = Gap(times[later - 1].decode(), times[later].decode())
        self.add_gap(gap)
        return [gap]


def _inside(moment: bytes, gap: Gap) -> bool:
    after, before = (gap.after or "").encode(), (gap.before or "9").encode()
    return after <= moment <= before
