"""The variables of a training: restored from a checkpoint, averaged over ranks, saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from common.checkpoint import Checkpoint, Checkpoints
from common.comm import Comm, average_variables
from common.errors import TrainingError
from common.training.model import Network
from mlops_launch.contract import ExitCode

START_ANEW = "start anew in another OUTPUT_DIR, with a lower MLOPS_BASE_LEARNING_RATE or a longer warm-up"


class State:
    """What a checkpoint holds.

    Args:
        network: its weights and statistics.
        momentum: of each weight.
        checkpoints: of the output folder.
        comm: the ranks.
    """

    def __init__(self, network: Network, momentum: Mapping[str, Any], checkpoints: Checkpoints, comm: Comm) -> None:
        groups = {"weights": network.weights, "momentum": momentum, "statistics": network.statistics}
        self._variables = {f"{group}/{name}": variable for group, named in groups.items() for name, variable in named.items()}
        self._statistics = list(network.statistics.values())
        self._checkpoints, self._comm = checkpoints, comm

    def restore(self) -> int:
        """Load the newest whole checkpoint on every rank; return the step it was taken after, 0 without one."""
        found = self._checkpoints.newest() if self._comm.rank == 0 else None
        step: int = self._comm.broadcast_object(0 if found is None else found.step)
        if found is not None:
            self._require_fit(found)
            for name, variable in self._variables.items():
                variable.assign(found.tensors[name])
        # Horovod: all ranks start from rank 0's values, restored or initial.
        self._comm.broadcast(list(self._variables.values()))
        return step

    def _require_fit(self, found: Checkpoint) -> None:
        """Refuse a checkpoint of other code: the configuration is the same, the network is not."""
        ours = {name: tuple(variable.shape) for name, variable in self._variables.items()}
        theirs = {name: tensor.shape for name, tensor in found.tensors.items()}
        if different := sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)):
            raise TrainingError(
                f"checkpoint {found.path.name} is of another network, {len(different)} tensors differ, the first: {different[0]}",
                "use the code that wrote it, or set another OUTPUT_DIR to start anew",
                ExitCode.CONFIGURATION,
            )

    def average(self) -> None:
        """Give every rank the mean over ranks of the network's statistics, which each rank moves by its own images."""
        average_variables(self._comm, self._statistics)

    def save(self, step: int) -> None:
        """Write the checkpoint after `step`, with the statistics averaged over ranks.

        Raises:
            TrainingError: a value is not finite (70), or the checkpoint cannot be written.
        """
        self.average()
        if self._comm.rank == 0:
            tensors = {name: variable.numpy() for name, variable in self._variables.items()}
            require_finite(tensors, step)
            self._checkpoints.save(step, tensors)


def require_finite(tensors: Mapping[str, npt.NDArray[Any]], step: int) -> None:
    """Raise for values from which no step and no evaluation can be computed.

    Raises:
        TrainingError: a value is not finite, or so large that its square is not (70).
    """
    for name, tensor in tensors.items():
        flat = tensor.ravel()
        with np.errstate(over="ignore", invalid="ignore"):
            # One pass without a copy; not finite where one value is not.
            finite = bool(np.isfinite(np.dot(flat, flat)))
        if not finite:
            raise TrainingError(f"{name} is not finite after step {step}, no checkpoint is written", START_ANEW, ExitCode.DIVERGED)
