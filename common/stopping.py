"""Signals that ask a rank to save and stop, and the tie to its parent."""

from __future__ import annotations

import ctypes
import os
import signal
from types import FrameType

_PR_SET_PDEATHSIG = 1  # prctl(2)


class StopRequest:
    """Remembers that this rank was asked to stop; the ranks agree on the step through the gradients' sum."""

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Take SIGTERM (kubelet, a person), SIGINT (terminal) and SIGUSR1 (mpirun hands it to every rank) as a request."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._remember)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends: a rank must not outlive its mpirun."""
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        # The parent ended between the two calls.
        os.kill(os.getpid(), signal.SIGKILL)
