"""`set` on random overlays: the rendered workload holds what was asked for and nothing else has changed, or nothing changes at all."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlops_launch.commands.overlay.files import read_files
from mlops_launch.core.overlay.edits import Changes, goals_of
from mlops_launch.core.overlay.files import OverlayFiles
from mlops_launch.core.overlay.rendered import Rendered, rendered
from mlops_launch.core.overlay.settle import settle
from mlops_launch.core.overlay.values import User, parse_quantity
from mlops_launch.core.settings.model import Package
from mlops_launch.errors import LauncherError
from tests.cli.overlays import KEYS, Json, Overlay, overlay, pod_specs, render, write

AT_ONCE = 50
# Fixed seeds, so that a change is judged by itself; CI runs 3,000 sequences, and each batch is a test, for the sake of its time limit.
BATCHES = 60 if os.environ.get("HYPOTHESIS_PROFILE") == "ci" else 2
DEVICES = ("nvidia.com/gpu", "amd.com/gpu", "habana.ai/gaudi")


def changes(rng: random.Random, kind: str) -> Changes:
    """What a person may ask for in one call."""
    ways: dict[str, Any] = {
        "gpus": lambda: rng.randint(0, 8),
        "cpu": lambda: rng.choice(["2", "250m", "16"]),
        "memory": lambda: rng.choice(["1Gi", "16Gi", "8192Mi"]),
        "user": lambda: User(rng.randint(0, 9), rng.randint(0, 9), rng.randint(0, 9)),
        "namespace": lambda: rng.choice(["first", "team-a"]),
        "variables": lambda: {
            key: rng.choice(["1", "08", "yes", "a: b # c", "x=y", "/p q", "é"]) for key in rng.sample(KEYS, rng.randint(1, 2))
        },
    }
    if kind == "MPIJob":
        ways |= {"workers": lambda: rng.randint(1, 9), "slots": lambda: rng.randint(1, 9)}
    return Changes(**{name: ways[name]() for name in rng.sample(sorted(ways), rng.randint(1, 3))})


@dataclass
class Call:
    """One call of `set` that waits for kubectl."""

    made: Overlay
    asked: Changes
    files: OverlayFiles
    before: list[Json]
    steps: Generator[OverlayFiles, Rendered | None, OverlayFiles]
    after: list[Json] | None = None
    wanted: OverlayFiles | None = None
    edited: OverlayFiles | None = None

    def step(self, send: Rendered | None, *, first: bool = False) -> None:
        """Take the next step; `wanted` is what is to be rendered next, `edited` is there when `set` would write."""
        self.wanted = None
        try:
            self.wanted = next(self.steps) if first else self.steps.send(send)
        except StopIteration as stop:
            self.edited = stop.value
        except LauncherError:
            pass


def start(made: Overlay, asked: Changes, files: OverlayFiles, before: list[Json]) -> Call:
    now = rendered(before)
    try:
        goals = goals_of(files, asked, Package(), now)
    except LauncherError:
        goals = []
    call = Call(made, asked, files, before, settle(files, goals, now), after=before)
    if goals:
        call.step(None, first=True)
    return call


def workload(objects: list[Json]) -> Json:
    return next(item for item in objects if item["kind"] in ("Pod", "MPIJob"))


def at(data: Any, path: list[str]) -> Any:
    for step in path:
        data = data.get(step, {}) if isinstance(data, dict) else {}
    return data


def trainers(objects: list[Json]) -> dict[str, Json]:
    """The containers that train, by name."""
    job = workload(objects)
    specs = {name: at(job, path) for name, path in pod_specs(job["kind"]).items()}
    return {name: next(each for each in spec["containers"] if each["name"] == name) for name, spec in specs.items()}


def variables(objects: list[Json], container: Json) -> dict[str, str]:
    """What Kubernetes gives to a container."""
    maps = {item["metadata"]["name"]: item.get("data") or {} for item in objects if item["kind"] == "ConfigMap"}
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        found |= {source.get("prefix", "") + key: value for key, value in maps[source["configMapRef"]["name"]].items()}
    return found | {entry["name"]: entry.get("value", "") for entry in container["env"]}


def assert_holds(objects: list[Json], asked: Changes) -> None:
    """Every value that was asked for is where Kubernetes looks for it."""
    job = workload(objects)
    specs = {name: at(job, path) for name, path in pod_specs(job["kind"]).items()}
    sized = trainers(objects)["training" if job["kind"] == "Pod" else "worker"].get("resources", {})
    limits, requests = sized.get("limits", {}), sized.get("requests", {})
    if asked.workers is not None:
        assert at(job, ["spec", "mpiReplicaSpecs", "Worker", "replicas"]) == asked.workers
    if asked.slots is not None:
        assert at(job, ["spec", "slotsPerWorker"]) == asked.slots
    if asked.gpus is not None:
        assert [limits[device] for device in DEVICES if device in limits] == (
            [asked.gpus] if asked.gpus or set(limits) & set(DEVICES) else []
        )
    for name, value in (("cpu", asked.cpu), ("memory", asked.memory)):
        if value is not None:
            limit = parse_quantity(str(limits[name]))
            assert limit == parse_quantity(value)
            assert (parse_quantity(str(requests.get(name, 0))) or 0) <= (limit or 0)
    for spec in specs.values():
        if asked.user is not None:
            found = [spec["securityContext"][field] for field in ("runAsUser", "runAsGroup", "fsGroup")]
            assert found == [asked.user.uid, asked.user.gid, asked.user.fs_group]
    if asked.namespace is not None:
        assert {item["metadata"].get("namespace") for item in objects} == {asked.namespace}
    main = trainers(objects)["training" if job["kind"] == "Pod" else "launcher"]
    assert asked.variables.items() <= variables(objects, main).items()


def the_rest(objects: list[Json], asked: Changes) -> Any:
    """What is rendered without what was asked for, and without the hashes of generated names."""
    found = copy.deepcopy(sorted(objects, key=lambda item: (item["kind"], item["metadata"]["name"].rpartition("-")[0])))
    for item in found:
        item["metadata"].pop("namespace", None) if asked.namespace is not None else None
        if item["kind"] == "ConfigMap":
            item["metadata"]["name"] = item["metadata"]["name"].rpartition("-")[0]
            item["data"] = {
                k: v for k, v in (item.get("data") or {}).items() if k not in asked.variables and f"TF_{k}" not in asked.variables
            }
    job = workload(found)
    spec = job["spec"]
    spec.pop("slotsPerWorker", None) if asked.slots is not None else None
    if asked.workers is not None:
        spec["mpiReplicaSpecs"]["Worker"].pop("replicas")
    for name, path in pod_specs(job["kind"]).items():
        pod = at(job, path)
        if asked.user is not None:
            pod.pop("securityContext")
        for container in pod["containers"]:
            container["env"] = [e for e in container.get("env", []) if e["name"] not in {*asked.variables, "MLOPS_WORKERS"}]
            container["envFrom"] = [{**source, "configMapRef": None} for source in container.get("envFrom", [])]
            if container["name"] == name and name != "launcher":
                for part in ("limits", "requests"):
                    named = [*DEVICES] if asked.gpus is not None else []
                    named += [n for n, value in (("cpu", asked.cpu), ("memory", asked.memory)) if value is not None]
                    left = {k: v for k, v in container.get("resources", {}).get(part, {}).items() if k not in named}
                    container.setdefault("resources", {})[part] = left
            elif not container.get("resources"):
                container["resources"] = {"limits": {}, "requests": {}}
        pod["containers"].sort(key=lambda each: each["name"])
    return found


def texts(files: OverlayFiles, made: Overlay) -> dict[str, str]:
    return {f"{made.folder}/{name}": text for name, text in files.texts.items()}


def settle_all(root: Path, calls: list[Call]) -> None:
    """Give every call what kubectl renders until none waits."""
    while waiting := [call for call in calls if call.wanted is not None]:
        for call in waiting:
            assert call.wanted is not None
            write(root, texts(call.wanted, call.made))
        found = render(root, [call.made.folder for call in waiting])
        for call in waiting:
            call.after = found[call.made.folder]
            call.step(None if call.after is None else rendered(call.after))


@pytest.mark.parametrize("seed", range(BATCHES))
def test_the_rendered_workload_holds_what_was_asked_for_or_nothing_changes(tmp_path_factory: Any, seed: int) -> None:
    rng, root = random.Random(seed), tmp_path_factory.mktemp("overlays")
    made = [overlay(rng, number) for number in range(AT_ONCE)]
    for each in made:
        write(root, each.files)
    found = render(root, [each.folder for each in made])
    found = {folder: objects for folder, objects in found.items() if objects}
    assert len(found) >= AT_ONCE * 0.8, "too few of the random overlays render"
    states = [(each, read_files(root / each.folder), found[each.folder] or []) for each in made if each.folder in found]
    for _ in range(rng.choice([*[1] * 9, 2])):
        calls = [start(each, changes(rng, each.kind), files, objects) for each, files, objects in states]
        settle_all(root, calls)
        done = [call for call in calls if call.edited is not None]
        assert len(done) >= len(calls) * 0.4, "too much is refused"
        for call in done:
            assert_reached(call)
        states = [(call.made, call.edited, call.after) for call in done if call.edited is not None and call.after is not None]


def assert_reached(call: Call) -> None:
    """All that was asked for is there, all else as it was, and the same call again changes nothing."""
    assert call.after is not None
    assert call.edited is not None
    assert_holds(call.after, call.asked)
    assert the_rest(call.after, call.asked) == the_rest(call.before, call.asked)
    assert start(call.made, call.asked, call.edited, call.after).edited == call.edited
