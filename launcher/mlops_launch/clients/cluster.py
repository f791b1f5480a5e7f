"""The client of the API server; with kubeconfig.py the only module that imports the `kubernetes` client, and only when it connects.

Objects are plain dictionaries, as the API's JSON has them: a list of 500 pods becomes no 500 object trees.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from mlops_launch.clients.host import Host
from mlops_launch.clients.kubeconfig import access
from mlops_launch.clients.refusals import REJECTED_HINT, ApiError, Disconnected, missing_kind, refusal, strange, unreachable
from mlops_launch.clients.stream import Stream
from mlops_launch.errors import LauncherError

FIELD_MANAGER: Final = "mlops-launch"
CONNECT_S, READ_S = 10.0, 60.0  # time limits of one request
BUSY_S: Final = 20.0  # for a server that answers, but is starting or busy
PAGE: Final = 500  # objects in one answer, as kubectl asks for
RETRIED: Final = frozenset({429, 500, 502, 503, 504})

Json = dict[str, Any]

# Kinds that every cluster has, by their API version. All are namespaced, and their path segment is the name's regular plural.
KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "v1": frozenset("ConfigMap Event PersistentVolumeClaim Pod Secret Service ServiceAccount".split()),
    "batch/v1": frozenset({"Job"}),
}


class Cluster:
    """One cluster, as one user, with one namespace in mind.

    Args:
        api: an ApiClient.
        context: the kubeconfig's context, for messages and archives; None inside a pod.
        namespace: where objects without a namespace go.
        host: its clock measures patience, here and in who waits for the cluster.
        patience: seconds for which a failing request is repeated; 0 asks once.
        complaints: why credentials could not be renewed, when they could not.
    """

    def __init__(
        self, api: Any, context: str | None, namespace: str, host: Host, patience: float = 0, complaints: Sequence[str] = ()
    ) -> None:  # fmt: skip
        self._api = api
        self.context = context
        self.namespace = namespace
        self.host = host
        self.patience = patience
        self._complaints = complaints
        self._discovered: dict[str, dict[str, tuple[str, bool]]] = {}

    @classmethod
    def connect(cls, context: str | None = None, namespace: str | None = None, host: Host | None = None) -> Cluster:
        """Return the cluster of the kubeconfig's current context or of `context`; inside a pod, that of the pod.

        Raises:
            UsageError: there is no such context.
            LauncherError: no cluster is known, or its credentials cannot be had.
        """
        way = access(context)
        return cls(way.api, way.context, namespace or way.namespace, host or Host(), complaints=way.complaints)

    def patient(self, seconds: float) -> Cluster:
        """Return this cluster with another patience."""
        other = copy.copy(self)
        other.patience = seconds
        return other

    def path(self, api_version: str, kind: str, name: str | None = None, namespace: str | None = None) -> str:
        """Return the API's path of a kind in a namespace, or of one object.

        Raises:
            LauncherError: the cluster does not know the kind.
        """
        if kind in KNOWN.get(api_version, ()):
            plural, namespaced = f"{kind.lower()}s", True
        else:
            plural, namespaced = self._resources(api_version, kind)[kind]
        parts = [_group_path(api_version), *(["namespaces", namespace or self.namespace] if namespaced else [])]
        return "/".join([*parts, plural, *([name] if name else [])])

    def path_of(self, item: Mapping[str, Any]) -> str:
        """Return an object's path."""
        return self.path(item["apiVersion"], item["kind"], item["metadata"]["name"], item["metadata"].get("namespace"))

    def knows(self, api_version: str, kind: str) -> bool:
        """Return whether the cluster serves a kind."""
        try:
            self._resources(api_version, kind)
        except (ApiError, Disconnected):
            raise
        except LauncherError:
            return False
        return True

    def get(self, path: str, **query: str) -> Json:
        """Return what is at a path.

        Raises:
            ApiError: refused; `status` says how.
            LauncherError: the server cannot be reached.
        """
        return self._json("GET", path, query)

    def find(self, path: str) -> Json | None:
        """Return an object, or None when there is none."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, path: str, **query: str) -> list[Json]:
        """Return all objects of a list, fetched in pages."""
        items: list[Json] = []
        more: dict[str, str] = {}
        while True:
            page = self.get(path, **query, **more, limit=str(PAGE))
            items += page["items"]
            if not page["metadata"].get("continue"):
                return items
            more = {"continue": page["metadata"]["continue"]}

    def apply(self, item: Mapping[str, Any]) -> Json:
        """Create or change an object by server-side apply, as its only owner."""
        body = json.dumps(item).encode()  # JSON is YAML
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return self._json("PATCH", self.path_of(item), query, body, "application/apply-patch+yaml")

    def delete(self, path: str, uid: str | None = None, propagation: str = "Background") -> bool:
        """Delete an object, with its own grace period; return whether there was one.

        Args:
            path: the object's.
            uid: only the object with this one: not one that was made since.
            propagation: `Foreground` keeps the object until what it owns is gone.
        """
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            self._json("DELETE", path, {}, options)
        except ApiError as error:
            if error.status in (404, 409):  # gone, or another object has its name
                return False
            raise
        return True

    def open(self, path: str, read_s: float = READ_S, **query: str) -> Stream:
        """Return the body of a GET as a stream; asked once, whatever the patience.

        Args:
            path: with or without a watch or a log behind it.
            read_s: seconds without a byte after which `Stream.read` gives up.
            query: the request's parameters.
        """
        response = self._send("GET", path, query, None, None, read_s)
        if response.status >= 400:
            raise self._refusal("GET", path, response)
        return Stream(response.response)

    def _json(self, method: str, path: str, query: Mapping[str, str], body: Any = None, content_type: str | None = None) -> Json:
        began, patience = self.host.monotonic(), self.patience
        wait = 0.2
        while True:
            try:
                response = self._send(method, path, query, body, content_type, READ_S)
                if response.status < 400:
                    return _parsed(response, path)
                error: LauncherError = self._refusal(method, path, response)
                if response.status not in RETRIED:
                    raise error
                patience = max(patience, BUSY_S)
            except Disconnected as broken:
                error = broken
            if self.host.monotonic() + wait > began + patience:
                raise error
            self.host.sleep(wait)
            wait = min(2 * wait, 3.0)

    def _send(self, method: str, path: str, query: Mapping[str, str], body: Any, content_type: str | None, read_s: float) -> Any:
        import urllib3
        from kubernetes.client.exceptions import ApiException

        headers = {"Accept": "application/json", "Content-Type": content_type or "application/json", "User-Agent": FIELD_MANAGER}
        self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        address = self._api.configuration.host
        url = f"{address}{path}?{urlencode(query)}" if query else f"{address}{path}"
        try:
            return self._api.call_api(method, url, headers, body, _request_timeout=(CONNECT_S, read_s))
        except (urllib3.exceptions.HTTPError, ApiException, OSError) as error:  # ApiException: TLS
            raise unreachable(address, error) from error

    def _refusal(self, method: str, path: str, response: Any) -> ApiError:
        import urllib3

        try:
            return refusal(method, path, response.status, response.read() or b"", self._complaints[-1:])
        except (urllib3.exceptions.HTTPError, OSError):
            return ApiError(f"the API server answered {response.status}: {path}", REJECTED_HINT, response.status)

    def _resources(self, api_version: str, kind: str) -> dict[str, tuple[str, bool]]:
        if api_version not in self._discovered:
            try:
                listed = self.get(_group_path(api_version))["resources"]
            except ApiError as error:
                raise (missing_kind(api_version, kind) if error.status == 404 else error) from error
            self._discovered[api_version] = {r["kind"]: (r["name"], r["namespaced"]) for r in listed if "/" not in r["name"]}
        if kind not in self._discovered[api_version]:
            raise missing_kind(api_version, kind)
        return self._discovered[api_version]


def _parsed(response: Any, path: str) -> Json:
    """Return the object of an answer.

    Raises:
        Disconnected: it broke off, or it is not an API server's: a proxy or a login page stands in between.
    """
    import urllib3

    try:
        body = response.read()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Disconnected(f"the connection broke: {error}") from error
    try:
        return dict(json.loads(body))
    except (ValueError, TypeError) as error:
        raise strange(path, body) from error


def _group_path(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
