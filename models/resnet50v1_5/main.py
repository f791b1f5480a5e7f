#!/usr/bin/env python3
"""Train ResNet-50 v1.5: flags and environment to a configuration, ranks, then `train`.

One process:   python3 models/resnet50v1_5/main.py --preset demo --dataset-dir DIR --output-dir DIR
Two ranks:     mpirun -n 2 --bind-to none python3 models/resnet50v1_5/main.py --preset demo …
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path

# The folder that holds common/ and models/: this file is run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from common.comm import Comm, SingleComm, open_comm, place_on_this_host, under_mpirun
from common.cpu import affinity_cores, cpu_flags, quota_cores, require_bfloat16, threads_per_rank
from common.errors import TrainingError
from common.output import io_error, say, talk
from common.placement import require_placement
from common.stopping import StopRequest, die_with_parent
from common.tensorflow_start import start_tensorflow
from mlops_launch.contract import ExitCode, start_line
from models.resnet50v1_5.config import read_config


def main(argv: list[str]) -> int:
    """Train and return the exit code; an error that ends one rank ends them all, with its code."""
    stop = StopRequest()
    stop.listen()
    if under_mpirun():
        die_with_parent()
    comm: Comm = SingleComm()
    try:
        config = read_config(argv, os.environ)
        # TensorFlow is imported only from here on: a wrong flag is answered at once.
        local_rank, local_size = place_on_this_host(os.environ)
        threads = config.threads or threads_per_rank(local_size, quota_cores(), affinity_cores())
        has_gpu = start_tensorflow(threads, local_rank, config.deterministic)
        if config.precision == "bf16" and not has_gpu:
            require_bfloat16(cpu_flags(), config.force_precision)
        comm = open_comm(config.comm)
        if comm.rank == 0:
            say(start_line(comm.name, comm.hosts))
        require_placement(comm.hosts, os.environ)
        from models.resnet50v1_5.train import train

        return train(config, comm, stop, threads)
    except TrainingError as error:
        return fail(error, comm)
    except OSError as error:
        return fail(io_error(error, "go on"), comm)
    except Exception:
        # A defect of ours on one rank must not leave the others waiting.
        traceback.print_exc()
        comm.abort(ExitCode.FAILURE)
        raise


def fail(error: TrainingError, comm: Comm) -> int:
    """Say what is wrong and end every rank with the error's code."""
    if comm.rank != 0:
        # The same error usually meets every rank: give rank 0 the time to say it once, for all.
        time.sleep(1)
    talk(f"error: {error}")
    if comm.size > 1:
        # Horovod: the others wait for this rank in a collective; without an abort they would wait for ever.
        comm.abort(error.code)
    return error.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
