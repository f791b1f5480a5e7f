"""No right input is an error: overlays in other people's styles pass `check --strict`."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_launch.clients.process import Processes
from mlops_launch.commands.overlay.check import check_overlay
from mlops_launch.commands.overlay.init import PARTS
from tests.unit.overlays import PATCHES, ROOT

Change = Callable[[Path], Path | None]
HEADS = {
    "multi-node": {"apiVersion": "kubeflow.org/v2beta1", "kind": "MPIJob", "metadata": {"name": "resnet50v1-5"}},
    "single-node": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "resnet50v1-5-training"}},
}
RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
SIDECAR = {"name": "exporter", "image": "ghcr.io/me/exporter:1.2", "securityContext": RESTRICTED}
DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part)
    for env in folder.glob("quickstart/k8s/mlops/*/mlops.env"):
        env.write_text(env.read_text().replace("registry.example.com/mlops", "ghcr.io/me"))
    return folder / "quickstart/k8s/mlops"


def findings(package: Path, mode: str, change: Change) -> list[str]:
    """What `check` finds in a copy of a shipped overlay after a change, which may return another folder to check."""
    overlays = package.parent / "tried"
    shutil.rmtree(overlays, ignore_errors=True)
    for name in ("multi-node", "single-node"):
        shutil.copytree(package / name, overlays / name)
    return [finding.to_text() for finding in check_overlay(change(overlays / mode) or overlays / mode, Processes())]


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(dedent(text).lstrip("\n"))


def replace(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text()
    assert old in text, f"{name} does not contain: {old}"
    (folder / name).write_text(text.replace(old, new))


def kustomization(folder: Path, **fields: Any) -> None:
    """Set fields of the kustomization; lists are appended to."""
    data = yaml.safe_load((folder / "kustomization.yaml").read_text())
    for field, value in fields.items():
        data[field] = [*data.get(field, []), *value] if isinstance(value, list) else value
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(data, sort_keys=False))


def patch(folder: Path, mode: str, spec: dict[str, Any]) -> None:
    """Add a further strategic merge patch of the workload."""
    write(folder, "more.yaml", yaml.safe_dump({**HEADS[mode], "spec": spec}))
    kustomization(folder, patches=[{"path": "more.yaml"}])


def roles(**pods: dict[str, Any]) -> dict[str, Any]:
    return {"mpiReplicaSpecs": {role: {"template": {"spec": pod}} for role, pod in pods.items()}}


def env(folder: Path, text: str) -> None:
    with (folder / "mlops.env").open("a") as file:
        file.write(text)


def restyle(folder: Path, name: str, dump: Callable[[Any], str]) -> None:
    path = folder / name
    path.write_text(dump(yaml.safe_load(path.read_text())))


def on_base(folder: Path, text: str, **files: str) -> Path:
    """Write an overlay on the overlay."""
    above = folder.parent / "prod"
    write(above, "kustomization.yaml", text)
    for name, content in files.items():
        write(above, name.replace("_", "."), content)
    return above


def both_counts() -> str:
    name = "spec.mpiReplicaSpecs.Launcher.template.spec.containers.[name=launcher].env.[name=MLOPS_WORKERS].value"
    return f"""
        - source: {{kind: MPIJob, fieldPath: spec.mpiReplicaSpecs.Worker.replicas}}
          targets:
          - select: {{kind: MPIJob}}
            fieldPaths: ["{name}"]
    """


def own_image(folder: Path) -> None:
    text = (folder / "replacements.yaml").read_text()
    (folder / "replacements.yaml").write_text("- source:" + text.split("- source:", 3)[3])
    patch(folder, "single-node", {"containers": [{"name": "training", "image": f"ghcr.io/acme/trainer@{DIGEST}"}]})


def renamed_kustomization(folder: Path) -> None:
    (folder / "kustomization.yaml").rename(folder / "Kustomization")


def dot_env(folder: Path) -> None:
    (folder / "mlops.env").rename(folder / ".env")
    replace(folder, "kustomization.yaml", "- mlops.env", "- .env")


def literals(folder: Path) -> None:
    lines = [line for line in (folder / "mlops.env").read_text().splitlines() if line and not line.startswith("#")]
    data = yaml.safe_load((folder / "kustomization.yaml").read_text())
    data["configMapGenerator"][0].pop("envs")
    data["configMapGenerator"][0]["literals"] = lines
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(data))


def tensorboard(folder: Path) -> None:
    write(folder, "tensorboard.env", 'BIND="0.0.0.0"\nexport X=\nPATH_PREFIX=/tb # comment\n')
    write(
        folder,
        "tensorboard.yaml",
        """
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: tensorboard}
        spec:
          selector: {matchLabels: {app: tensorboard}}
          template:
            metadata: {labels: {app: tensorboard}}
            spec:
              containers:
              - {name: tensorboard, image: tensorboard, envFrom: [{configMapRef: {name: tensorboard-env}}]}
        """,
    )
    kustomization(folder, resources=["tensorboard.yaml"])
    data = yaml.safe_load((folder / "kustomization.yaml").read_text())
    data["configMapGenerator"].insert(0, {"name": "tensorboard-env", "envs": ["tensorboard.env"]})
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(data))


def lying_around(folder: Path) -> None:
    write(folder, "pod.j2.yaml", "{% if gpu %}\nkind: Pod\n")
    write(folder, "notes.yml", "a: 1\na: 2\n")
    (folder / "old.env").write_bytes(b"NOTE=caf\xe9\n")
    (folder / "latest").symlink_to("/nonexistent")


def several_documents(folder: Path) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "mlops", "annotations": {"team": "vision"}}}
    job = {**HEADS["multi-node"], "spec": {"mpiReplicaSpecs": {"Worker": {"replicas": 5}}}}
    write(folder, "two.yaml", yaml.safe_dump_all([account, job]))
    kustomization(folder, patches=[{"path": "two.yaml"}])


def claims(folder: Path) -> None:
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "outputs"}}
    write(folder, "claims.yaml", yaml.safe_dump({**claim, "spec": {"accessModes": ["ReadWriteMany"]}}))
    kustomization(folder, resources=["claims.yaml"])


def sidecar_with_variables(folder: Path) -> None:
    write(folder, "exporter.env", 'LISTEN=":9400"\nexport A=1\nB=${HOME} # here\n')
    kustomization(folder, configMapGenerator=[{"name": "exporter-env", "envs": ["exporter.env"]}])
    sidecar = {**SIDECAR, "envFrom": [{"configMapRef": {"name": "exporter-env"}}]}
    patch(folder, "multi-node", roles(Worker={"containers": [{"name": "worker"}, sidecar]}))


def secret_of_a_pod(folder: Path) -> None:
    variable = {"name": "WANDB_API_KEY", "valueFrom": {"secretKeyRef": {"name": "wandb", "key": "key"}}}
    patch(folder, "single-node", {"containers": [{"name": "training", "env": [variable]}]})
    kustomization(folder, secretGenerator=[{"name": "wandb", "literals": ["key=1"]}])


MULTI: dict[str, Change] = {
    "as it comes": lambda f: None,
    "flow style": lambda f: restyle(f, PATCHES["multi-node"], lambda data: yaml.safe_dump(data, default_flow_style=True)),
    "JSON": lambda f: restyle(f, PATCHES["multi-node"], json.dumps),
    "four spaces and sorted keys": lambda f: restyle(f, PATCHES["multi-node"], lambda data: yaml.safe_dump(data, indent=4)),
    "everything quoted": lambda f: restyle(f, PATCHES["multi-node"], lambda data: json.dumps(data, indent=2)),
    "CRLF": lambda f: [
        (f / n).write_bytes((f / n).read_bytes().replace(b"\n", b"\r\n")) for n in ("kustomization.yaml", PATCHES["multi-node"])
    ] and None,
    "tabs between tokens": lambda f: replace(f, PATCHES["multi-node"], "replicas: 2", "replicas:\t2\t# two"),
    "comments, markers and blank lines": lambda f: replace(f, PATCHES["multi-node"], "spec:\n", "spec:\n\n\n# --- here\n", ),
    "JSON6902 inline": lambda f: kustomization(
        f,
        patches=[{"target": {"kind": "MPIJob"}, "patch": "- op: replace\n  path: /spec/mpiReplicaSpecs/Worker/replicas\n  value: 5"}],
    ),
    "JSON6902 in a JSON file": lambda f: [
        write(f, "size.json", '[{"op": "replace", "path": "/spec/mpiReplicaSpecs/Worker/replicas", "value": 1}]'),
        kustomization(f, patches=[{"path": "size.json", "target": {"kind": "MPIJob", "name": "resnet.*"}}]),
    ] and None,
    "a second patch over the first": lambda f: patch(f, "multi-node", {"mpiReplicaSpecs": {"Worker": {"replicas": 5}}}),
    "several documents": several_documents,
    "literals": literals,
    ".env": dot_env,
    "another generator and its Deployment": tensorboard,
    "files that kustomize never reads": lying_around,
    "Kustomization": renamed_kustomization,
    "no apiVersion and kind": lambda f: replace(
        f, "kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n", ""
    ),
    "prefix, suffix, namespace, labels": lambda f: kustomization(
        f, namePrefix="alice-", nameSuffix="-run-1", namespace="team-a", commonAnnotations={"team": "vision"},
        labels=[{"pairs": {"team": "vision"}}],
    ),  # fmt: skip
    "paths with dots": lambda f: [
        replace(f, "kustomization.yaml", "- path: mlops-job", "- path: ./mlops-job"),
        replace(f, "kustomization.yaml", "- mlops.env", "- there/../mlops.env"),
    ] and None,
    "a patch without an extension": lambda f: [
        (f / PATCHES["multi-node"]).rename(f / "size"), replace(f, "kustomization.yaml", "- path: mlops-job-patch.yaml", "- path: size"),
    ] and None,
    "a target by labels": lambda f: replace(
        f, "kustomization.yaml", "    name: resnet50v1-5\n", "    labelSelector: app.kubernetes.io/part-of=mlops-launch\n"
    ),
    "operations as a line of JSON": lambda f: kustomization(
        f, patches=[{"target": {"kind": "MPIJob"}, "patch": '[{"op": "replace", "path": "/spec/slotsPerWorker", "value": 5}]'}]
    ),
    "operations in a file with tabs": lambda f: [
        write(f, "ops.json", '[\n\t{"op": "replace", "path": "/spec/slotsPerWorker", "value": 5}\n]\n'),
        kustomization(f, patches=[{"target": {"kind": "MPIJob"}, "path": "ops.json"}]),
    ] and None,
    "what kubectl prints beside": lambda f: replace(
        f, PATCHES["multi-node"], "  name: resnet50v1-5\n", "  name: resnet50v1-5\n  creationTimestamp: null\nstatus: {}\n"
    ),
    "an empty namespace": lambda f: kustomization(f, namespace=""),
    "an empty patch, and one of comments": lambda f: [
        write(f, "empty.yaml", ""), write(f, "later.yaml", "# nothing yet\n"),
        kustomization(f, patches=[{"path": "empty.yaml"}, {"path": "later.yaml"}]),
    ] and None,
    "labels and annotations": lambda f: kustomization(
        f, labels=[{"pairs": {"example.com/team": "vision_2.x", "empty": ""}}], commonAnnotations={"note": "a text, of any kind: " * 9}
    ),
    "a registry by its address": lambda f: replace(f, "mlops.env", "ghcr.io/me", "[::1]:5000/a_team"),
    "no hash": lambda f: kustomization(f, generatorOptions={"disableNameSuffixHash": True}),
    "a sidecar behind the worker": lambda f: patch(f, "multi-node", roles(Worker={"containers": [{"name": "worker"}, SIDECAR]})),
    "a sidecar with variables of its own": sidecar_with_variables,
    "a launcher that calls mpirun in a script": lambda f: patch(
        f, "multi-node", roles(Launcher={"containers": [{"name": "launcher", "command": ["bash", "/outputs/launch.sh"], "args": []}]})
    ),
    "an init container": lambda f: patch(
        f, "multi-node", roles(Worker={"initContainers": [{**SIDECAR, "command": ["sh", "-c", "echo $(date) on $(hostname)"]}]})
    ),
    "placement": lambda f: patch(
        f,
        "multi-node",
        roles(
            Worker={
                "nodeSelector": {"gpu": "true"},
                "tolerations": [{"key": "gpu", "operator": "Equal", "value": "1", "effect": "NoSchedule"}],
                "priorityClassName": "high",
                "imagePullSecrets": [{"name": "registry"}],
                "affinity": {"nodeAffinity": {}},
            }
        ),
    ),
    "the component gpu": lambda f: [
        kustomization(f, components=["../../../common/tensorflow/k8s/mlops/components/gpu"]),
        replace(f, PATCHES["multi-node"], "nvidia.com/gpu: 0", "nvidia.com/gpu: 1"),
    ] and None,
    "another vendor's device": lambda f: [
        replace(f, PATCHES["multi-node"], "nvidia.com/gpu: 0", "habana.ai/gaudi: 5"),
        replace(f, PATCHES["multi-node"], "slotsPerWorker: 1", "slotsPerWorker: 5"),
    ] and None,
    "units": lambda f: [
        replace(f, PATCHES["multi-node"], "memory: 8Gi", "memory: 8e9"),
        replace(f, PATCHES["multi-node"], 'cpu: "4"', "cpu: 4\n                ephemeral-storage: 10G\n                hugepages-2Mi: 0"),
    ] and None,
    "a ConfigMap and a Secret of the cluster": lambda f: patch(
        f,
        "multi-node",
        roles(
            Launcher={
                "containers": [
                    {"name": "launcher", "envFrom": [{"configMapRef": {"name": "mlops-env"}}, {"secretRef": {"name": "tracking"}}]}
                ],
                "volumes": [{"name": "ca", "configMap": {"name": "trusted-ca"}}],
            }
        ),
    ),
    "claims beside the job": claims,
    "a digest": lambda f: replace(f, "mlops.env", "IMAGE_TAG=0.1.0", f"IMAGE_TAG=0.1.0@{DIGEST}"),
    "a port and a path in the registry": lambda f: replace(f, "mlops.env", "ghcr.io/me", "registry.internal:5000/team/vision"),
    "horovodrun": lambda f: patch(
        f,
        "multi-node",
        roles(
            Launcher={
                "containers": [
                    {
                        "name": "launcher",
                        "args": ["horovodrun", "--min-np", "1", "--host-discovery-script", "/etc/mpi/discover_hosts.sh", "bash",
                                 "$(MODEL_DIR)/quickstart/$(MODEL_SCRIPT)"],
                    }
                ]
            }
        ),
    ),  # fmt: skip
    "an equals sign, a time and a date as values": lambda f: env(f, "HOROVOD_A==\nHOROVOD_B=<<\nHOROVOD_C=12:30\nHOROVOD_D=2026-01-01\n"),
    "on a base: namespace and suffix": lambda f: on_base(f, "resources: [../multi-node]\nnamespace: prod\nnameSuffix: -prod\n"),
    "on a base: another output folder": lambda f: on_base(
        f,
        "resources: [../multi-node]\nconfigMapGenerator:\n- {name: mlops-env, behavior: merge, envs: [prod.env]}\n",
        prod_env="OUTPUT_DIR=/outputs/prod\nMLOPS_SEED=7\n",
    ),
    "on a base: images": lambda f: on_base(
        f, "resources: [../multi-node]\nimages:\n- {name: ghcr.io/me/mlops-launch, newName: ghcr.io/prod/mlops-launch, newTag: 0.2.0}\n"
    ),
    "on a base: more workers, with the replacement": lambda f: on_base(
        f,
        "resources: [../multi-node]\npatches: [{path: size.yaml}]\nreplacements:" + dedent(both_counts()),
        size_yaml=yaml.safe_dump({**HEADS["multi-node"], "spec": {"mpiReplicaSpecs": {"Worker": {"replicas": 5}}}}),
    ),
}  # fmt: skip
SINGLE: dict[str, Change] = {
    "as it comes": lambda f: None,
    "a sidecar in front": lambda f: patch(f, "single-node", {"containers": [SIDECAR]}),
    "a suffix with a dot": lambda f: kustomization(f, nameSuffix="-v2.1"),
    "an image of one's own": own_image,
    "a generated Secret": secret_of_a_pod,
    "variables of the system and one's own": lambda f: env(f, "HTTPS_PROXY=http://proxy:3128\nTZ=Europe/Berlin\nPEPPER=1\nNCCL_DEBUG=INFO\n"),
    "anchors and merge keys": lambda f: replace(
        f, PATCHES["single-node"], "      requests:\n        cpu: 500m\n        memory: 4Gi\n      limits:\n",
        "      requests: &small\n        cpu: 500m\n        memory: 4Gi\n      limits:\n        <<: *small\n",
    ),
}  # fmt: skip
CASES = [("multi-node", name) for name in MULTI] + [("single-node", name) for name in SINGLE]


@pytest.mark.parametrize(("mode", "name"), CASES, ids=[f"{mode}: {name}" for mode, name in CASES])
def test_a_right_overlay_has_no_finding(mode: str, name: str, package: Path) -> None:
    assert findings(package, mode, (MULTI if mode == "multi-node" else SINGLE)[name]) == []


def test_there_are_thirty() -> None:
    assert len(CASES) >= 30


def styled(data: Any, source: random.Random, depth: int = 0) -> str:
    """YAML for `data` in a random style: block or flow, any indentation, quotes where they change nothing, comments."""
    if isinstance(data, dict) and data and source.random() < 0.8:
        pad = " " * source.choice([1, 2, 4])
        lines = []
        for key in source.sample(list(data), len(data)):
            value = styled(data[key], source, depth + 1)
            name = f'"{key}"' if source.random() < 0.2 else key
            block = "\n" in value or (isinstance(data[key], dict | list) and data[key] and value[0] not in "[{")
            body = "\n" + "\n".join(pad + line for line in value.split("\n")) if block else f" {value}"
            lines.append(f"{name}:{body}" + ("  # why" if not block and source.random() < 0.2 else ""))
        return "\n".join(lines)
    if isinstance(data, list) and data and source.random() < 0.8:
        return "\n".join("- " + styled(item, source, depth + 1).replace("\n", "\n  ") for item in data)
    return json.dumps(data)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_style_of_the_patch_makes_no_finding(seed: int, package: Path) -> None:
    source = random.Random(seed)
    mode = source.choice(["multi-node", "single-node"])
    newline = source.choice(["\n", "\r\n"])

    def change(folder: Path) -> None:
        data = yaml.safe_load((folder / PATCHES[mode]).read_text())
        (folder / PATCHES[mode]).write_bytes((styled(data, source) + "\n").replace("\n", newline).encode())

    assert findings(package, mode, change) == []
