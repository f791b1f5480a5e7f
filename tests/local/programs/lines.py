"""Rank 0 prints MLOPS_TEST_LINES numbered lines as fast as it can, the last one without a line end."""

import os
import sys

from mpi4py import MPI

if MPI.COMM_WORLD.rank == 0:
    count = int(os.environ["MLOPS_TEST_LINES"])
    sys.stdout.write("\n".join(f"line {number} of a training that says much" for number in range(count)))
    sys.stdout.flush()
MPI.COMM_WORLD.Barrier()
