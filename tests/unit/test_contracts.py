"""Environment contracts: what frameworks read, compared with the formats that they publish."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_launch.core.workload.contracts import CONTRACTS, Address, Member, dmlc, environment, hostfile, jax, rank, tf_config, torchrun
from mlops_launch.errors import LauncherError


def hosts(role: str, count: int, port: int) -> list[Address]:
    return [Address(f"demo-{role}-{index}-0.demo", port) for index in range(count)]


PARAMETER_SERVERS = {"chief": hosts("chief", 1, 2222), "worker": hosts("worker", 2, 2222), "ps": hosts("ps", 2, 2222)}
KVSTORE = {"scheduler": hosts("scheduler", 1, 9091), "server": hosts("server", 1, 9091), "worker": hosts("worker", 2, 9091)}
PEERS = {"worker": hosts("worker", 3, 29500)}


def test_a_hostfile_has_a_line_per_host() -> None:
    assert hostfile({"demo-worker-0": 2, "demo-worker-1": 1}) == "demo-worker-0 slots=2\ndemo-worker-1 slots=1\n"
    assert hostfile({}) == ""


def test_tf_config_is_tensorflows() -> None:
    # The form of https://www.tensorflow.org/guide/distributed_training#TF_CONFIG.
    found = tf_config(PARAMETER_SERVERS, Member("ps", 1))
    assert {name: json.loads(text) for name, text in found.items()} == {
        "TF_CONFIG": {
            "cluster": {
                "chief": ["demo-chief-0-0.demo:2222"],
                "worker": ["demo-worker-0-0.demo:2222", "demo-worker-1-0.demo:2222"],
                "ps": ["demo-ps-0-0.demo:2222", "demo-ps-1-0.demo:2222"],
            },
            "task": {"type": "ps", "index": 1},
        }
    }


def test_an_evaluator_of_tensorflow_and_an_empty_role_are_no_part_of_the_cluster() -> None:
    group = {"chief": hosts("chief", 1, 1), "ps": [], "evaluator": hosts("evaluator", 1, 1)}
    assert json.loads(tf_config(group, Member("evaluator", 0))["TF_CONFIG"]) == {
        "cluster": {"chief": ["demo-chief-0-0.demo:1"]},
        "task": {"type": "evaluator", "index": 0},
    }


@pytest.mark.parametrize(("role", "index"), [("scheduler", 0), ("server", 0), ("worker", 1)])
def test_dmlc_is_ps_lites(role: str, index: int) -> None:
    # https://mxnet.apache.org/versions/1.9.1/api/faq/distributed_training: Manually Launching Jobs
    assert dmlc(KVSTORE, Member(role, index)) == {
        "DMLC_ROLE": role,
        "DMLC_PS_ROOT_URI": "demo-scheduler-0-0.demo",
        "DMLC_PS_ROOT_PORT": "9091",
        "DMLC_NUM_SERVER": "1",
        "DMLC_NUM_WORKER": "2",
    }


def test_a_kvstore_may_lack_servers_and_workers() -> None:
    found = dmlc({"scheduler": hosts("scheduler", 1, 9091)}, Member("scheduler", 0))
    assert (found["DMLC_NUM_SERVER"], found["DMLC_NUM_WORKER"]) == ("0", "0")


@pytest.mark.parametrize("count", [0, 2])
def test_a_kvstore_has_exactly_one_scheduler(count: int) -> None:
    with pytest.raises(LauncherError) as caught:
        dmlc({"scheduler": hosts("scheduler", count, 1), "worker": hosts("worker", 1, 1)}, Member("worker", 0))
    assert caught.value.message == f"DMLC_* needs exactly one scheduler, found: {count}"


def test_torchrun_gives_ranks_one_per_host() -> None:
    # https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables
    assert torchrun(PEERS, Member("worker", 2)) == {
        "RANK": "2",
        "WORLD_SIZE": "3",
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "MASTER_ADDR": "demo-worker-0-0.demo",
        "MASTER_PORT": "29500",
    }


def test_jax_gets_the_arguments_of_initialize() -> None:
    assert jax(PEERS, Member("worker", 1)) == {
        "JAX_COORDINATOR_ADDRESS": "demo-worker-0-0.demo:29500",
        "JAX_NUM_PROCESSES": "3",
        "JAX_PROCESS_ID": "1",
    }


def test_a_container_gets_what_it_asks_for_and_nothing_else() -> None:
    assert environment(["PATH", "WORLD_SIZE"], PEERS, Member("worker", 0)) == {}
    assert environment(["RANK", "JAX_COORDINATOR_ADDRESS"], PEERS, Member("worker", 1)) == {
        **torchrun(PEERS, Member("worker", 1)),
        **jax(PEERS, Member("worker", 1)),
    }
    assert all(variable in contract(KVSTORE, Member("worker", 0)) for variable, contract in CONTRACTS.items())


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(0, 4), min_size=1).filter(lambda counts: sum(counts.values()) > 0))
def test_ranks_count_every_process_once_and_rank_0_is_the_master(counts: dict[str, int]) -> None:
    group = {role: hosts(role, count, 1) for role, count in counts.items()}
    members = [Member(role, index) for role, count in counts.items() for index in range(count)]
    assert [rank(group, member) for member in members] == list(range(len(members)))
    first = torchrun(group, members[0])
    assert (first["RANK"], first["MASTER_ADDR"]) == ("0", group[members[0].role][0].host)
    assert {torchrun(group, member)["MASTER_ADDR"] for member in members} == {first["MASTER_ADDR"]}
    assert {jax(group, member)["JAX_NUM_PROCESSES"] for member in members} == {str(len(members))}
