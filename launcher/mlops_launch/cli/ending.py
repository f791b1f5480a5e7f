"""How a call of the command line ends: every exception becomes a line and an exit code, whatever has become of the streams."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, TextIO

import click

INTERRUPTED = 128 + signal.SIGINT
READER_LEFT = 128 + signal.SIGPIPE  # as of every program that writes into a pipe without a reader


def exit_code_of(call: Callable[[], Any], failed: Callable[[BaseException], click.ClickException]) -> int:
    """Run `call`, print what went wrong, and return the exit code.

    Args:
        call: returns the exit code, or None for 0.
        failed: returns what to show of an exception that is not click's.
    """
    try:
        code = call() or 0
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt, EOFError):
        code = INTERRUPTED
    except Exception as error:
        code = _told(error, failed)
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    return int(code)


def silence(stream: TextIO) -> None:
    """Lead a stream that cannot be written nowhere: what is in its buffer would change the exit code to 120 at the end."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _told(error: Exception, failed: Callable[[BaseException], click.ClickException]) -> int:
    if was_interrupted(error):
        return INTERRUPTED
    if isinstance(error, OSError):  # of the last flush
        silence(sys.stdout)
        if error.errno == errno.EPIPE:
            return READER_LEFT
    shown = error if isinstance(error, click.ClickException) else failed(error)
    try:
        shown.show()
    except OSError:
        silence(sys.stderr)
    return shown.exit_code


def was_interrupted(error: BaseException) -> bool:
    """Return whether Ctrl-C came first, and this is what a library made of it."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, KeyboardInterrupt):
            return True
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return False
