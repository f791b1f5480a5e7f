"""From the command line to the exit code: flags and environment → settings → ranks → the loop."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Sequence

from common.comm import Comm, SingleComm, open_comm, place_on_this_host, under_mpirun
from common.cpu import affinity_cores, cpu_flags, quota_cores, require_bfloat16, threads_per_rank
from common.errors import TrainingError
from common.files import io_error
from common.meeting import waiting_is_told
from common.memory import keep_freed_memory
from common.output import print_whatever, say, talk
from common.placement import require_placement
from common.stopping import StopRequest, die_with_parent
from common.tensorflow_start import start_tensorflow
from common.training.configuration import read_settings
from common.training.model import Model
from mlops_launch.contract import ExitCode, start_line

OUT_OF_MEMORY = TrainingError(
    "there is not enough memory for the network and a step",
    "lower MLOPS_GLOBAL_BATCH, MLOPS_EVALUATION_BATCH or MLOPS_IMAGE_SIZE",
    ExitCode.CONFIGURATION,
)


def run(model: Model, argv: Sequence[str]) -> int:
    """Train and return the exit code; an error that ends one rank ends them all, with its code."""
    stop = StopRequest()
    stop.listen()
    if under_mpirun():
        die_with_parent()
    print_whatever()
    keep_freed_memory(os.environ)
    comm: Comm = SingleComm()
    try:
        settings = read_settings(argv, os.environ, model.settings, model.presets, model.title)
        # TensorFlow is imported only from here on: a wrong flag is answered at once.
        local_rank, local_size = place_on_this_host(os.environ)
        threads = settings.threads or threads_per_rank(local_size, quota_cores(), affinity_cores())
        has_gpu = start_tensorflow(threads, local_rank, settings.deterministic)
        if settings.precision == "bf16" and not has_gpu:
            require_bfloat16(cpu_flags(), settings.force_precision)
        with waiting_is_told(settings.comm, os.environ, talk):
            comm = open_comm(settings.comm)
        if comm.rank == 0:
            say(start_line(comm.name, comm.hosts))
        require_placement(comm.hosts, os.environ)
        from common.training.loop import train

        return train(model, settings, comm, stop, threads)
    except TrainingError as error:
        return fail(error, comm)
    except OSError as error:
        return fail(io_error(error, "continue"), comm)
    except Exception as error:
        if is_out_of_memory(error):
            return fail(OUT_OF_MEMORY, comm)
        # A defect of ours on one rank must not leave the others waiting.
        traceback.print_exc()
        comm.abort(ExitCode.FAILURE)
        raise


def is_out_of_memory(error: Exception) -> bool:
    """Return whether Python or TensorFlow could not get memory; TensorFlow was not always imported by then."""
    return isinstance(error, MemoryError) or any(kind.__name__ == "ResourceExhaustedError" for kind in type(error).__mro__)


def fail(error: TrainingError, comm: Comm) -> int:
    """Say what is wrong and end every rank with the error's code."""
    where = ""
    if comm.rank != 0:
        # The same error usually meets every rank: give rank 0 the time to say it once, for all.
        time.sleep(1)
        # Rank 0 is still there: this error is one rank's own, and its host must be known.
        where = "" if error.message.startswith("rank ") else f"rank {comm.rank} on host {comm.hosts[comm.rank]}: "
    talk(f"error: {where}{error}")
    if comm.size > 1:
        # Horovod: the others wait for this rank in a collective; without an abort they would wait forever.
        comm.abort(error.code)
    return error.code
