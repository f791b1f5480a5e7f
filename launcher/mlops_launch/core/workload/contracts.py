"""How the processes of a job find each other: what each framework reads, as pure functions of who takes part and where.

A contract is one function. A container asks for it by the variable that `CONTRACTS` names it with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mlops_launch.errors import LauncherError

_SCHEDULER: Final = "scheduler"  # of ps-lite
_EVALUATOR: Final = "evaluator"  # of TF_CONFIG: it reads checkpoints and takes no part in the cluster


@dataclass(frozen=True)
class Address:
    """Where a process listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Member:
    """One process of a job: the `index`-th of its role, from 0."""

    role: str
    index: int


# The addresses of each role's processes by their index; the roles in the order in which ranks are counted.
Group = Mapping[str, Sequence[Address]]
Contract = Callable[[Group, Member], dict[str, str]]


def hostfile(slots: Mapping[str, int]) -> str:
    r"""Return Open MPI's hostfile: a line per host with the number of ranks that it takes.

    >>> hostfile({"demo-worker-0": 2, "demo-worker-1": 2})
    'demo-worker-0 slots=2\ndemo-worker-1 slots=2\n'
    """
    return "".join(f"{host} slots={count}\n" for host, count in slots.items())


def tf_config(group: Group, member: Member) -> dict[str, str]:
    """Return TensorFlow's TF_CONFIG, as `tf.distribute.cluster_resolver.TFConfigClusterResolver` reads it.

    The roles are its task types: chief, worker, ps. An evaluator is no part of the cluster.
    """
    cluster = {role: [str(address) for address in addresses] for role, addresses in group.items() if role != _EVALUATOR and addresses}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": member.role, "index": member.index}})}


def dmlc(group: Group, member: Member) -> dict[str, str]:
    """Return the variables of ps-lite, which MXNet's distributed KVStore reads. The roles are scheduler, server and worker.

    Raises:
        LauncherError: there is not exactly one scheduler.
    """
    schedulers = group.get(_SCHEDULER, ())
    if len(schedulers) != 1:
        raise LauncherError(
            f"DMLC_* needs exactly one scheduler, found: {len(schedulers)}", "ps-lite's processes meet at it: one role `scheduler`, one pod"
        )
    return {
        "DMLC_ROLE": member.role,
        "DMLC_PS_ROOT_URI": schedulers[0].host,
        "DMLC_PS_ROOT_PORT": str(schedulers[0].port),
        "DMLC_NUM_SERVER": str(len(group.get("server", ()))),
        "DMLC_NUM_WORKER": str(len(group.get("worker", ()))),
    }


def torchrun(group: Group, member: Member) -> dict[str, str]:
    """Return what `torchrun` gives to a process, and `init_method="env://"` reads: one process per host, ranks counted over all roles."""
    master = _first(group)
    return {
        "RANK": str(rank(group, member)),
        "WORLD_SIZE": str(world_size(group)),
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "MASTER_ADDR": master.host,
        "MASTER_PORT": str(master.port),
    }


def jax(group: Group, member: Member) -> dict[str, str]:
    """Return the arguments of `jax.distributed.initialize`, as Kubeflow Trainer gives them; JAX itself reads the first."""
    return {
        "JAX_COORDINATOR_ADDRESS": str(_first(group)),
        "JAX_NUM_PROCESSES": str(world_size(group)),
        "JAX_PROCESS_ID": str(rank(group, member)),
    }


# The variable by which a container asks for a contract.
CONTRACTS: Final[Mapping[str, Contract]] = {
    "TF_CONFIG": tf_config,
    "DMLC_ROLE": dmlc,
    "RANK": torchrun,
    "JAX_COORDINATOR_ADDRESS": jax,
}


def environment(asked: Collection[str], group: Group, member: Member) -> dict[str, str]:
    """Return the variables of the contracts that a container asks for.

    Args:
        asked: the names of the container's variables.
        group: who takes part.
        member: whose variables.

    Raises:
        LauncherError: the group does not fit a contract.
    """
    found: dict[str, str] = {}
    for variable, contract in CONTRACTS.items():
        if variable in asked:
            found |= contract(group, member)
    return found


def world_size(group: Group) -> int:
    """Return the number of processes."""
    return sum(len(addresses) for addresses in group.values())


def rank(group: Group, member: Member) -> int:
    """Return the number of a process among all, from 0: role by role."""
    before = list(group)[: list(group).index(member.role)]
    return sum(len(group[role]) for role in before) + member.index


def _first(group: Group) -> Address:
    return next(address for addresses in group.values() for address in addresses)
