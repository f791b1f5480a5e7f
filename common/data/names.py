"""Names of files in messages: on one line, printable, and a few for many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

NAMED: Final = 3


def printable(name: object) -> str:
    """Return a file's name with what is not printable, a line break or a byte of another encoding, as an escape.

    >>> printable("new\\nline"), printable("caf\\udce9")
    ('new\\\\nline', 'caf\\\\udce9')
    """
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in str(name))


def some_of(names: Sequence[object]) -> str:
    """Return the first few of the names, and how many there are beside them.

    >>> some_of(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    text = ", ".join(printable(name) for name in names[:NAMED])
    return text if len(names) <= NAMED else f"{text} and {len(names) - NAMED} more"
