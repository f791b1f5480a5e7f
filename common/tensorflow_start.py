"""TensorFlow's start: this rank's share of threads, its GPU, and no log lines about nothing."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Information that TensorFlow's C++ parts print to stderr whatever TF_CPP_MIN_LOG_LEVEL says.
_NOISE = re.compile(rb"I\d{4} |WARNING: All log messages before absl::InitializeLog\(\)|To enable the following instructions:")


def start_tensorflow(threads: int, local_rank: int = 0, deterministic: bool = False) -> bool:
    """Import TensorFlow before anything of it runs; return whether this rank has a GPU.

    Args:
        threads: for its operations on the CPU.
        local_rank: this rank's number on its host.
        deterministic: allow only operations that give the same bits each time.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    _forget_keras_settings()
    with _without_noise():
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(2)
        if deterministic:
            tf.config.experimental.enable_op_determinism()
        gpus = tf.config.list_physical_devices("GPU")
        if gpus:
            # Horovod: a GPU a rank, or every rank would take the memory of all of them.
            own = gpus[local_rank % len(gpus)]
            tf.config.set_visible_devices(own, "GPU")
            tf.config.experimental.set_memory_growth(own, True)
        tf.constant(0)
    return bool(gpus)


def _forget_keras_settings() -> None:
    """Leave out a person's settings of Keras, in ~/.keras/keras.json or in the environment.

    Horovod imports Keras, and the training does not use it: no setting of it may change the training or end it.
    """
    for name in [name for name in os.environ if name.startswith("KERAS_") or name == "TF_USE_LEGACY_KERAS"]:
        del os.environ[name]
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # A folder that cannot exist: no file is read there, and none written.
    os.environ["KERAS_HOME"] = os.path.join(os.devnull, "keras")


@contextmanager
def _without_noise() -> Iterator[None]:
    """Hold back what is written to file descriptor 2 meanwhile, then hand on all of it but the noise."""
    sys.stderr.flush()
    stderr = os.dup(2)
    # In memory: a container may have no folder that can be written.
    with open(os.memfd_create("stderr"), "w+b") as held:
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
