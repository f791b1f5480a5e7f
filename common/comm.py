"""Ranks talking to each other: Horovod, mpi4py, or one process alone. Passed as an argument, never a global."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from common.errors import TrainingError
from common.output import hand_over
from mlops_launch.contract import ExitCode

Float32 = npt.NDArray[np.float32]

# mpi4py reduces the gradients in pieces of this size: one buffer for all 102 MB of a ResNet-50 took 252 ms
# where pieces of 25 MB took 101 ms (two ranks, one host).
BUCKET_BYTES = 25 * 2**20


class Comm(Protocol):
    """What a training needs of its ranks.

    `sum_tensors` may be called inside a `tf.function`; everything else is called between steps.
    """

    name: str
    rank: int
    size: int
    hosts: list[str]

    def sum_tensors(self, tensors: Sequence[Any]) -> list[Any]:
        """Return each float32 tensor summed over all ranks; shapes are unchanged and equal on all ranks."""

    def broadcast(self, variables: Sequence[Any]) -> None:
        """Give every rank the values that rank 0's TensorFlow variables hold."""

    def broadcast_object(self, value: Any) -> Any:
        """Return rank 0's `value` on every rank."""

    def gather_object(self, value: Any) -> list[Any]:
        """Return every rank's `value`, in rank order, on every rank."""

    def sum_array(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return a float64 array summed over all ranks."""

    def barrier(self) -> None:
        """Wait until every rank is here."""

    def abort(self, code: int) -> None:
        """End all ranks now, with this exit code; does not return."""


def local_rank(comm: Comm) -> int:
    """Return the number of lower ranks on this rank's host."""
    return comm.hosts[: comm.rank].count(comm.hosts[comm.rank])


def place_on_this_host(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return (rank on this host, ranks on this host) as Open MPI tells them before any rank has talked; (0, 1) without mpirun."""
    return int(environment.get("OMPI_COMM_WORLD_LOCAL_RANK", "0")), int(environment.get("OMPI_COMM_WORLD_LOCAL_SIZE", "1"))


class SingleComm:
    """One process: the twin of the others that does nothing."""

    name = "single"
    rank = 0
    size = 1

    def __init__(self) -> None:
        self.hosts = [socket.gethostname()]

    def sum_tensors(self, tensors: Sequence[Any]) -> list[Any]:
        return list(tensors)

    def broadcast(self, variables: Sequence[Any]) -> None:
        pass

    def broadcast_object(self, value: Any) -> Any:
        return value

    def gather_object(self, value: Any) -> list[Any]:
        return [value]

    def sum_array(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return values

    def barrier(self) -> None:
        pass

    def abort(self, code: int) -> None:
        _exit(code)


class MpiComm:
    """Plain MPI through mpi4py, for machines where Horovod could not be built."""

    name = "mpi4py"

    def __init__(self) -> None:
        from mpi4py import MPI

        self._mpi = MPI
        self._world = MPI.COMM_WORLD
        self.rank = self._world.Get_rank()
        self.size = self._world.Get_size()
        self.hosts = self._world.allgather(socket.gethostname())

    def sum_tensors(self, tensors: Sequence[Any]) -> list[Any]:
        import tensorflow as tf

        summed = tf.numpy_function(self._sum_arrays, list(tensors), [tensor.dtype for tensor in tensors], stateful=True)
        for result, tensor in zip(summed, tensors, strict=True):
            result.set_shape(tensor.shape)
        return list(summed)

    def _sum_arrays(self, *arrays: Float32) -> list[Float32]:
        # The arrays may be TensorFlow's own buffers, so the sums are written into new ones.
        summed = list(arrays)
        for bucket in buckets([array.nbytes for array in arrays], BUCKET_BYTES):
            flat = np.concatenate([arrays[position].ravel() for position in bucket])
            self._world.Allreduce(self._mpi.IN_PLACE, flat)
            ends = np.cumsum([arrays[position].size for position in bucket])
            for position, piece in zip(bucket, np.split(flat, ends[:-1]), strict=True):
                summed[position] = piece.reshape(arrays[position].shape)
        return summed

    def broadcast(self, variables: Sequence[Any]) -> None:
        for variable in variables:
            value = np.ascontiguousarray(variable.numpy())
            self._world.Bcast(value, root=0)
            if self.rank != 0:
                variable.assign(value)

    def broadcast_object(self, value: Any) -> Any:
        return self._world.bcast(value, root=0)

    def gather_object(self, value: Any) -> list[Any]:
        return list(self._world.allgather(value))

    def sum_array(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        total = np.empty_like(values)
        self._world.Allreduce(np.ascontiguousarray(values), total)
        return total

    def barrier(self) -> None:
        self._world.Barrier()

    def abort(self, code: int) -> None:
        hand_over()
        self._world.Abort(code)


class HorovodComm:
    """Horovod's fused ring reduction."""

    name = "horovod"

    def __init__(self) -> None:
        import horovod.tensorflow as hvd

        self._hvd = hvd
        # Horovod: init starts MPI and the background thread that reduces.
        hvd.init()
        self.rank = hvd.rank()
        self.size = hvd.size()
        self.hosts = hvd.allgather_object(socket.gethostname(), name="hosts") if self.size > 1 else [socket.gethostname()]

    def sum_tensors(self, tensors: Sequence[Any]) -> list[Any]:
        # Horovod: one group, so that all gradients travel in few large messages (89 ms against 283 ms one by one).
        return list(self._hvd.grouped_allreduce(list(tensors), op=self._hvd.Sum))

    def broadcast(self, variables: Sequence[Any]) -> None:
        # Horovod: rank 0's values everywhere, so that all ranks start from the same weights. On the values, because
        # Horovod 0.28 knows no Keras 3 variables.
        for position, variable in enumerate(variables):
            variable.assign(self._hvd.broadcast(variable.value(), root_rank=0, name=f"broadcast.{position}"))

    def broadcast_object(self, value: Any) -> Any:
        return self._hvd.broadcast_object(value, root_rank=0) if self.size > 1 else value

    def gather_object(self, value: Any) -> list[Any]:
        return list(self._hvd.allgather_object(value, name="gather_object")) if self.size > 1 else [value]

    def sum_array(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        total: npt.NDArray[np.float64] = self._hvd.allreduce(values, op=self._hvd.Sum, name="sum_array").numpy()
        return total

    def barrier(self) -> None:
        # Horovod: its TensorFlow module has no barrier; a sum ends nowhere before it has begun everywhere.
        self.sum_array(np.zeros(1))

    def abort(self, code: int) -> None:
        hand_over()
        try:
            # Horovod: it has no abort of its own; mpi4py works on the same MPI without starting it again.
            import mpi4py

            mpi4py.rc.initialize = False
            mpi4py.rc.finalize = False
            from mpi4py import MPI

            MPI.COMM_WORLD.Abort(code)
        except ImportError:
            _exit(code)


def average_variables(comm: Comm, variables: Sequence[Any]) -> None:
    """Give every rank the mean over all ranks of each float32 variable."""
    if comm.size == 1 or not variables:
        return
    for variable, total in zip(variables, comm.sum_tensors([variable.value() for variable in variables]), strict=True):
        variable.assign(total / comm.size)


def buckets(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Return the positions of `sizes` (bytes) in groups, in order, each of at most `limit` bytes or of one position.

    >>> buckets([10, 10, 30, 5], limit=20)
    [[0, 1], [2], [3]]
    """
    groups: list[list[int]] = []
    filled = 0
    for position, size in enumerate(sizes):
        if not groups or filled + size > limit:
            groups.append([])
            filled = 0
        groups[-1].append(position)
        filled += size
    return groups


def under_mpirun() -> bool:
    """Return whether mpirun started this process (Open MPI and PMIx name the world in the environment)."""
    return any(name in os.environ for name in ("OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"))


def open_comm(kind: str) -> Comm:
    """Return the ranks of this training; `kind` is `auto`, `horovod`, `mpi4py` or `single`.

    `auto` is one process only where mpirun did not start it: a silent fall-back would train as many
    models side by side as there are ranks.

    Raises:
        TrainingError: the library for `kind` cannot be imported, or one process was asked for beside others (78).
    """
    ranks = os.environ.get("OMPI_COMM_WORLD_SIZE", "1")
    if kind == "single" and ranks != "1":
        raise TrainingError(
            f"one process alone was asked for, but mpirun has started ranks: {ranks}", "set MLOPS_COMM=auto", ExitCode.CONFIGURATION
        )
    if kind == "single" or (kind == "auto" and not under_mpirun()):
        return SingleComm()
    try:
        if kind in ("auto", "horovod"):
            return HorovodComm()
    except ImportError as error:
        # Horovod that is not there leaves `auto` the other library; Horovod that is there and fails is somebody's mistake.
        if kind == "horovod" or importlib.util.find_spec("horovod") is not None:
            raise TrainingError(
                f"Horovod cannot be imported: {error}",
                "build it with `tools/horovod_wheel.py`, or set MLOPS_COMM=mpi4py",
                ExitCode.CONFIGURATION,
            ) from error
    try:
        return MpiComm()
    except ImportError as error:
        raise TrainingError(f"mpi4py cannot be imported: {error}", "`pip install 'mlops-launch[train]'`", ExitCode.CONFIGURATION) from error


def _exit(code: int) -> None:
    hand_over()
    os._exit(code)
