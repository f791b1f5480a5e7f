"""What each kind of workload answers: from a whole manifest, and from whatever a patch has left of one."""

from __future__ import annotations

import inspect
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlops_launch.core.overlay.edits import Changes, goals_of
from mlops_launch.core.overlay.files import OverlayFiles
from mlops_launch.core.overlay.settle import settle
from mlops_launch.core.overlay.values import User
from mlops_launch.core.path import EVERY, Named
from mlops_launch.core.rules.base import Subject
from mlops_launch.core.rules.registry import find_problems
from mlops_launch.core.settings.model import Package
from mlops_launch.core.workload import kinds
from mlops_launch.core.workload.kinds import Kind, find_workload, lookup, main_pods, other_pods, shape
from mlops_launch.core.workload.model import Role, mapping, mappings
from mlops_launch.errors import LauncherError
from tests.cluster.third_kind import BatchJob
from tests.unit.objects import RUNNING, job, pod
from tests.unit.overlays import ROOT, golden

NAMES = kinds.names()
OVERLAYS = {"MPIJob": "multi-node", "JobSet": "all-reduce", "Pod": "single-node"}
KEYS = (
    "spec template metadata labels mpiReplicaSpecs Launcher Worker replicas slotsPerWorker runPolicy suspend schedulingGates "
    "containers volumes securityContext volumeMounts name mountPath image env envFrom configMapRef persistentVolumeClaim"
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.sampled_from(["", "x", "/tmp"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=4),
    max_leaves=25,
)


@pytest.fixture(params=NAMES)
def kind(request: pytest.FixtureRequest) -> Kind:
    return lookup(request.param)


MEMBERS = {name: member for name, member in vars(Kind).items() if not name.startswith("_")}


@pytest.mark.parametrize("found", [*kinds.KINDS, BatchJob()], ids=lambda kind: kind.name)
def test_it_has_the_members_of_the_protocol_and_no_other_public_one(found: Kind) -> None:
    assert {name for name in dir(found) if not name.startswith("_")} == set(MEMBERS)
    for name, member in MEMBERS.items():
        if not isinstance(member, property):
            assert [*inspect.signature(getattr(type(found), name)).parameters] == [*inspect.signature(member).parameters], name


def test_the_page_on_adding_a_kind_names_files_that_the_kinds_have() -> None:
    section = (ROOT / "docs/architecture.md").read_text().partition("### A kind of workload")[2].partition("## ")[0]
    rows = [row for row in re.findall(r"^\| (`.*?) \|", section, re.M) if row]
    files = [path for row in rows for path in re.findall(r"`([^`]+)`", row)]
    assert len(files) >= 6
    for kind in kinds.KINDS:
        missing = [path for path in files if not (ROOT / path.replace("NAME", kind.name.lower())).exists()]
        assert missing == []


def test_its_roles_stand_where_it_says(kind: Kind) -> None:
    workload = find_workload(golden(OVERLAYS[kind.name]))
    assert tuple(role.name for role in workload.roles) == kind.needs or not kind.needs
    for role in workload.roles:
        found = workload.manifest
        for step in kind.pod_path(role.name):
            found = next(item for item in found if item["name"] == step.name) if isinstance(step, Named) else found[step]
        assert found == role.pod
        assert role.container["name"] == kind.base_container(role.name)
    pods = [pod(role.name, role.name.lower(), RUNNING) for role in workload.roles]
    for found in pods:
        found["metadata"]["labels"]["jobset.sigs.k8s.io/replicatedjob-name"] = found["metadata"]["name"]
    assert [p["metadata"]["name"] for p in pods if kind.is_main(workload.manifest, p)] == [workload.main.name]


def test_its_world_and_its_longest_pod() -> None:
    multi, single = (find_workload(golden(mode)) for mode in ("multi-node", "single-node"))
    assert [(lookup(w.kind).world(w), lookup(w.kind).longest_pod(w)) for w in (multi, single)] == [
        (2, "resnet50v1-5-worker-1"),
        (1, "resnet50v1-5-training"),
    ]


@given(spec=JUNK)
@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_of_any_shape_is_read(name: str, spec: object) -> None:
    workload = shape({"kind": name, "metadata": {"name": "demo"}, "spec": spec})
    kind = lookup(name)
    world = kind.world(workload)
    assert world is None or world >= 1
    assert kind.longest_pod(workload).startswith("demo")
    assert kind.is_suspended(workload.manifest) in (True, False)
    assert kind.ends_with_its_pod(workload.manifest) in (True, False)
    for role in workload.roles:
        assert all(role.volume_of(mount) is None or mount.volume for mount in role.mounts)
        assert role.mount_above("/tmp/x") in (*role.mounts, None)
        assert len(role.user) == 3


def test_a_workload_without_one_of_its_roles_is_refused() -> None:
    with pytest.raises(LauncherError) as caught:
        find_workload([job()])
    assert caught.value.message == "MPIJob demo needs a Launcher and a Worker, found: Worker"


def test_main_pods_are_told_from_the_others() -> None:
    pods = [pod("demo-worker-0", "worker", RUNNING), pod("demo-launcher-x", "launcher", RUNNING)]
    assert [[p["metadata"]["name"] for p in found] for found in (main_pods(job(), pods), other_pods(job(), pods))] == [
        ["demo-launcher-x"],
        ["demo-worker-0"],
    ]
    alone = pod("demo", "pod", RUNNING)
    assert (main_pods(alone, [alone]), other_pods(alone, [alone])) == ([alone], [])


class NamedRoles(BatchJob):
    """A kind whose manifests have a list of roles by name, as a JobSet does."""

    name, needs = "Group", ()
    fields = {("spec",): "parts success", ("spec", "parts", EVERY): "name replicas pod"}

    def roles(self, manifest):
        parts = mappings(mapping(manifest.get("spec")).get("parts"))
        return tuple(Role(part["name"], part.get("replicas", 1), mapping(part.get("pod")), {}) for part in parts)

    def is_main(self, manifest, pod):
        return self.role_of(pod) in mapping(manifest.get("spec")).get("success", ())

    def pod_path(self, role):
        return ("spec", "parts", Named(role), "pod")

    def role_of(self, pod):
        return pod["metadata"]["labels"]["part"]

    def is_sized(self, role):
        return role == "worker"


GROUP = """\
kind: Group
metadata:
  name: demo
spec:
  success: [chief, worker]
  parts:
  - name: chief
    pod: {}
  - name: server
    replica: 2
    pod:
      securityContxt: {}
  - name: worker
    pod:
      containers:
      - name: main
"""


def test_a_kind_may_have_any_number_of_roles_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "KINDS", (*kinds.KINDS, NamedRoles()))
    files = OverlayFiles("demo", "kustomization.yaml", {"kustomization.yaml": "patches:\n- path: group.yaml\n", "group.yaml": GROUP})
    assert [finding.to_text().splitlines()[0] for finding in find_problems(Subject(files)) if finding.rule == "field-unknown"] == [
        "error field-unknown group.yaml:10 no such field: replica",
        "error field-unknown group.yaml:12 no such field: securityContxt",
    ]
    goals = goals_of(files, Changes(user=User(1, 2, 3), gpus=4), Package(), None)
    edited = yaml.safe_load(next(settle(files, goals, None)).texts["group.yaml"])
    context = {"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3}
    assert [part["pod"].get("securityContext") for part in edited["spec"]["parts"]] == [context] * 3
    assert edited["spec"]["parts"][2]["pod"]["containers"] == [{"name": "main", "resources": {"limits": {"nvidia.com/gpu": 4}}}]
    pods = [{"metadata": {"name": name, "labels": {"part": name}}} for name in ("chief", "server", "worker")]
    manifest = yaml.safe_load(GROUP)
    assert [[p["metadata"]["name"] for p in found] for found in (main_pods(manifest, pods), other_pods(manifest, pods))] == [
        ["chief", "worker"],
        ["server"],
    ]
    assert find_workload([manifest]).main.name == "chief"
