"""Bytes in words."""

from __future__ import annotations


def size_text(size: int) -> str:
    """Return a number of bytes as a person reads it.

    >>> [size_text(size) for size in (0, 999, 19_345, 5 << 30)]
    ['0 B', '999 B', '18.9 KiB', '5.0 GiB']
    """
    if size < 1024:
        return f"{size} B"
    value, units = size / 1024, iter(("KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while value >= 1023.95 and unit != "TiB":
        value, unit = value / 1024, next(units)
    return f"{value:.1f} {unit}"
