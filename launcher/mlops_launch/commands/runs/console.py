"""Talk to people: what is going on, what they should know, what went wrong; a message is a line on stderr."""

from __future__ import annotations

from collections.abc import Callable

from mlops_launch.core.printable import printable


class Console:
    """Three levels of talk.

    Args:
        write: puts a line on the screen.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def info(self, message: str) -> None:
        """Say what is going on."""
        self._write(printable(message))

    def warn(self, message: str) -> None:
        """Say what did not work, or may not, while the run continues."""
        self.info(f"Warning: {message}")

    def error(self, message: str, hint: str | None = None) -> None:
        """Say what has failed and what to do about it."""
        self.info(f"Error: {message}" + (f"\n\nhint: {hint}" if hint is not None else ""))
