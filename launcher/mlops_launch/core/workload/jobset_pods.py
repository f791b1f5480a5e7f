"""The pods of a JobSet, by role and index: the chief, their names, and what each is told as a process of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mlops_launch.core.kube import objects as facts
from mlops_launch.core.kube.objects import Object
from mlops_launch.core.workload import contracts
from mlops_launch.core.workload.contracts import Address, Member
from mlops_launch.core.workload.model import Here, OneHost, PodHere, Role, Workload, is_integer, mapping, mappings

KEY: Final = "jobset.sigs.k8s.io"
JOB_NAME: Final = "batch.kubernetes.io/job-name"
POD_INDEX: Final = "batch.kubernetes.io/job-completion-index"
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True)
class Chief:
    """The pod whose log and exit code are the run's."""

    role: str
    job: int = 0
    pod: int = 0


def chief(manifest: Object) -> Chief | None:
    """Return which pod is the chief: the coordinator, else the first of the role that success waits for, else of the first role.

    None without roles.
    """
    spec = mapping(manifest.get("spec"))
    named = mapping(spec.get("coordinator"))
    if named.get("replicatedJob"):
        return Chief(str(named["replicatedJob"]), count(named.get("jobIndex", 0)), count(named.get("podIndex", 0)))
    wanted = mapping(spec.get("successPolicy")).get("targetReplicatedJobs")
    names = [str(role["name"]) for role in replicated_jobs(manifest)]
    first = [name for name in wanted if name in names] if isinstance(wanted, list) else []
    return Chief((first or names)[0]) if names else None


def replicated_jobs(manifest: Object) -> list[Mapping[str, Any]]:
    """Return the replicated Jobs as written, `replicas` filled in; those without a name are left out."""
    found = mappings(mapping(manifest.get("spec")).get("replicatedJobs"))
    return [{"replicas": 1, **role} for role in found if role.get("name")]


def pods_per_job(role: Mapping[str, Any]) -> int:
    """Return how many pods a Job of a replicated Job has."""
    return count(mapping(mapping(role.get("template")).get("spec")).get("parallelism", 1))


def roles(manifest: Object) -> Iterator[Role]:
    """Yield the replicated Jobs as roles, in the manifest's order."""
    for role in replicated_jobs(manifest):
        job = mapping(mapping(role.get("template")).get("spec"))
        template = mapping(job.get("template"))
        counts = [role["replicas"], job.get("parallelism", 1)]
        wrong = [count for count in counts if not is_integer(count)]
        labels = mapping(mapping(template.get("metadata")).get("labels"))
        yield Role(str(role["name"]), wrong[0] if wrong else counts[0] * counts[1], mapping(template.get("spec")), labels)


def job_name(item: Object, role: Mapping[str, Any], index: int) -> str:
    """Return the name that the controller gives to a Job of a replicated Job."""
    return f"{facts.name_of(item)}-{role['name']}-{index}"


def count(value: Any) -> int:
    """Return a count, 0 for what is none."""
    return int(value) if is_integer(value) else 0


def local_pods(workload: Workload, here: Here) -> OneHost:
    """Return the pods as processes of this machine, the chief first, in the controller's order of roles and indices."""
    manifest, first = workload.manifest, chief(workload.manifest)
    taken: set[int] = set()
    group: dict[str, list[Address]] = {}
    pods: list[tuple[Chief, Member]] = []
    for role in replicated_jobs(manifest):
        name, found = str(role["name"]), group.setdefault(str(role["name"]), [])
        for job in range(count(role["replicas"])):
            for index in range(pods_per_job(role)):
                pods.append((Chief(name, job, index), Member(name, len(found))))
                found.append(Address(LOOPBACK, _free_port(here, taken)))
    wanted = mapping(mapping(manifest.get("spec")).get("successPolicy"))
    targets = wanted.get("targetReplicatedJobs") or list(group)
    jobs = list(dict.fromkeys((pod.role, pod.job) for pod, _ in pods))
    made = {}
    for pod, member in pods:
        fields = _fields(workload, pod, jobs)
        asked = [*workload.environment_sources(_role(workload, pod)), *_names(_role(workload, pod))]
        name = fields["metadata.name"]
        made[pod] = PodHere(name, pod.role, fields, contracts.environment(asked, group, member), pod.role in targets)
    names = {f"{pod.name}.{_subdomain(workload)}": LOOPBACK for pod in made.values()}
    ordered = sorted(made, key=lambda pod: pod != first)
    return OneHost(len(made), pods=tuple(made[pod] for pod in ordered), names=names, any_success=wanted.get("operator") == "Any")


def _fields(workload: Workload, pod: Chief, jobs: list[tuple[str, int]]) -> dict[str, str]:
    """Return what the controllers write into a pod, by the path that `fieldRef` names."""
    first = mapping(mapping(workload.manifest.get("spec")).get("coordinator"))
    name = f"{workload.name}-{pod.role}-{pod.job}-{pod.pod}"
    values = {
        "jobset-name": workload.name, "replicatedjob-name": pod.role, "job-index": pod.job, "restart-attempt": 0,
        "job-global-index": jobs.index((pod.role, pod.job)), "global-replicas": len(jobs),
        "replicatedjob-replicas": sum(role == pod.role for role, _ in jobs),
    }  # fmt: skip
    if first:
        host = f"{first.get('replicatedJob')}-{first.get('jobIndex', 0)}-{first.get('podIndex', 0)}"
        values["coordinator"] = f"{workload.name}-{host}.{_subdomain(workload)}"
    texts = {f"{KEY}/{key}": str(value) for key, value in values.items()} | {POD_INDEX: str(pod.pod)}
    fields = {f"metadata.{part}['{key}']": text for part in ("labels", "annotations") for key, text in texts.items()}
    return {
        **fields, "metadata.name": name, "metadata.namespace": workload.namespace or "default", "status.podIP": LOOPBACK,
    }  # fmt: skip


def _subdomain(workload: Workload) -> str:
    network = mapping(mapping(workload.manifest.get("spec")).get("network"))
    return str(network.get("subdomain") or workload.name)


def _role(workload: Workload, pod: Chief) -> Role:
    return next(role for role in workload.roles if role.name == pod.role)


def _names(role: Role) -> list[str]:
    return [str(entry.get("name")) for entry in mappings(role.container.get("env"))]


def _free_port(here: Here, taken: set[int]) -> int:
    while (port := here.free_port()) in taken:
        pass
    taken.add(port)
    return port
