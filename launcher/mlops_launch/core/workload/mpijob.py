"""The kind MPIJob of mpi-operator: one Launcher that runs mpirun, and Workers that it reaches by ssh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mlops_launch import contract
from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.causes import Cause
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.path import Path
from mlops_launch.core.workload import contracts
from mlops_launch.core.workload.model import Here, OneHost, Role, Workload, is_integer, mapping
from mlops_launch.errors import UsageError

LAUNCHER, WORKER = "Launcher", "Worker"
OPERATOR_S: Final = 15.0  # of silence of the operator, until that is worth a word

_ROLE_LABEL: Final = "training.kubeflow.org/job-role"
_OPERATOR_HINT: Final = (
    "is mpi-operator running? `kubectl -n mpi-operator get pods`, and `kubectl -n mpi-operator logs deploy/mpi-operator`"
)
_REPLICAS: Final = ("spec", "mpiReplicaSpecs")
_REPLICA_FIELDS: Final = "replicas template restartPolicy"


class MPIJob:
    """Implements `kinds.Kind`."""

    name = "MPIJob"
    api_version = "kubeflow.org/v2beta1"
    installed_by = "k8s/mpi-operator"
    needs = (LAUNCHER, WORKER)
    pod_label = "training.kubeflow.org/job-name"
    main_selector = f"{_ROLE_LABEL}=launcher"
    edits: Mapping[str, Path] = {"workers": (*_REPLICAS, WORKER, "replicas"), "slots": ("spec", "slotsPerWorker")}
    fields: Mapping[Path, str] = {
        ("spec",): (
            "slotsPerWorker runLauncherAsWorker runPolicy mpiReplicaSpecs sshAuthMountPath launcherCreationPolicy mpiImplementation"
        ),
        ("spec", "runPolicy"): (
            "cleanPodPolicy ttlSecondsAfterFinished activeDeadlineSeconds backoffLimit schedulingPolicy suspend managedBy"
        ),
        _REPLICAS: f"{LAUNCHER} {WORKER}",
        (*_REPLICAS, LAUNCHER): _REPLICA_FIELDS,
        (*_REPLICAS, WORKER): _REPLICA_FIELDS,
    }
    goes_before: Mapping[str, Sequence[str]] = {
        "slotsPerWorker": ("runPolicy", "sshAuthMountPath", "launcherCreationPolicy", "mpiReplicaSpecs"),
        LAUNCHER: (WORKER,),
        "replicas": ("restartPolicy", "template"),
    }

    def roles(self, manifest: Object) -> tuple[Role, ...]:
        """Return the Launcher and the Worker, as far as they are there."""
        replicas = mapping(mapping(manifest.get("spec")).get("mpiReplicaSpecs"))
        return tuple(_role(name, mapping(replicas[name])) for name in self.needs if name in replicas)

    def is_main(self, manifest: Object, pod: Object) -> bool:
        """Return whether it is a launcher."""
        return self.role_of(pod) == LAUNCHER

    def is_sized(self, role: str) -> bool:
        """Return whether it is the Worker, where the ranks are."""
        return role == WORKER

    def pod_path(self, role: str) -> Path:
        """Return the path of a role's pod spec."""
        return (*_REPLICAS, role, "template", "spec")

    def base_container(self, role: str) -> str:
        """Return the name that the base gives a role's container."""
        return role.lower()

    def role_of(self, pod: Object) -> str:
        """Return what the operator's label says."""
        return str(facts.labels(pod).get(_ROLE_LABEL, "")).capitalize()

    def index_of(self, pod: Object) -> int:
        """Return what the operator's label says; 0 for a launcher."""
        text = str(facts.labels(pod).get("training.kubeflow.org/replica-index", ""))
        return int(text) if text.isascii() and text.isdigit() else 0

    def owns(self, uid: str, pod: Object) -> bool:
        """Return whether a pod is a worker of this job, or a launcher, which the job's Job owns."""
        # `run` starts when no older launcher is left.
        return uid in facts.owners(pod) or self.role_of(pod) == LAUNCHER

    def longest_pod(self, workload: Workload) -> str:
        """Return the name of the last worker."""
        worker = workload.role(WORKER)
        count = worker.replicas if worker is not None and is_integer(worker.replicas) else 1
        return f"{workload.name}-worker-{max(0, count - 1)}"

    def helpers(self, item: Object) -> frozenset[str]:
        """Return the launcher's Job."""
        return frozenset({f"{facts.name_of(item)}-launcher"})

    def finished(self, item: Object) -> str | None:
        """Return the operator's word, or None before it has one."""
        return next((word for word in (facts.SUCCEEDED, facts.FAILED) if facts.condition(item, word)), None)

    def ended_at(self, item: Object) -> str | None:
        """Return when the operator marked it as finished, or None where that is not known."""
        condition = facts.condition(item, self.finished(item) or "") or {}
        return mapping(item.get("status")).get("completionTime") or condition.get("lastTransitionTime")

    def is_suspended(self, item: Object) -> bool:
        """Return whether it is suspended, as Kueue does it."""
        return bool(_policy(item).get("suspend"))

    def is_running(self, item: Object) -> bool:
        """Return whether the operator says that the launcher runs."""
        return facts.condition(item, "Running") is not None

    def is_under_way(self, item: Object, pods: Sequence[Object]) -> bool:
        """Return False: the launcher's end is the job's."""
        return False

    def failed_first(self, item: Object, pods: Sequence[Object]) -> Object | None:
        """Return None: the launcher's exit code tells of its ranks too."""
        return None

    def ends_with_its_pod(self, manifest: Object) -> bool:
        """Return whether a deleted launcher is not started again."""
        return _policy(manifest).get("backoffLimit") == 0

    def cause_of_event(self, event: Object) -> Cause | None:
        """Return the operator's refusal of an invalid spec, or None."""
        if event.get("reason") != "ValidationError":
            return None
        text = f"mpi-operator refuses the MPIJob: {facts.message_of(event)}"
        return Cause(text, "correct the field in the patch file and run again", final=True, kind="invalid")

    def cause_of_pod(self, pod: Object) -> Cause | None:
        """Return why a worker that has started is of no use to the launcher, or None."""
        name, end = facts.name_of(pod), facts.container_end(pod)
        if self.role_of(pod) != WORKER:
            return None
        if end is not None and end.reason not in facts.NOT_STARTED:
            other = "; `exec format error` there is an image for another kind of CPU" if end.code == 255 else ""
            again = end.code in (contract.ExitCode.KILLED, contract.ExitCode.INTERRUPTED) and end.reason != facts.OOM_KILLED
            text = ": ".join(part for part in (f"worker {name} ended with exit code {end.code}", end.reason, end.message) if part)
            return Cause(text, f"`kubectl logs {name}` says why{other}", final=True, kind="worker ended", again=again)
        if facts.started_at(pod) is None or facts.is_ready(pod):
            return None
        return Cause(
            f"worker {name} runs, but its ssh server does not answer on port 2222", f"`kubectl logs {name}` shows what it says", kind="sshd"
        )

    def causes_of_silence(self, item: Object, pods: Sequence[Object], waited: float) -> list[Cause]:
        """Return what the operator has not done yet."""
        if not mapping(item.get("status")).get("conditions") and not pods and waited > OPERATOR_S:
            return [Cause("mpi-operator does not react to the MPIJob", _OPERATOR_HINT)]
        workers = [pod for pod in pods if self.role_of(pod) == WORKER]
        wanted = sum(int(role.replicas or 1) for role in self.roles(item) if role.name == WORKER)
        if len(workers) < wanted:
            return [Cause(f"{len(workers)} of {wanted} workers created", _OPERATOR_HINT)]
        if all(facts.is_ready(pod) for pod in workers):
            return [Cause("all workers are ready; the launcher is not created yet", _OPERATOR_HINT)]
        return []

    def world(self, workload: Workload) -> int | None:
        """Return workers × slots, or None where one of them is not a count."""
        counts = [*self._workers(workload), slots(workload)]
        return counts[0] * counts[1] if len(counts) == 2 and all(is_integer(n) and n > 0 for n in counts) else None

    def on_one_host(self, workload: Workload, here: Here) -> OneHost:
        """Return a hostfile with all slots on this machine, and what mpirun must know.

        Raises:
            UsageError: workers or slots are not a count.
        """
        workers = next(iter(self._workers(workload)), None)
        ranks = _count(workers, "Worker.replicas") * _count(slots(workload), "slotsPerWorker")
        hostfile = here.scratch / "hostfile"
        variables = {
            contract.WORKERS: "1",
            contract.SLOTS_PER_WORKER: str(ranks),
            "PRTE_MCA_prte_default_hostfile": str(hostfile),
            # Else a killed rank leaves its segment in /dev/shm.
            "OMPI_MCA_btl_sm_backing_directory": str(here.shared_memory),
        }
        if here.is_root:
            variables |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        return OneHost(ranks, variables, {hostfile: contracts.hostfile({"localhost": ranks})})

    def _workers(self, workload: Workload) -> list[Any]:
        return [role.replicas for role in workload.roles if role.name == WORKER]


def slots(workload: Workload) -> Any:
    """Return slotsPerWorker as written; the operator's default is 1."""
    return mapping(workload.manifest.get("spec")).get("slotsPerWorker", 1)


def _role(name: str, replica: Mapping[str, Any]) -> Role:
    template = mapping(replica.get("template"))
    return Role(name, replica.get("replicas", 1), mapping(template.get("spec")), mapping(mapping(template.get("metadata")).get("labels")))


def _policy(item: Object) -> Mapping[str, Any]:
    return mapping(mapping(item.get("spec")).get("runPolicy"))


def _count(value: Any, name: str) -> int:
    if not is_integer(value) or value < 1:
        raise UsageError(f"not a number of 1 or more: {name} is {value!r}", "correct it in mlops-job-patch.yaml")
    return int(value)
