"""Every rendered object against its schema, unknown fields refused.

Core objects by the models of the Kubernetes client, MPIJobs and JobSets by their CRDs.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from kubernetes import client
from pydantic import ValidationError

from tests.manifests.tools import MULTI_NODE, NEEDS_NETWORK, ROOT, Kustomize, Object, Rendered, container, kustomizations

MODELS = {
    "ConfigMap": client.V1ConfigMap,
    "CronJob": client.V1CronJob,
    "Job": client.V1Job,
    "PersistentVolume": client.V1PersistentVolume,
    "PersistentVolumeClaim": client.V1PersistentVolumeClaim,
    "Pod": client.V1Pod,
    "ResourceQuota": client.V1ResourceQuota,
    "Role": client.V1Role,
    "RoleBinding": client.V1RoleBinding,
    "ServiceAccount": client.V1ServiceAccount,
}
FOLDERS = [f for f in kustomizations() if f.startswith(("quickstart/k8s/", "k8s/")) and f not in NEEDS_NETWORK]


def with_text_quantities(value: Any, inside: bool = False) -> Any:
    """Return the object with numbers among resources as text: the API takes both, the client's models only text."""
    if isinstance(value, dict):
        return {key: with_text_quantities(item, inside or key in ("limits", "requests")) for key, item in value.items()}
    if isinstance(value, list):
        return [with_text_quantities(item, inside) for item in value]
    return str(value) if inside else value


def validate_core(manifest: Object) -> None:
    MODELS[manifest["kind"]].model_validate(with_text_quantities(manifest))


def closed(schema: Any) -> Any:
    """Return a CRD's schema with unknown fields refused, as `kubectl apply --validate=strict` does."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(item) for key, item in schema.items()}
    if (
        isinstance(schema.get("properties"), dict)
        and schema.get("type") == "object"
        and not schema.get("x-kubernetes-preserve-unknown-fields")
    ):
        schema["additionalProperties"] = False
    return schema


@pytest.fixture(scope="module")
def mpi_job_schema(mpi_operator_module: Path) -> jsonschema.Draft7Validator:
    return validator(mpi_operator_module / "manifests" / "base" / "kubeflow.org_mpijobs.yaml", "v2beta1")


@pytest.fixture(scope="module")
def jobset_schema(jobset_module: Path) -> jsonschema.Draft7Validator:
    return validator(jobset_module / "config" / "components" / "crd" / "bases" / "jobset.x-k8s.io_jobsets.yaml", "v1alpha2")


def validator(path: Path, name: str) -> jsonschema.Draft7Validator:
    definition = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (version,) = (v for v in definition["spec"]["versions"] if v["name"] == name)
    schema = closed(version["schema"]["openAPIV3Schema"])
    # The CRD leaves metadata to the API server.
    schema["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft7Validator(schema)


@pytest.mark.parametrize("folder", FOLDERS)
def test_core_objects_are_valid(folder: str, kubectl: Kustomize) -> None:
    objects = [o for o in kubectl.render(ROOT / folder).objects if o["kind"] not in ("MPIJob", "JobSet")]
    assert objects
    for manifest in objects:
        validate_core(manifest)


def test_the_mpijob_is_valid(multi_node: Rendered, mpi_job_schema: jsonschema.Draft7Validator) -> None:
    errors = [f"{error.json_path}: {error.message}" for error in mpi_job_schema.iter_errors(multi_node.object("MPIJob"))]
    assert errors == []


def test_the_jobset_is_valid(all_reduce: Rendered, jobset_schema: jsonschema.Draft7Validator) -> None:
    job = all_reduce.object("JobSet")
    assert [f"{error.json_path}: {error.message}" for error in jobset_schema.iter_errors(job)] == []
    job = copy.deepcopy(job)
    job["spec"]["replicatedJobs"][0]["replica"] = 1
    assert len(list(jobset_schema.iter_errors(job))) == 1


def test_the_schemas_refuse_a_misspelt_field(single_node: Rendered, kubectl: Kustomize, mpi_job_schema: jsonschema.Draft7Validator) -> None:
    pod = copy.deepcopy(single_node.object("Pod"))
    pod["spec"]["securityContext"]["runAsUsr"] = 1
    with pytest.raises(ValidationError):
        validate_core(pod)
    job = kubectl.render(MULTI_NODE).object("MPIJob")
    job["spec"]["slotPerWorker"] = 1
    container(job["spec"]["mpiReplicaSpecs"]["Worker"]["template"]["spec"])["imagePolicy"] = "Always"
    assert len(list(mpi_job_schema.iter_errors(job))) == 2
