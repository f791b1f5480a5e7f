"""`python -m mlops_launch` and the console script: what must hold before anything else is imported."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def start() -> None:
    """Run the command line. Ctrl-C ends it with 130 and without a traceback, also while modules are being imported."""
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not in the background, under nohup
    if interruptible:
        signal.signal(signal.SIGINT, _leave)
    if sys.getfilesystemencoding() != "utf-8":  # a locale that was forced on Python: kustomize and the API know UTF-8 only
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    _open_streams()

    from mlops_launch.cli.main import main

    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main(prog_name="mlops-launch")
    except KeyboardInterrupt:  # between click's own handling and here
        os._exit(128 + signal.SIGINT)
    finally:
        if interruptible:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the interpreter's last steps would show a traceback


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _open_streams() -> None:
    """Open what the caller has closed (`>&-`), so that no file of ours takes its number; nothing that is printed fails to be encoded."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        elif stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    start()
