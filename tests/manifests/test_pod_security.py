"""What the Pod Security level `restricted` asks for, and what any uid with a read-only root file system needs."""

from __future__ import annotations

import pytest

from tests.manifests.tools import Object, Rendered, container, environment, pod_specs

# https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
ALLOWED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


@pytest.fixture(params=["Pod", "Launcher", "Worker", "worker"])
def pod(request: pytest.FixtureRequest, single_node: Rendered, multi_node: Rendered, all_reduce: Rendered) -> Object:
    found: Object = (pod_specs(single_node) | pod_specs(multi_node) | pod_specs(all_reduce))[str(request.param)]
    return found


def test_the_pod_is_restricted(pod: Object) -> None:
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] != 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(pod)


def test_the_container_is_restricted_and_its_root_is_read_only(pod: Object) -> None:
    assert container(pod)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert [port for port in container(pod).get("ports", []) if "hostPort" in port] == []


def test_every_volume_is_of_an_allowed_kind_and_mounted(pod: Object) -> None:
    assert {kind for volume in pod["volumes"] for kind in volume if kind != "name"} <= ALLOWED_VOLUMES
    assert {mount["name"] for mount in container(pod)["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_the_places_that_must_be_writable_are_volumes(pod: Object) -> None:
    mounts = {mount["mountPath"]: mount for mount in container(pod)["volumeMounts"]}
    assert {path for path, mount in mounts.items() if not mount.get("readOnly")} >= {"/outputs", "/home/mlops", "/tmp"}
    assert environment(pod)["HOME"] == "/home/mlops"
    assert mounts["/etc/passwd"] == {"mountPath": "/etc/passwd", "name": "passwd", "subPath": "passwd", "readOnly": True}


def test_data_is_mounted_read_only_and_claims_are_only_named(pod: Object) -> None:
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    if "RANK" not in environment(pod):  # the all-reduce program reads no data
        assert volumes["datasets"]["persistentVolumeClaim"] == {"claimName": "datasets", "readOnly": True}
    assert volumes["outputs"]["persistentVolumeClaim"] == {"claimName": "outputs"}


def test_the_pod_has_no_access_to_the_api_and_ends(pod: Object) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == "mlops"
    # The MPIJob's restart policy stands on the replica, and the operator writes it into the pod.
    assert pod.get("restartPolicy", "Never") == "Never"


def test_replicas_of_the_job_do_not_restart_in_place(multi_node: Rendered) -> None:
    replicas = multi_node.object("MPIJob")["spec"]["mpiReplicaSpecs"]
    assert {role: replica["restartPolicy"] for role, replica in replicas.items()} == {"Launcher": "Never", "Worker": "Never"}


def test_only_the_environment_of_a_rank_is_in_the_open(single_node: Rendered, multi_node: Rendered) -> None:
    assert {o["kind"] for r in (single_node, multi_node) for o in r.objects} == {"ConfigMap", "MPIJob", "Pod", "ServiceAccount"}
