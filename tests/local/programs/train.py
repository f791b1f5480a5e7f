"""A training in small for tests of the engine: ranks under the real mpirun take steps together, save, resume.

Reads OUTPUT_DIR and, all optional: MLOPS_TEST_STEPS (30), MLOPS_TEST_STEP_S (0.05), MLOPS_TEST_EXIT (exit code at
the end), MLOPS_TEST_FAIL_ONCE (exit code at half way of the first run), MLOPS_TEST_DEAF (ignores signals).
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # as the trainer's ranks do: none outlives its mpirun
asked = []
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, signal.SIG_IGN if "MLOPS_TEST_DEAF" in os.environ else lambda number, frame: asked.append(number))

from mpi4py import MPI  # noqa: E402

comm = MPI.COMM_WORLD
output = Path(os.environ["OUTPUT_DIR"])
output.mkdir(parents=True, exist_ok=True)
checkpoint = output / "step"
steps = int(os.environ.get("MLOPS_TEST_STEPS", "30"))
step = comm.bcast(int(checkpoint.read_text()) if comm.rank == 0 and checkpoint.exists() else 0)
resumed = step > 0


def say(text: str) -> None:
    if comm.rank == 0:
        print(text, flush=True)


def save() -> None:
    if comm.rank == 0:
        checkpoint.write_text(str(step))


hosts = comm.allgather(MPI.Get_processor_name())
say(f"start comm=mpi4py world_size={comm.size} ranks={','.join(f'{rank}:{host}' for rank, host in enumerate(hosts))}")
say(f"resume step={step}" if resumed else "anew")
while step < steps:
    time.sleep(float(os.environ.get("MLOPS_TEST_STEP_S", "0.05")))
    step += 1
    say(f"step={step}/{steps} epoch=1 loss={2 / step:.4f} top1={step / steps:.4f} lr=0.1000 images_per_s=12.5 eta_s={steps - step}")
    save()
    if comm.allreduce(len(asked)):
        say(f"saved step={step}")
        comm.Barrier()
        sys.exit(143)
    if not resumed and step == steps // 2 and "MLOPS_TEST_FAIL_ONCE" in os.environ:
        comm.Barrier()
        sys.exit(int(os.environ["MLOPS_TEST_FAIL_ONCE"]))
say(f"result top1=1.0000 step={step} world_size={comm.size}")
comm.Barrier()
sys.exit(int(os.environ.get("MLOPS_TEST_EXIT", "0")))
