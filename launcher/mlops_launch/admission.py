"""What a phrase of Kubernetes means, and the phrases of admission, which the API client and the search for causes both meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Words:
    """One row of a table of words.

    Args:
        phrase: a part of the message, or a reason; messages change between versions, so never a whole one.
        kind: of the cause: `taint`, `quota`, `image`, …
        text: the cause, without the evidence; `{who}` is the pod.
        hint: what to do; `{who}` is the pod's name.
        final: waiting longer cannot help.
        again: nothing of ours was wrong, another try may help.
    """

    phrase: str
    kind: str
    text: str
    hint: str
    final: bool = False
    again: bool = False


def lookup(table: Sequence[Words], message: str) -> Words | None:
    """Return the first row whose phrase a message has, in any case of letters."""
    lowered = message.lower()
    return next((row for row in table if row.phrase.lower() in lowered), None)


_PATCH: Final = "in the overlay's patch file"

# Kubernetes 1.36: plugin/pkg/admission, pkg/quota, staging/src/k8s.io/pod-security-admission.
ADMISSION: Final = (
    Words(
        "violates PodSecurity", "security", "the namespace's Pod Security refuses the pods",
        "the overlays fit `restricted`: see the securityContext in the patch", final=True,
    ),
    Words(
        "exceeded quota", "quota", "the namespace's quota is used up",
        "ask for less, or delete what is not needed; `kubectl describe quota` shows what is used",
    ),
    Words(
        "insufficient quota to consume", "quota", "the namespace's quota is used up",
        "ask for less, or delete what is not needed; `kubectl describe quota` shows what is used",
    ),
    Words(
        "failed quota", "quota demands", "the namespace's quota demands requests and limits", f"give them {_PATCH}", final=True,
    ),
    Words(
        "status unknown for quota", "quota unknown", "the namespace's quota is new and not counted yet",
        "wait a moment; if it stays, is kube-controller-manager up?",
    ),
    Words(
        "max limit to request ratio", "limit range", "the namespace's LimitRange refuses the pods",
        f"change the resources {_PATCH}; `kubectl describe limitrange` shows what is allowed", final=True,
    ),
    *(
        Words(
            phrase, "limit range", "the namespace's LimitRange refuses the pods",
            f"change the resources {_PATCH}; `kubectl describe limitrange` shows what is allowed", final=True,
        )
        for phrase in ("usage per Container is", "usage per Pod is", "No limit is specified", "No request is specified")
    ),
    Words(
        "error looking up service account", "service account", "the pods' service account does not exist",
        f"create it, or correct serviceAccountName {_PATCH}",
    ),
    Words(
        "no PriorityClass with name", "priority class", "the pods' priority class does not exist",
        f"correct priorityClassName {_PATCH}; `kubectl get priorityclasses` lists them", final=True,
    ),
    Words(
        "failed calling webhook", "webhook down", "a webhook of the cluster does not answer",
        "nothing in the overlay is wrong; ask the cluster's administrator for the service that is named",
    ),
    Words(
        "denied the request", "policy", "a policy of the cluster refuses the pods",
        f"add what the policy asks for {_PATCH}, or ask the cluster's administrator", final=True,
    ),
    Words(
        "because it is being terminated", "namespace", "the namespace is being deleted",
        "wait until it is gone and create it again, or choose another `--namespace`", final=True,
    ),
)  # fmt: skip
