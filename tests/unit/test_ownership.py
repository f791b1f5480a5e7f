"""What goes with a training and what stays: by label, by name, by owner."""

from __future__ import annotations

from typing import Any

from mlops_launch.core.kube.ownership import divide, owned, reference, references
from tests.unit.objects import meta


def thing(kind: str, name: str, instance: str = "demo", **more: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {**meta(name, **{"app.kubernetes.io/instance": instance}), **more}}


def names(items: list[Any]) -> list[tuple[str, str]]:
    return [reference(item) for item in items]


def user_of(account: str, config_map: str) -> dict[str, Any]:
    spec = {
        "serviceAccountName": account,
        "volumes": [{"name": "a", "configMap": {"name": "passwd-1"}}, {"name": "b", "secret": {"secretName": "key"}}],
        "containers": [{"envFrom": [{"configMapRef": {"name": config_map}}], "env": [{"name": "X", "valueFrom": {"fieldRef": {}}}]}],
    }
    return spec


def test_what_a_job_refers_to() -> None:
    expected = {("ServiceAccount", "mlops"), ("ConfigMap", "passwd-1"), ("Secret", "key"), ("ConfigMap", "env-1")}
    assert references([user_of("mlops", "env-1")]) == expected


def test_labels_decide_and_old_hashed_names_go_too() -> None:
    items = [thing("ConfigMap", "env-1"), thing("ConfigMap", "env-2"), thing("ConfigMap", "other", "elsewhere")]
    gone, kept = divide(items, "demo", (), [])
    assert (names(gone), names(kept)) == ([("ConfigMap", "env-1"), ("ConfigMap", "env-2")], [])


def test_what_carries_another_trainings_label_goes_with_the_last_one_that_uses_it() -> None:
    account = thing("ServiceAccount", "mlops", "elsewhere")
    assert names(divide([account], "demo", [("ServiceAccount", "mlops")], [])[0]) == [("ServiceAccount", "mlops")]
    gone, kept = divide([account], "demo", [("ServiceAccount", "mlops")], references([user_of("mlops", "env-9")]))
    assert (gone, names(kept)) == ([], [("ServiceAccount", "mlops")])


def test_claims_and_what_is_not_ours_never_go() -> None:
    foreign = thing("ConfigMap", "env-1")
    foreign["metadata"]["labels"] = {"app.kubernetes.io/instance": "demo"}
    assert divide([thing("PersistentVolumeClaim", "outputs"), foreign], "demo", [("ConfigMap", "env-1")], []) == ([], [])


def test_what_owners_made_over_several_steps() -> None:
    items = [
        thing("Pod", "launcher", ownerReferences=[{"uid": "uid-launcher-job"}]),
        thing("Job", "launcher-job", ownerReferences=[{"uid": "uid-demo"}]),
        thing("Pod", "stranger", ownerReferences=[{"uid": "uid-else"}]),
    ]
    assert names(owned(items, ["uid-demo"])) == [("Pod", "launcher"), ("Job", "launcher-job")]
