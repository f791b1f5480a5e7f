"""Rules over mpirun, the MPIJob and the variables of the ranks.

Each case is one mistake in an overlay that has none, and all that `check` says about it.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.overlays import Objects, container, findings, first_lines, golden


def setenv(objects: Objects, role: str, **variables: str) -> None:
    container(objects, role)["env"] += [{"name": name, "value": value} for name, value in variables.items()]


def delenv(objects: Objects, role: str, *names: str) -> None:
    container(objects, role)["env"] = [entry for entry in container(objects, role)["env"] if entry["name"] not in names]


def args(objects: Objects, *words: str) -> None:
    """Put words behind mpirun."""
    container(objects, "Launcher")["args"][1:1] = words


(MLOPS_ENV,) = (o["metadata"]["name"] for o in golden("multi-node") if o["metadata"]["name"].startswith("mlops-env"))

CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a command without mpirun": (
        dict(change=lambda o: container(o, "Launcher").update(args=["sleep", "1"])),
        [
            "error mpirun-missing mlops-job-patch.yaml:16 the Launcher's command starts no mpirun: python3 "
            "'$(MODEL_DIR)/common/entrypoint/launcher.py' sleep 1"
        ],
    ),
    "no hostfile": (
        dict(change=lambda o: delenv(o, "Launcher", "PRTE_MCA_prte_default_hostfile")),
        ["error mpi-hostfile mlops-job-patch.yaml:16 mpirun gets no hostfile, so every rank would start in the launcher pod"],
    ),
    "the names of Open MPI 4 alone": (
        dict(
            change=lambda o: (
                delenv(o, "Launcher", "PRTE_MCA_prte_default_hostfile", "PRTE_MCA_plm_ssh_args"),
                setenv(o, "Launcher", OMPI_MCA_orte_default_hostfile="/etc/mpi/hostfile", OMPI_MCA_plm_rsh_args="-p 2222"),
            )
        ),
        [
            "error mpi-hostfile mlops-job-patch.yaml:16 mpirun gets no hostfile, so every rank would start in the launcher pod",
            "error mpi-old-name mlops-job-patch.yaml:16 Open MPI 5 does not read this name: OMPI_MCA_orte_default_hostfile",
            "error mpi-old-name mlops-job-patch.yaml:16 Open MPI 5 does not read this name: OMPI_MCA_plm_rsh_args",
        ],
    ),
    "a number of ranks": (
        dict(change=lambda o: args(o, "-np", "2")),
        ["error mpi-count mlops-job-patch.yaml:16 mpirun is given a number of ranks: -np"],
    ),
    "the default binding": (
        dict(change=lambda o: delenv(o, "Launcher", "PRTE_MCA_hwloc_default_binding_policy")),
        ["warning mpi-binding mlops-job-patch.yaml:16 mpirun binds the ranks to cores: the default, one core per rank"],
    ),
    "ranks bound to cores": (
        dict(change=lambda o: args(o, "--bind-to", "core")),
        ["warning mpi-binding mlops-job-patch.yaml:16 mpirun binds the ranks to cores: core"],
    ),
    "mpirun as root by an option": (
        dict(change=lambda o: args(o, "--allow-run-as-root")),
        ["error mpi-root mlops-job-patch.yaml:16 mpirun is allowed to run as root: --allow-run-as-root"],
    ),
    "mpirun as root by a variable": (
        dict(change=lambda o: setenv(o, "Launcher", OMPI_ALLOW_RUN_AS_ROOT="1")),
        ["error mpi-root mlops-job-patch.yaml:16 mpirun is allowed to run as root: OMPI_ALLOW_RUN_AS_ROOT"],
    ),
    "finished workers stay": (
        dict(change=lambda o: o["MPIJob"]["spec"]["runPolicy"].update(cleanPodPolicy="None")),
        ["warning mpi-clean-pods mlops-job-patch.yaml:5 finished workers stay and keep their GPUs: cleanPodPolicy None"],
    ),
    "no cleanPodPolicy": (
        dict(change=lambda o: o["MPIJob"]["spec"]["runPolicy"].pop("cleanPodPolicy")),
        ["warning mpi-clean-pods mlops-job-patch.yaml:5 finished workers stay and keep their GPUs: cleanPodPolicy is not set"],
    ),
    "no backoffLimit": (
        dict(change=lambda o: o["MPIJob"]["spec"]["runPolicy"].pop("backoffLimit")),
        ["warning mpi-backoff mlops-job-patch.yaml:5 Kubernetes would start a failed launcher again: backoffLimit 6, the default"],
    ),
    "no sshAuthMountPath": (
        dict(change=lambda o: o["MPIJob"]["spec"].pop("sshAuthMountPath")),
        ["error mpi-ssh-path mlops-job-patch.yaml:5 `sshAuthMountPath` is not in the user's home /home/mlops: /root/.ssh"],
    ),
    "no launcherCreationPolicy": (
        dict(change=lambda o: o["MPIJob"]["spec"].pop("launcherCreationPolicy")),
        ["warning mpi-creation-policy mlops-job-patch.yaml:5 the launcher starts before the workers are ready: AtStartup"],
    ),
    "gang scheduling that would deadlock": (
        dict(change=lambda o: o["MPIJob"]["spec"]["runPolicy"].update(schedulingPolicy={"queue": "q"})),
        ["warning mpi-creation-policy mlops-job-patch.yaml:5 gang scheduling and launcher wait for each other: minAvailable is not set"],
    ),
    "more than 64 workers": (
        dict(
            change=lambda o: (
                o["MPIJob"]["spec"]["mpiReplicaSpecs"]["Worker"].update(replicas=65),
                setenv(o, "Launcher", MLOPS_GLOBAL_BATCH="130"),
            )
        ),
        ["warning mpi-many-workers mlops-job-patch.yaml:26 ssh through a tree of workers can hang above 64 workers: 65"],
    ),
    "variables of the container that are not exported": (
        dict(change=lambda o: setenv(o, "Launcher", NCCL_DEBUG="INFO", PEPPER="1")),
        [
            "error variable-not-exported mlops-job-patch.yaml:16 the variable does not reach the ranks: NCCL_DEBUG",
            "error variable-not-exported mlops-job-patch.yaml:16 the variable does not reach the ranks: PEPPER",
        ],
    ),
    "a variable of mlops.env that is not exported": (
        dict(env=("MLOPS_PRESET=demo", "MLOPS_PRESET=demo\nNCCL_DEBUG=INFO")),
        ["error variable-not-exported mlops.env:14 the variable does not reach the ranks: NCCL_DEBUG"],
    ),
    "an export that was removed": (
        dict(change=lambda o: container(o, "Launcher").update(args=[w for w in container(o, "Launcher")["args"] if w != "OUTPUT_DIR"])),
        ["error variable-not-exported mlops.env:9 the variable does not reach the ranks: OUTPUT_DIR"],
    ),
    "a ConfigMap without its hash": (
        dict(change=lambda o: container(o)["envFrom"][0]["configMapRef"].update(name="mlops-env")),
        [f"error reference-renamed mlops-job-patch.yaml:28 Worker names the ConfigMap mlops-env, which is rendered as: {MLOPS_ENV}"],
    ),
}


@pytest.mark.parametrize("mistake", CASES)
def test_a_mistake_is_named(mistake: str) -> None:
    overlay, expected = CASES[mistake]
    assert first_lines(findings(**overlay)) == expected
