"""A plan is a value: what would be applied or started, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlops_launch.core.finding import Finding
from mlops_launch.core.workload.model import KubernetesObject, Workload


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Args:
        overlay: the overlay's folder, as the user gave it.
        text: the rendered objects, byte for byte as kubectl printed them.
        objects: the same, as data.
        workload: the one among them.
        findings: what `check` found.
        actions: what would be done, in order, a line each (`start mpirun … in …`).
        preset: the preset's name, to show it.
        trains: it runs a trainer of the package: a success has a result line.
    """

    overlay: str
    text: str
    objects: Sequence[KubernetesObject]
    workload: Workload
    findings: tuple[Finding, ...]
    actions: tuple[str, ...]
    preset: str | None = None
    trains: bool = False

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that stop a run."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def to_text(self) -> str:
        """Return the plan as YAML: actions and findings as comments, then the objects, ready for `kubectl apply -f -`."""
        head = [f"plan for {self.workload.kind} {self.workload.name} from {self.overlay}"]
        head += [f"{number}. {action}" for number, action in enumerate(self.actions, 1)]
        head += [line for finding in self.findings for line in finding.to_text().splitlines()]
        return "".join(f"# {line}\n" for text in head for line in text.splitlines()) + self.text
