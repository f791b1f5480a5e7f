"""Find the last lines that are known of a log in its file, which is read from the beginning."""

from __future__ import annotations

from collections.abc import Sequence


class Search:
    """Looks for lines that follow each other.

    Args:
        known: keys of the lines, oldest first; a file may begin with any of them, or hold them all.
    """

    def __init__(self, known: Sequence[bytes]) -> None:
        self.at_head = True  # the file's first lines may be known ones
        self._known = known
        self._shift = 0  # the file's first line may be this one of them
        self._again: list[bytes] = []  # the newest lines of the file, which may be the known ones

    def skip(self, lines: bytes, begin: int) -> int:
        """Return where in `lines`, from `begin` on, the next line begins that may be a known one; their end when there is none."""
        first = self._known[0]
        if self.at_head or self._again or lines.startswith(first, begin):
            return begin
        found = lines.find(b"\n" + first, begin)
        return found + 1 if found >= 0 else len(lines)

    def take(self, key: bytes) -> list[bytes] | None:
        """Take the next line; return the lines behind the last known one as soon as that is found, else None."""
        self._again.append(key)
        if not self._fits(len(self._again) - 1):
            self._realign()
        overlap = len(self._known) - self._shift
        return self._again[overlap:] if len(self._again) >= overlap else None

    def _realign(self) -> None:
        """Move to the next place where all of `_again` fits: the longest overlap counts."""
        while self.at_head:
            self._shift += 1
            if self._shift == len(self._known):
                self.at_head, self._shift = False, 0
            elif all(map(self._fits, range(len(self._again)))):
                return
        while self._again and not all(map(self._fits, range(len(self._again)))):
            del self._again[0]

    def _fits(self, number: int) -> bool:
        place = self._shift + number
        return place >= len(self._known) or self._known[place] == self._again[number]
