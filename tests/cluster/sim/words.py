"""What a real API server says when it refuses, word for word (1.36), and what a proxy says in its place."""

from __future__ import annotations

import json
from typing import Any, Final

USER: Final = "dev"

# Texts that no controller of ours invents.
PAGE_NOT_FOUND: Final = b"404 page not found\n"
TOO_MANY: Final = b"Too many requests, please try again later.\n"
PROXY_PAGE: Final = b"""<html>\r
<head><title>502 Bad Gateway</title></head>\r
<body>\r
<center><h1>502 Bad Gateway</h1></center>\r
<hr><center>nginx</center>\r
</body>\r
</html>\r
"""
LOGIN_PAGE: Final = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><form action=/login></form></body></html>\n"
NO_LOGS: Final = b"unable to retrieve container logs for containerd://4c5bb5"


class Refused(Exception):
    """An answer of 400 or more."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status, self.body, self.headers = status, body, headers or {"Content-Type": "application/json"}


def refused(code: int, reason: str, message: str) -> Refused:
    """A refusal as a Status object."""
    status = {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code,
    }  # fmt: skip
    return Refused(code, json.dumps(status).encode() + b"\n")


def plain(code: int, body: bytes, **headers: str) -> Refused:
    return Refused(code, body, {"Content-Type": "text/plain; charset=utf-8", **{k.replace("_", "-"): v for k, v in headers.items()}})


def unauthorized() -> Refused:
    return refused(401, "Unauthorized", "Unauthorized")


def forbidden(verb: str, resource: str, group: str, namespace: str | None, name: str | None = None) -> Refused:
    plural = resource.partition("/")[0] + (f".{group}" if group else "")
    what = f'{plural} "{name}"' if name else plural
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    message = f'{what} is forbidden: User "{USER}" cannot {verb} resource "{resource}" in API group "{group}" {where}'
    return refused(403, "Forbidden", message)


def not_found(resource: str, group: str, name: str) -> Refused:
    return refused(404, "NotFound", f'{resource}{f".{group}" if group else ""} "{name}" not found')


def conflict(resource: str, name: str, asked: str, found: str) -> Refused:
    said = f"Precondition failed: UID in precondition: {asked}, UID in object meta: {found}"
    return refused(409, "Conflict", f'Operation cannot be fulfilled on {resource} "{name}": {said}')


def invalid(kind: str, group: str, name: str, field: str) -> Refused:
    return refused(422, "Invalid", f'{kind}{f".{group}" if group else ""} "{name}" is invalid: {field}')


def pod_security(name: str) -> Refused:
    must = 'pod or container "main" must set securityContext.runAsNonRoot=true'
    said = f'violates PodSecurity "restricted:latest": runAsNonRoot != true ({must})'
    return refused(403, "Forbidden", f'pods "{name}" is forbidden: {said}')


def quota(name: str) -> Refused:
    said = "exceeded quota: team, requested: requests.memory=4Gi, used: requests.memory=6Gi, limited: requests.memory=8Gi"
    return refused(403, "Forbidden", f'pods "{name}" is forbidden: {said}')


def quota_demands(name: str) -> Refused:
    said = "failed quota: team: must specify limits.memory for: main"
    return refused(403, "Forbidden", f'pods "{name}" is forbidden: {said}')


def no_previous(container: str, pod: str) -> Refused:
    return refused(400, "BadRequest", f'previous terminated container "{container}" in pod "{pod}" not found')


def waiting(container: str, pod: str, reason: str) -> Refused:
    return refused(400, "BadRequest", f'container "{container}" in pod "{pod}" is waiting to start: {reason}')


def too_many() -> Refused:
    return plain(429, TOO_MANY, Retry_After="1")


def internal() -> Refused:
    return refused(500, "InternalError", "Internal error occurred: etcdserver: leader changed")


def unavailable() -> Refused:
    return refused(503, "ServiceUnavailable", "the server is currently unable to handle the request")


def timeout() -> Refused:
    return refused(504, "Timeout", "Timeout: request did not complete within the allotted timeout")


def proxy() -> Refused:
    return Refused(502, PROXY_PAGE, {"Content-Type": "text/html"})


def expired() -> Refused:
    said = "The provided continue parameter is too old to display a consistent list result"
    return refused(410, "Expired", said)


def too_old(asked: int, oldest: int) -> dict[str, Any]:
    """The event that ends a watch."""
    status = json.loads(refused(410, "Expired", f"too old resource version: {asked} ({oldest})").body)
    return {"type": "ERROR", "object": status}
