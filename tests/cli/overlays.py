"""Random overlays in the styles that people write, and one kubectl for many of them."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "quickstart/common/tensorflow/k8s/mlops/base"
NAMES = (BASE / "name-reference.yaml").read_text()
Json = dict[str, Any]

KEYS = ("MLOPS_SEED", "MLOPS_NOTE", "TF_X", "HOROVOD_Y", "MLOPS_WORKERS")


def container(name: str, config_map: str) -> Json:
    return {"name": name, "image": "r/i:1", "envFrom": [{"configMapRef": {"name": config_map}}], "env": [{"name": "HOME", "value": "/"}]}


def manifest(rng: random.Random, kind: str, name: str, config_maps: Sequence[str]) -> Json:
    """A small workload of that kind, as a base has it."""
    security = {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000}
    metadata = {"name": name}

    def trains(own: str) -> Json:
        made = container(own, config_maps[0])
        for more in config_maps[1:]:
            made["envFrom"].append({"configMapRef": {"name": more}, **({"prefix": "TF_"} if rng.random() < 0.5 else {})})
        if rng.random() < 0.3:
            made["env"].append({"name": rng.choice(KEYS), "value": "base"})
        if rng.random() < 0.5:
            made["resources"] = {"limits": {"cpu": "4", "memory": "8Gi"}, "requests": {"cpu": "500m", "memory": "4Gi"}}
            made["resources"]["limits"] |= rng.choice([{}, {"nvidia.com/gpu": 1}, {"amd.com/gpu": 2}, {"habana.ai/gaudi": 8}])
        return made

    if kind == "Pod":
        return {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": metadata,
            "spec": {"securityContext": security, "containers": [trains("training")]},
        }
    roles = {
        role: {"replicas": count, "template": {"spec": {"securityContext": dict(security), "containers": [trains(role.lower())]}}}
        for role, count in (("Launcher", 1), ("Worker", 2))
    }
    return {
        "apiVersion": "kubeflow.org/v2beta1",
        "kind": kind,
        "metadata": metadata,
        "spec": {"slotsPerWorker": 1, "mpiReplicaSpecs": roles},
    }


def pod_specs(kind: str) -> dict[str, list[str]]:
    """The path of each role's pod spec."""
    if kind == "Pod":
        return {"training": ["spec"]}
    return {role.lower(): ["spec", "mpiReplicaSpecs", role, "template", "spec"] for role in ("Launcher", "Worker")}


def patch(rng: random.Random, kind: str, name: str) -> Json:
    """A strategic merge patch that says some of what `set` changes."""
    found: Json = {"apiVersion": "v1" if kind == "Pod" else "kubeflow.org/v2beta1", "kind": kind, "metadata": {"name": name}}
    if kind == "MPIJob" and rng.random() < 0.5:
        put(found, ["spec", "slotsPerWorker"], rng.randint(1, 4))
    if kind == "MPIJob" and rng.random() < 0.5:
        put(found, ["spec", "mpiReplicaSpecs", "Worker", "replicas"], rng.randint(1, 6))
    for own, path in pod_specs(kind).items():
        if rng.random() < 0.4:
            put(found, [*path, "securityContext", "runAsUser"], rng.randint(1, 5))
        if rng.random() < 0.5:
            made: Json = {"name": own}
            if own != "launcher" and rng.random() < 0.7:
                made["resources"] = {"limits": {"memory": rng.choice(["2Gi", "64Gi"]), "cpu": rng.choice([2, "2", "1500m"])}}
            if rng.random() < 0.3:
                made["env"] = [{"name": rng.choice(KEYS), "value": "patch"}]
            side = (
                [{"name": "side", "image": "s", "resources": {"limits": {"cpu": "100m", "memory": "128Mi"}}}] if rng.random() < 0.3 else []
            )
            put(found, [*path, "containers"], [*side, made])
    return found


def operations(rng: random.Random, kind: str) -> list[Json]:
    """JSON6902 operations on what every base has."""
    paths = [f"/{'/'.join(path)}/securityContext/runAsUser" for path in pod_specs(kind).values()]
    paths += ["/spec/slotsPerWorker", "/spec/mpiReplicaSpecs/Worker/replicas"] if kind == "MPIJob" else []
    return [
        {"op": rng.choice(["add", "replace"]), "path": path, "value": rng.randint(1, 6)}
        for path in rng.sample(paths, rng.randint(1, len(paths)))
    ]


def fast(data: Any, **style: Any) -> str:
    return str(yaml.dump(data, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), **style))


def put(data: Json, path: Sequence[str], value: Any) -> None:
    for step in path[:-1]:
        data = data.setdefault(step, {})
    data[path[-1]] = value


def written(rng: random.Random, documents: Sequence[Any]) -> str:
    """Documents as one text in some person's style."""
    style = rng.choice(["block", "block", "indented", "flow", "json", "octal", "comments", "anchors"])
    if style == "json" and len(documents) == 1:
        return json.dumps(documents[0], indent=rng.choice([None, 2])) + "\n"
    texts = [
        # kustomize reads operations in brackets as JSON alone.
        fast(each, default_flow_style=style == "flow" and isinstance(each, dict), sort_keys=False, width=200)
        if style != "indented"
        else fast(each, sort_keys=False, indent=4, width=200)
        for each in documents
    ]
    text = "---\n".join(texts)
    if style == "octal":
        text = re.sub(r"(runAsUser|replicas|slotsPerWorker): ([1-7])$", r"\1: 0\2", text, flags=re.MULTILINE)
    if style == "comments":
        text = "# ours\n" + re.sub(r"(replicas: \d+|memory: \w+)$", r"\1   # as measured", text, flags=re.MULTILINE)
    if style == "anchors":
        text = re.sub(r"runAsUser: (\d+)", r"runAsUser: &uid \1", text, count=1)
        text = re.sub(r"runAsUser: \d+", "runAsUser: *uid", text)
    return text.replace("\n", "\r\n") if rng.random() < 0.1 else text


@dataclass
class Overlay:
    """Files of a random overlay.

    Args:
        number: a part of every name in it.
        folder: that of the overlay to edit.
        files: texts by path below the root.
    """

    number: int
    kind: str
    folder: str
    files: dict[str, str] = field(default_factory=dict)


def overlay(rng: random.Random, number: int) -> Overlay:
    """A base and an overlay on it, perhaps with another on top."""
    kind = rng.choice(["Pod", "MPIJob"])
    name, env = f"job{number}", f"env{number}"
    maps = [env, *([f"more{number}"] if rng.random() < 0.3 else [])]
    made = Overlay(number, kind, f"over{number}")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": f"account{number}"}}
    base: Json = {"resources": ["job.yaml", "account.yaml"], "configurations": ["names.yaml"]}
    made.files[f"base{number}/job.yaml"] = fast(manifest(rng, kind, name, maps))
    made.files[f"base{number}/account.yaml"] = fast(account)
    made.files[f"base{number}/names.yaml"] = NAMES
    made.files[f"base{number}/kustomization.yaml"] = fast(base)
    kustomization: Json = {"resources": [f"../base{number}"], "configMapGenerator": [generator(rng, made, each) for each in maps]}
    if rng.random() < 0.3:
        kustomization["configMapGenerator"].insert(0, {"name": f"board{number}", "literals": ["MLOPS_SEED=9"]})
    if rng.random() < 0.3:
        kustomization["namespace"] = "first"
    patches(rng, made, kustomization, name, account)
    if kind == "MPIJob" and rng.random() < 0.2:
        target = "spec.mpiReplicaSpecs.Launcher.template.spec.containers.[name=launcher].env.[name=MLOPS_WORKERS].value"
        source = {"kind": kind, "name": name, "fieldPath": "spec.mpiReplicaSpecs.Worker.replicas"}
        targets = [{"select": {"kind": kind, "name": name}, "fieldPaths": [target], "options": {"create": True}}]
        kustomization["replacements"] = [{"source": source, "targets": targets}]
    made.files[f"{made.folder}/kustomization.yaml"] = dump(rng, kustomization)
    if rng.random() < 0.3:
        dev: Json = {"resources": [f"../{made.folder}"]}
        made.folder = f"dev{number}"
        if rng.random() < 0.6:
            dev["configMapGenerator"] = [{"name": env, "behavior": "merge", "literals": ["MLOPS_NOTE=dev"]}]
        patches(rng, made, dev, name, account)
        made.files[f"{made.folder}/kustomization.yaml"] = dump(rng, dev)
    return made


def generator(rng: random.Random, made: Overlay, name: str) -> Json:
    values = {key: rng.choice(["1", "a b", "x=y", "true", "010", "/p"]) for key in rng.sample(KEYS, rng.randint(0, 3))}
    style = rng.choice(["envs", "envs", "env", "literals", "both"])
    if style == "literals":
        return {"name": name, "literals": [f"{key}={value}" for key, value in values.items()] or ["OTHER=1"]}
    file = rng.choice([f"{name}.env", ".env", f"values/{name}.env"])
    file = file if f"{made.folder}/{file}" not in made.files else f"{name}.env"
    end = "\r\n" if rng.random() < 0.1 else "\n"
    made.files[f"{made.folder}/{file}"] = "# ours" + end + "".join(f"{key}={value}{end}" for key, value in values.items())
    named = spelled(rng, file)
    found: Json = {"name": name, "envs": [named]} if style != "env" else {"name": name, "env": named}
    return found | ({"literals": ["OTHER=1"]} if style == "both" else {})


def inline(rng: random.Random, text: str) -> str:
    """A text in the kustomization; JSON often stands on one line there, in quotes."""
    text = text.replace("\r", "")
    return text.removesuffix("\n") if rng.random() < 0.5 else text


def spelled(rng: random.Random, file: str) -> str:
    """A path as people write it."""
    return rng.choice([*["%s"] * 6, "./%s", "there/../%s", ".//%s"]) % file


def patches(rng: random.Random, made: Overlay, kustomization: Json, name: str, account: Json) -> None:
    fields: dict[str, list[Any]] = {"patchesStrategicMerge": [], "patches": [], "patchesJson6902": []}
    listed = fields["patches"]
    for number in range(rng.choice([0, *[1] * 8, *[2] * 6, 3, 3])):
        file = f"patch{number}{rng.choice(['.yaml', '.yaml', '.yml', '.json', '.patch', '.yaml.txt', ''])}"
        named = spelled(rng, file)
        is_old = rng.random() < 0.2  # the fields that `patches` has taken the place of
        target = {"kind": made.kind, "name": name}
        choice = rng.choice(["file", "file", "documents", "inline", "operations", "inline operations"])
        if "operations" in choice:
            text = written(rng, [operations(rng, made.kind)])
            full = {**target, "group": "" if made.kind == "Pod" else "kubeflow.org", "version": "v1" if made.kind == "Pod" else "v2beta1"}
            operated = {"patch": inline(rng, text)} if "inline" in choice else {"path": named}
            fields["patchesJson6902" if is_old else "patches"].append({**operated, "target": full if is_old else target})
        else:
            documents = [account] if choice == "documents" else []
            text = written(rng, [*documents, patch(rng, made.kind, name)])
            entry: Json = {"patch": inline(rng, text)} if choice == "inline" else {"path": named}
            if is_old:
                fields["patchesStrategicMerge"].extend(entry.values())
            else:
                listed.append(entry | ({"target": target} if not documents and rng.random() < 0.5 else {}))
        if "inline" not in choice:
            made.files[f"{made.folder}/{file}"] = text
    kustomization |= {field: items for field, items in fields.items() if items}


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, or in the quotes of one person."""

    quotes = "|"


def _text(dumper: _Dumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=dumper.quotes if "\n" in value else None)


_Dumper.add_representer(str, _text)


def dump(rng: random.Random, kustomization: Mapping[str, Any]) -> str:
    dumper = type("Dumper", (_Dumper,), {"quotes": rng.choice([*"||||||", '"', ">", "'"])})
    return str(yaml.dump(kustomization, Dumper=dumper, sort_keys=False, indent=rng.choice([2, 4]), width=2000))


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def render(root: Path, folders: Sequence[str]) -> dict[str, list[Json] | None]:
    """What each folder renders to, by one kubectl as long as all do; None for one that does not."""
    if not folders:
        return {}
    parent = root / "all"
    shutil.rmtree(parent, ignore_errors=True)
    shutil.copytree(BASE, parent)
    write(
        root,
        {"all/kustomization.yaml": json.dumps({"resources": [f"../{folder}" for folder in folders], "openapi": {"path": "schema.json"}})},
    )
    ended = subprocess.run(["kubectl", "kustomize", str(parent)], capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        if len(folders) == 1:
            return {folders[0]: None}
        half = len(folders) // 2
        return render(root, folders[:half]) | render(root, folders[half:])
    found: dict[str, list[Json] | None] = {folder: [] for folder in folders}
    by_number = {re.sub(r"\D", "", folder): folder for folder in folders}
    for item in yaml.load_all(ended.stdout, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        number = re.match(r"[a-z]+(\d+)", item["metadata"]["name"])
        assert number is not None
        objects = found[by_number[number[1]]]
        assert objects is not None
        objects.append(item)
    return found
