"""Everything together: a machine, a cluster with its controllers, and the clients that the launcher gets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mlops_launch.clients.clients import Clients
from mlops_launch.clients.cluster import Cluster
from mlops_launch.clients.process import Completed, Processes
from tests.cluster.sim.api import ApiServer
from tests.cluster.sim.clock import Simulation
from tests.cluster.sim.nodes import Collector, Kubelet, Operator, Times
from tests.cluster.sim.scripts import TRAINS
from tests.cluster.sim.wire import Faults, Wire

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "manifests" / "golden"
MULTI, SINGLE = "quickstart/k8s/mlops/multi-node", "quickstart/k8s/mlops/single-node"
NAMESPACE = "team"


@dataclass
class Programs(Processes):
    """kubectl that renders from the golden files, and whose `exec` reads files of the cluster's volumes."""

    changes: dict[str, str] = field(default_factory=dict)  # text → text, in what is rendered
    files: dict[str, bytes] = field(default_factory=dict)  # path in a pod → content
    broken: str | None = None  # the error of `kubectl exec`

    def find(self, name: str, hint: str) -> str:
        return name

    def run_together(self, *argvs: Sequence[str]) -> list[Completed]:
        version, built = argvs
        rendered = (GOLDEN / f"{str(built[-1]).replace('/', '.')}.yaml").read_text()
        for old, new in self.changes.items():
            assert old in rendered, old
            rendered = rendered.replace(old, new)
        asked = Completed(tuple(version), 0, json.dumps({"kustomizeVersion": "v5.8.0"}), "")
        return [asked, Completed(tuple(built), 0, rendered, "")]

    def run_into(self, out: BinaryIO, argv: Sequence[str]) -> None:
        from mlops_launch.errors import ProcessError

        if self.broken is not None:
            raise ProcessError(argv, 1, self.broken)
        script, path, *numbers = argv[argv.index("-c") + 1 :]
        if path not in self.files:
            raise ProcessError(argv, 1, f"stat: cannot statx '{path}': No such file or directory")
        if numbers:
            begin, size = int(numbers[0]) - 1, int(numbers[1])
            out.write(self.files[path][begin : begin + size])
        else:
            out.write(f"{len(self.files[path])}\n".encode() + self.files[f"{path}.starts"])


class World:
    """A cluster that works, seen from a laptop; tests change what they need before they call the launcher."""

    def __init__(self, seed: int = 0, faults: Faults | None = None) -> None:
        self.host = Simulation(seed)
        self.api = ApiServer(self.host)
        self.times = Times()
        self.kubelet = Kubelet(self.host, self.api, self.times)
        self.kubelet.scripts = [TRAINS]
        self.operator = Operator(self.host, self.api, self.times)
        self.collector = Collector(self.host, self.api, self.times)
        self.wire = Wire(self.host, self.api, faults)
        self.programs = Programs()
        self.contexts: list[tuple[str | None, str | None]] = []  # what was asked to connect
        for name in ("default", NAMESPACE):
            self.api.create({"kind": "Namespace", "metadata": {"name": name}}, None)
        for claim in ("datasets", "outputs"):
            self.api.create({"kind": "PersistentVolumeClaim", "metadata": {"name": claim}, "status": {"phase": "Bound"}})
        self.api.create({"kind": "ServiceAccount", "metadata": {"name": "default"}})

    def clients(self) -> Clients:
        """What the launcher is given."""
        return Clients(self.programs, self.host, self.connect)

    def connect(self, context: str | None = None, namespace: str | None = None) -> Cluster:
        self.contexts.append((context, namespace))
        return Cluster(self.wire.client(), context or "test", namespace or NAMESPACE, self.host)

    def names(self, *kinds: str) -> list[str]:
        """Kind and name of what is there, claims and what a namespace has of its own left out."""
        own = {"Namespace default", f"Namespace {NAMESPACE}", "ServiceAccount default"}
        found = [
            f"{o['kind']} {o['metadata']['name']}" for o in self.api.objects.values() if o["kind"] not in ("PersistentVolumeClaim", "Event")
        ]
        return sorted(name for name in found if name not in own and (not kinds or name.split()[0] in kinds))
