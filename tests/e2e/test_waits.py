"""`mlops-launch run` of what a cluster does not start, or does not keep: the cause in the cluster's own words, the advice, the retry."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlops_launch.contract import ExitCode, LauncherExitCode, is_retryable
from tests.e2e import workloads
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.kubectl import Kubectl
from tests.e2e.cluster.settings import NODE, SMALL_IMAGE
from tests.e2e.launching import Ended, Launcher

pytestmark = pytest.mark.usefixtures("small_image", "mpi_operator")

Json = dict[str, Any]
KINDS = ("Pod", "MPIJob")
PATCH = "in the overlay's patch file"
GPU = "requests.e2e.local/gpu"


@dataclass(frozen=True)
class Wait:
    """A run that does not start: the pods' spec, and what is said of it; `{pod}` is the pod's name.

    Args:
        spec: fields of the pods' spec.
        cause: the launcher's words.
        said: the cluster's words.
        hint: the advice.
    """

    spec: Json
    cause: str
    said: str
    hint: str


@dataclass(frozen=True)
class Told:
    """What is told of a run: its exit code, the error, the hint, and how many tries are in the archive."""

    code: int
    error: str
    hint: str
    tries: int


@pytest.fixture
def launch(tmp_path: Path, kubectl: Kubectl, namespace: str) -> Iterator[Launcher]:
    with Launcher(tmp_path, kubectl, namespace) as launcher:
        yield launcher


def on_node(name: str) -> Json:
    """Only this node is looked at, whichever others there are: its reason is the message's only one."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}}


def with_claim(name: str) -> Json:
    return {"volumes": [{"name": "outputs", "persistentVolumeClaim": {"claimName": name}}]}


def overlay(folder: Path, kind: str, case: str, program: str = "pass", container: Json | None = None, **spec: Any) -> Path:
    """An overlay of a kind whose pods, for an MPIJob its workers, have these fields; a volume takes the place of the one of its name."""
    made = {"Pod": workloads.pod, "MPIJob": workloads.mpi_job}[kind](folder / f"{kind}-{case}", program, name_of(kind, case))
    account, workload = map(json.loads, (made / "objects.yaml").read_text().split("\n---\n"))
    pods = workload["spec"] if kind == "Pod" else workload["spec"]["mpiReplicaSpecs"]["Worker"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in [*pods["volumes"], *spec.pop("volumes", [])]}
    pods |= {"volumes": list(volumes.values()), "containers": [pods["containers"][0] | (container or {})], **spec}
    (made / "objects.yaml").write_text("\n---\n".join(map(json.dumps, (account, workload))))
    return made


def name_of(kind: str, case: str) -> str:
    return f"{case}-training" if kind == "Pod" else case


def first_pod(kind: str, case: str) -> str:
    return f"{case}-training" if kind == "Pod" else f"{case}-worker-0"


def in_general(text: str) -> str:
    """Without the numbers of nodes that a pod does not ask for: other tests may have some of their own."""
    return re.sub(r", \d+ node\(s\) didn't satisfy plugin\(s\) \[NodeAffinity\]", "", re.sub(r"\b0/\d+ nodes", "0/N nodes", text))


def archives(launch: Launcher, kind: str, case: str) -> list[Path]:
    return [archive for archive in launch.archives() if archive.parent.name == name_of(kind, case)]


def told(launch: Launcher, kind: str, case: str, ended: Ended) -> Told:
    """What a run has said of its end."""
    found = re.search(r"^Error: (.*)\n\nhint: (.*)$", ended.stderr, re.MULTILINE)
    assert found is not None, ended.stderr
    return Told(ended.code, in_general(found[1]), found[2], len(archives(launch, kind, case)))


NODES: dict[str, Json] = {
    "taint": {"spec": {"taints": [{"key": "dedicated", "value": "others", "effect": "NoSchedule"}]}},
    "cordon": {"spec": {"unschedulable": True}},
    "not-ready": {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "KubeletNotReady"}]}},
}
TAINT = "nodes have a taint that pod {pod} does not tolerate"
TAINTED = "0/N nodes are available: 1 node(s) had untolerated taint(s)."
TOLERATE = f"add a toleration {PATCH}; `kubectl describe nodes` shows the taints, also the one of a node that is not ready"
UNBOUND = "0/N nodes are available: pod has unbound immediate PersistentVolumeClaims."
CLASSES = "in the claim (k8s/storage); `kubectl get storageclasses` lists them"
WAITS = {
    "taint": Wait({}, TAINT, TAINTED, TOLERATE),
    "cordon": Wait(
        {}, "nodes are closed to new pods (cordoned) that pod {pod} could use", "0/N nodes are available: 1 node(s) were unschedulable.",
        "`kubectl get nodes` shows them; `kubectl uncordon NODE` opens one again",
    ),
    "not-ready": Wait({}, TAINT, TAINTED, TOLERATE),
    "selector": Wait(
        {**on_node(NODE), "nodeSelector": {"accelerator": "none"}}, "no node has the labels that pod {pod} asks for",
        "0/N nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
        f"correct nodeSelector or affinity {PATCH}; `kubectl get nodes --show-labels` shows the labels",
    ),
    "no-class": Wait(
        with_claim("no-class"), "the claim of pod {pod} names no storage class, and none is the cluster's default",
        f"{UNBOUND}; claim no-class: FailedBinding: no persistent volumes available for this claim and no storage class is set",
        f"set storageClassName {CLASSES}",
    ),
    "other-class": Wait(
        with_claim("other-class"), "the claim of pod {pod} names a storage class that does not exist",
        f'{UNBOUND}; claim other-class: ProvisioningFailed: storageclass.storage.k8s.io "e2e.local" not found',
        f"correct storageClassName {CLASSES}",
    ),
    "quota": Wait(
        {}, "the namespace's quota is used up",
        f'pods "{{pod}}" is forbidden: exceeded quota: gpus, requested: {GPU}=1, used: {GPU}=0, limited: {GPU}=0',
        "ask for less, or delete what is not needed; `kubectl describe quota` shows what is used",
    ),
}  # fmt: skip


@pytest.fixture
def surroundings(cluster: Cluster, namespace: str) -> Iterator[None]:
    """Nodes on paper, which nothing but these pods may use, claims that nothing provides for, and a quota that counts GPUs alone."""
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}}
    for name, node in NODES.items():
        cluster.kubectl.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"{namespace}-{name}"}, **ready, **node})
    cluster.kubectl.apply(
        *(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "namespace": namespace},
                # So large that no volume of another test fits it.
                "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Pi"}}, "storageClassName": of_class},
            }
            for name, of_class in (("no-class", ""), ("other-class", "e2e.local"))
        ),
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "gpus", "namespace": namespace}, "spec": {"hard": {GPU: "0"}}},
    )
    yield
    cluster.kubectl("delete", "node", *(f"{namespace}-{name}" for name in NODES))


@pytest.mark.usefixtures("surroundings")
@pytest.mark.parametrize("kind", KINDS)
def test_each_wait_is_told_by_its_own_cause_and_not_tried_again(launch: Launcher, tmp_path: Path, kind: str) -> None:
    runs = {}
    for name, wait in WAITS.items():
        spec = on_node(f"{launch.namespace}-{name}") if name in NODES else wait.spec
        gpus = {"resources": {"limits": {"e2e.local/gpu": "1"}}} if name == "quota" else None
        made = overlay(tmp_path, kind, name, container=gpus, **spec)
        runs[name] = launch.start("run", str(made), "--start-timeout", "10", "--retries", "1")
    ended = {name: run.end(seconds=240) for name, run in runs.items()}
    expected = {}
    for name, wait in WAITS.items():
        said = f"worker pod created failed: {wait.said}" if (kind, name) == ("MPIJob", "quota") else wait.said
        text = f"{wait.cause}: {said}".format(pod=first_pod(kind, name))
        # The API server refuses a Pod itself: there is nothing to wait for, and no try.
        refused = (kind, name) == ("Pod", "quota")
        error = text if refused else f"not started within 10 s: {text}"
        expected[name] = Told(LauncherExitCode.LAUNCHER_FAILED, error, wait.hint, 0 if refused else 1)
        assert refused or f"waiting: {text}" in in_general(ended[name].stderr), ended[name].stderr
    assert {name: told(launch, kind, name, end) for name, end in ended.items()} == expected
    assert launch.kubectl("-n", launch.namespace, "get", "pods,mpijobs", "-o", "name").stdout == ""


SETUP = {
    "name": "setup", "image": SMALL_IMAGE, "command": ["sh", "-c", "echo no dataset in /datasets; exit 3"],
    "securityContext": workloads.CONTAINERS,
}  # fmt: skip


def test_what_no_waiting_and_no_other_try_heals_ends_at_once(launch: Launcher, tmp_path: Path) -> None:
    changes: dict[str, Json] = {"command": {"container": {"command": ["python33"]}}, "init": {"initContainers": [SETUP]}}
    cases = [(kind, case) for kind in KINDS for case in changes]
    made = [overlay(tmp_path, kind, case, **changes[case]) for kind, case in cases]
    runs = [launch.start("run", str(folder), "--retries", "1") for folder in made]
    for (kind, case), run in zip(cases, runs, strict=True):
        ended = run.end(seconds=240)
        found, pod = told(launch, kind, case, ended), first_pod(kind, case)
        assert (found.code, found.tries) == (LauncherExitCode.LAUNCHER_FAILED, 1), ended.stderr
        (archive,) = archives(launch, kind, case)
        log = archive / "pods" / f"{pod}.setup.log"
        if case == "command":
            assert found.error.startswith(f"the command of pod {pod} is not in its image: StartError: ")
            assert 'exec: "python33": executable file not found in $PATH' in found.error
            assert found.hint == f"correct command or args {PATCH}, or IMAGE_TAG"
            assert not log.exists()
        else:
            assert found.error == f"init container setup of pod {pod} ended with exit code 3: Error"
            # The pods are gone then; what kubectl would have shown is in the archive.
            assert found.hint == f"`{log.relative_to(tmp_path)}` says why"
            assert log.read_text() == "no dataset in /datasets\n"
    assert launch.kubectl("-n", launch.namespace, "get", "pods,mpijobs", "-o", "name").stdout == ""


# Ranks that take steps together until one of them is asked to save, as a trainer's do.
TRAINS = """
    import signal, sys, time
    from mpi4py import MPI
    asked = []
    for number in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, lambda number, frame: asked.append(number))
    world = MPI.COMM_WORLD
    step = 0
    while not world.allreduce(len(asked)):
        time.sleep(0.1)
        step += 1
        if world.rank == 0:
            print(f"step={step}/9999 loss=1.0", flush=True)
    world.Barrier()
    sys.exit(143)
"""


def evict(launch: Launcher, pod: str) -> None:
    """As `kubectl drain` does."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": launch.namespace}}
    path = f"/api/v1/namespaces/{launch.namespace}/pods/{pod}/eviction"
    launch.kubectl("create", "--raw", path, "-f", "-", text=json.dumps(eviction))


def test_a_worker_that_a_drain_evicts_is_tried_again_as_often_as_was_asked_for(launch: Launcher, tmp_path: Path) -> None:
    run = launch.start("run", str(workloads.mpi_job(tmp_path / "overlay", TRAINS)), "--retries", "1")
    run.wait_for("^step=3/")
    evict(launch, "small-worker-1")
    run.wait_for(r"^step=3/[\s\S]*\nstep=3/")
    evict(launch, "small-worker-1")
    ended = run.end(seconds=240)
    reason = "pod small-worker-1: EvictionByEvictionAPI: Eviction API: evicting"
    assert (ended.code, ended.stderr.count(f"\nreason: {reason}\n")) == (ExitCode.INTERRUPTED, 2), ended.stderr
    assert ended.stderr.count("\nretrying: attempt ") == 1
    records = [json.loads((archive / "result.json").read_text()) for archive in launch.archives()]
    assert [(record["try"], record["exit_code"], record["reason"]) for record in records] == [(1, 143, reason), (2, 143, reason)]


# One rank writes more than its volume may hold; nothing else is wrong.
WRITES = """
    import os, time
    if os.environ.get("OMPI_COMM_WORLD_RANK", "1") == "1":
        with open("/tmp/too-much", "wb") as file:
            file.write(bytes(4 << 20))
    print("written", flush=True)
    time.sleep(600)
"""


def test_a_pod_that_its_node_evicts_for_what_it_wrote_is_not_tried_again(launch: Launcher, tmp_path: Path) -> None:
    limited = {"volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Mi"}}]}
    made = [overlay(tmp_path, kind, "writes", WRITES, **limited) for kind in KINDS]
    runs = [launch.start("run", str(folder), "--retries", "1") for folder in made]
    for kind, run in zip(KINDS, runs, strict=True):
        ended = run.end(seconds=240)
        (record,) = [json.loads((archive / "result.json").read_text()) for archive in archives(launch, kind, "writes")]
        # How a rank ends that is put out is a matter of chance, but never one that speaks against another try.
        assert ended.code == record["exit_code"] and is_retryable(ended.code), ended.stderr
        pod = {"Pod": "writes-training", "MPIJob": "writes-worker-1"}[kind]
        assert record["reason"] == f'pod {pod}: Evicted: Usage of EmptyDir volume "tmp" exceeds the limit "1Mi".'
        assert f"\nreason: {record['reason']}\n\nhint: raise the emptyDir's sizeLimit {PATCH}, or write to the claim\n" in ended.stderr
