"""k8s/rbac: the rights that training in one namespace takes, and none over Secrets, other rights or the cluster."""

from __future__ import annotations

import pytest

from mlops_launch.commands.cluster.remove import LOOKED_AT
from mlops_launch.core.workload.kinds import KINDS, Kind
from tests.manifests.tools import ROOT, Kustomize, allowed, resource


@pytest.fixture
def rights(kubectl: Kustomize) -> set[tuple[str, str, str]]:
    return allowed(kubectl.render(ROOT / "k8s" / "rbac"))


def test_it_is_bound_in_one_namespace_to_a_group(kubectl: Kustomize) -> None:
    rendered = kubectl.render(ROOT / "k8s" / "rbac")
    assert sorted((o["kind"], o["metadata"]["namespace"]) for o in rendered.objects) == [("Role", "default"), ("RoleBinding", "default")]
    binding = rendered.object("RoleBinding")
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Role",
        "name": rendered.object("Role")["metadata"]["name"],
    }
    assert [subject["kind"] for subject in binding["subjects"]] == ["Group"]


def test_no_secret_can_be_read_and_no_right_given_on(rights: set[tuple[str, str, str]]) -> None:
    assert {"secrets", "roles", "rolebindings", "serviceaccounts/token", "*"}.isdisjoint({resource for _, resource, _ in rights})
    assert {"*", "escalate", "bind", "impersonate"}.isdisjoint({verb for _, _, verb in rights})


def test_delete_can_look_at_all_but_secrets(rights: set[tuple[str, str, str]]) -> None:
    listed = {(group, resource) for group, resource, verb in rights if verb == "list"}
    looked_at = {resource(*kind) for kind in LOOKED_AT}
    assert looked_at - listed == {("", "secrets")}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_of_workload_can_be_run_and_deleted(rights: set[tuple[str, str, str]], kind: Kind) -> None:
    of_kind = resource(kind.api_version, kind.name)
    assert {(*of_kind, verb) for verb in ("get", "list", "watch", "create", "patch", "delete")} <= rights


def test_claims_can_be_seen_and_not_made_or_deleted(rights: set[tuple[str, str, str]]) -> None:
    verbs = {verb for _, resource, verb in rights if resource == "persistentvolumeclaims"}
    assert verbs == {"get", "list", "watch"}
