"""Trainers without the seconds of an import: each is forked from a process that has imported TensorFlow and begun nothing with it.

Run as a program, this module is that process. It gets requests over a socket, one at a time: a program's words and environment as
JSON, and its stdout and stderr. It answers with the exit code. The fork becomes the program: it has its own environment, streams
and signal handlers, runs `main.py` as `__main__`, and ends as any interpreter does.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

ROOT = Path(__file__).parents[2]
LONGEST = 1 << 20  # bytes of a request


class Forks:
    """Starts programs in forks of one process; as a context it ends that process."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, str(Path(__file__)), str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, env=dict(environment), pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()

    def run(self, argv: Sequence[str], environment: Mapping[str, str], out: IO[Any], err: IO[Any], timeout: float) -> int:
        """Run a program to its end; return its exit code, negative for a signal.

        Args:
            argv: the program's file and its arguments.
            environment: all of it.
            out: an open file for its stdout.
            err: an open file for its stderr.
            timeout: seconds.

        Raises:
            TimeoutError: it did not end in time.
        """
        self._socket.settimeout(timeout)
        request = json.dumps({"argv": list(argv), "environment": dict(environment)}).encode()
        socket.send_fds(self._socket, [request], [out.fileno(), err.fileno()])
        try:
            return int(self._socket.recv(LONGEST))
        except TimeoutError:
            self._process.kill()  # and with it the program
            raise


def serve(ours: socket.socket) -> list[str] | None:
    """Answer requests; return only in a fork, with its program's words, or with None when nobody asks any more."""
    while True:
        request, descriptors, _, _ = socket.recv_fds(ours, LONGEST, 2)
        if not request:
            return None
        asked = json.loads(request)
        pid = os.fork()
        if pid == 0:
            ours.close()
            for target, descriptor in zip((1, 2), descriptors, strict=True):
                os.dup2(descriptor, target)
                os.close(descriptor)
            os.environ.clear()
            os.environ.update(asked["environment"])
            return [str(word) for word in asked["argv"]]
        for descriptor in descriptors:
            os.close(descriptor)
        ours.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from common.stopping import die_with_parent

    die_with_parent()
    # NumPy's and SciPy's algebra starts threads when it is imported.
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "2", "OPENBLAS_NUM_THREADS": "1"}
    import tensorflow  # noqa: F401

    import common.training.loop  # noqa: F401
    import models.resnet50v1_5.model  # noqa: F401

    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads cannot be forked"
    argv = serve(socket.socket(fileno=int(sys.argv[1])))
    if argv is not None:
        die_with_parent()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv, sys.path[0] = argv, str(Path(argv[0]).parent)
        runpy.run_path(argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
