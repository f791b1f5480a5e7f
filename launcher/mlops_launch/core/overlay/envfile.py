"""mlops.env as kustomize reads it: a line is KEY=VALUE, and everything after the first `=` is the value, literally.

kustomize (`api/kv/kv.go`) cuts at newlines, drops one carriage return before it, a byte order mark in front of the
file and white space in front of a line; it passes over empty lines and lines that start with `#`. Quotes, `export`,
white space around `=` and a comment behind a value all stay in the key or the value. A line without `=` is a key with
an empty value, a line without a key is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from mlops_launch.errors import LauncherError, UsageError

BYTE_ORDER_MARK = "\ufeff"
# kustomize reads with Go's bufio.Scanner and ignores its error: a longer line ends the file silently. In bytes, without the newline.
LONGEST_LINE = 65_535
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# What Go's unicode.IsSpace holds to be white space; Python's str.isspace has more.
_GO_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


@dataclass(frozen=True)
class Entry:
    """One KEY=VALUE of an env file.

    Args:
        line: its line, from 1.
        key: as kustomize reads it: `export A` and `A ` are keys too.
        value: as kustomize reads it.
        start: where the value starts in the file's text; the end of the key when there is no `=`.
        has_equals: whether the line has a `=`.
    """

    line: int
    key: str
    value: str
    start: int
    has_equals: bool


@dataclass(frozen=True)
class EnvFile:
    """The text of an env file and its entries in order."""

    text: str

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The entries that kustomize takes, duplicates included."""
        entries, position = [], 0
        for number, raw in enumerate(self.text.split("\n"), 1):
            if number == self.too_long:
                break
            line = raw.removesuffix("\r")
            content = (line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).lstrip(_GO_SPACE)
            key, equals, value = content.partition("=")
            if key and not content.startswith("#"):
                start = position + len(line) - len(value)
                entries.append(Entry(number, key, value, start, bool(equals)))
            position += len(raw) + 1
        return tuple(entries)

    @cached_property
    def too_long(self) -> int | None:
        """The first line, from 1, that is longer than `LONGEST_LINE`; kustomize drops it and all that follows."""
        if len(self.text) <= LONGEST_LINE // 4:
            return None
        return next((number for number, line in enumerate(self.text.split("\n"), 1) if len(line.encode()) > LONGEST_LINE), None)

    @cached_property
    def values(self) -> Mapping[str, str]:
        """Value by key; of a duplicate key the first."""
        return {entry.key: entry.value for entry in reversed(self.entries)}

    def entry(self, key: str) -> Entry | None:
        """Return the first entry of `key`."""
        return next((entry for entry in self.entries if entry.key == key), None)

    def with_value(self, key: str, value: str) -> EnvFile:
        """Return the file with `key` set to `value`; every other byte stays, a new key goes to the end.

        Raises:
            UsageError: `key` is no name of a variable, or `value` cannot be written in one line.
            LauncherError: the file has the key twice.
        """
        if not NAME.fullmatch(key):
            raise UsageError(f"not the name of a variable: {key}", "letters, digits and `_`, not starting with a digit")
        if any(character in value for character in "\n\r\0"):
            raise UsageError(f"the value of `{key}` must be one line: {value!r}")
        if self.too_long is not None:
            raise LauncherError(
                f"kustomize drops line {self.too_long} and all that follows: longer than {LONGEST_LINE} bytes", "shorten it"
            )
        found = [entry for entry in self.entries if entry.key == key]
        if len(found) > 1:
            raise LauncherError(f"`{key}` is there twice, on lines: {', '.join(str(e.line) for e in found)}", "remove one of them")
        if found:
            entry = found[0]
            end = entry.start + len(entry.value)
            return EnvFile(self.text[: entry.start] + ("" if entry.has_equals else "=") + value + self.text[end:])
        newline = "\r\n" if "\r\n" in self.text else "\n"
        head = self.text if not self.text or self.text.endswith("\n") else self.text + newline
        return EnvFile(f"{head}{key}={value}{newline}")
