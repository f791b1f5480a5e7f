"""Text of others made harmless for a terminal: it is seen, and steers nothing."""

from __future__ import annotations

import re
from typing import Final

_COLOR: Final = re.compile(r"\x1b\[[0-9;]*m")
# Control characters of ASCII and of Latin-1, and what turns the direction of writing; not tab, line feed, carriage return, backspace.
_CONTROL: Final = re.compile(r"[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_MOVING: Final = re.compile(r"[\b\t\n\r]")


def printable(text: str) -> str:
    r"""Return `text` without colors, and with `^[` for an escape; a bar that is redrawn by carriage returns stays one.

    >>> printable("\x1b[31mred\x1b[0m \x1b]0;title\x07 10%\r20%")
    'red ^[]0;title^G 10%\r20%'
    """
    return _CONTROL.sub(_shown, _COLOR.sub("", text))


def one_line(text: str) -> str:
    r"""Return `text` as a cell of a table: in one line, and nothing in it moves the cursor.

    >>> one_line("a\rb\n")
    'a^Mb^J'
    """
    return _MOVING.sub(_shown, printable(text))


def _shown(found: re.Match[str]) -> str:
    number = ord(found[0])
    if number < 0x20 or number == 0x7F:
        return f"^{chr(number ^ 0x40)}"
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
