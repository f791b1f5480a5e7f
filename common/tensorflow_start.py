"""TensorFlow's start: this rank's share of threads, and no log lines about nothing."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# Information that TensorFlow's C++ parts print to stderr whatever TF_CPP_MIN_LOG_LEVEL says.
_NOISE = re.compile(rb"I\d{4} |WARNING: All log messages before absl::InitializeLog\(\)|To enable the following instructions:")


def start_tensorflow(threads: int, deterministic: bool) -> None:
    """Import TensorFlow with `threads` threads for its operations, before anything of it runs.

    With `deterministic`, only operations that give the same bits each time are allowed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _without_noise():
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(2)
        if deterministic:
            tf.config.experimental.enable_op_determinism()
        tf.constant(0)


@contextmanager
def _without_noise() -> Iterator[None]:
    """Hold back what is written to file descriptor 2 meanwhile, then hand on all of it but the noise."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if not _NOISE.match(line):
                    os.write(2, line)
