"""What the API server says when it refuses, in words that say what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from mlops_launch.admission import ADMISSION, lookup
from mlops_launch.errors import LauncherError

REJECTED_HINT: Final = "`mlops-launch render OVERLAY | kubectl apply --dry-run=server -f -` asks the server again"


class ApiError(LauncherError):
    """The API server refused; `status` is the HTTP status."""

    def __init__(self, message: str, hint: str | None, status: int) -> None:
        super().__init__(message, hint)
        self.status = status


_ERRNO = re.compile(r"^\[Errno -?[0-9]+\] ")


class Disconnected(LauncherError):
    """No connection, or one that broke: another try may help."""


def unreachable(address: str, error: BaseException) -> Disconnected:
    """Return the error for a server that does not answer."""
    reason = getattr(error, "reason", None) or error
    text = str(reason).rpartition(": ")[2] if "Errno" in str(reason) or "object at" in str(reason) else str(reason)
    return Disconnected(
        f"cannot reach the cluster at {address}: {_ERRNO.sub('', ' '.join(text.split()))}",
        "is it up, and is this its network? `--context` chooses another; `run OVERLAY --local` needs none",
    )


def strange(path: str, body: bytes) -> Disconnected:
    """Return the error for an answer that is not an API server's."""
    text = " ".join(body[:200].decode(errors="replace").split())
    return Disconnected(
        f"the answer is not an API server's: {path}: {text}",
        "does a proxy or a login page stand in between? `kubectl get namespaces` asks the same server",
    )


def missing_kind(api_version: str, kind: str) -> LauncherError:
    """Return the error for a kind that the cluster does not know."""
    return LauncherError(f"the cluster has no {kind} of {api_version}", "install what brings it, or take it out of the overlay")


def refusal(method: str, path: str, status: int, body: bytes, complaints: Sequence[str] = ()) -> ApiError:
    """Return the error for an answer of 400 or more.

    Args:
        method: of the request.
        path: of the request.
        status: of the answer.
        body: of the answer; a Status object, or text.
        complaints: what the plugin for credentials has said.
    """
    message = _message(body) or f"{method} {path}"
    if status == 401:
        return ApiError(
            f"the cluster does not know this user: {': '.join((message, *complaints))}",
            "log in again; `kubectl auth whoami` says who you are",
            status,
        )
    known = lookup(ADMISSION, message) if status in (400, 403, 500) else None
    if known is not None:
        return ApiError(f"{known.text}: {message}", known.hint, status)
    if status == 403:
        return ApiError(f"not allowed: {message}", "ask for the right, or choose another `--namespace` or `--context`", status)
    if status == 404:
        return ApiError(f"not found: {message}", None, status)
    if status in (400, 409, 422):
        return ApiError(f"the API server refuses the object: {message}", REJECTED_HINT, status)
    return ApiError(f"the API server answered {status}: {message}", "it may be starting or busy; try again", status)


def _message(body: bytes) -> str:
    try:
        fields: Any = json.loads(body)
        return " ".join(str(fields["message"]).split())
    except (ValueError, KeyError, TypeError):
        return " ".join(body.decode(errors="replace").split())[:500]
