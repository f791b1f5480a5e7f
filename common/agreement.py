"""What must be the same on every rank: which ranks have something else, and how an error names them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple


class Odd(NamedTuple):
    """The first rank that differs from most, one of those that it differs from, and the beginning of the error's message."""

    rank: int
    like: int
    text: str


def find_odd(kinds: Sequence[Hashable], hosts: Sequence[str], what: str) -> Odd | None:
    """Return a rank whose kind is not that of most, rank 0's among equals; None where all are of one kind.

    A kind that is None is never right, unless all are.

    >>> find_odd(["x", "y", "x"], ["a", "b", "c"], "data").text
    'rank 1 on host b does not have the data of rank 0 on host a'
    """
    if len(set(kinds)) == 1:
        return None
    right = Counter(kind for kind in kinds if kind is not None).most_common(1)[0][0]
    like = kinds.index(right)
    wrong = [rank for rank, kind in enumerate(kinds) if kind != right]
    others = f" ({len(wrong)} of {len(kinds)} ranks differ)" if len(wrong) > 1 else ""
    text = f"rank {wrong[0]} on host {hosts[wrong[0]]} does not have the {what} of rank {like} on host {hosts[like]}{others}"
    return Odd(wrong[0], like, text)
