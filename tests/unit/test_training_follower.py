"""What has come of a log is handed on whole, however much of it waits."""

from __future__ import annotations

import queue

import pytest

from mlops_launch.commands.cluster.follow.training import QUEUED, TrainingFollower


@pytest.mark.parametrize("waiting", [1, QUEUED - 1, QUEUED, QUEUED + 1, 10 * QUEUED])
def test_no_piece_is_lost_when_more_of_them_wait_than_are_taken_at_a_time(waiting: int) -> None:
    follower = object.__new__(TrainingFollower)
    follower._items, follower._following, follower._read = queue.Queue(), "uid", set()
    pieces = [b"line %d\n" % number for number in range(waiting)]
    for item in [*pieces, None]:
        follower._items.put(item)
    taken = []
    while follower._following is not None:
        taken += follower._come()
    assert b"".join(piece for piece in taken if isinstance(piece, bytes)) == b"".join(pieces)
