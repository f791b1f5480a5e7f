"""An API server in memory: objects by path, apply, lists, watches, deletions with their finalizers, rights, refusals."""

from __future__ import annotations

import json
import marshal
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from tests.cluster.sim import words
from tests.cluster.sim.clock import Simulation
from tests.cluster.sim.logs import ContainerLog, LogSource

Json = dict[str, Any]
BOOKMARK_S = 60.0


def clone(item: Json) -> Json:
    """A copy that shares nothing."""
    return marshal.loads(marshal.dumps(item))  # type: ignore[no-any-return]


class Source(Protocol):
    """A body that grows."""

    def ready(self) -> bool: ...

    def take(self) -> bytes: ...


@dataclass(frozen=True, eq=False)
class Kind:
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        return self.version.partition("/")[0] if "/" in self.version else ""

    @property
    def root(self) -> str:
        return f"/apis/{self.version}" if "/" in self.version else f"/api/{self.version}"


CORE = (
    Kind("v1", "Pod", "pods"), Kind("v1", "ConfigMap", "configmaps"), Kind("v1", "Secret", "secrets"), Kind("v1", "Service", "services"),
    Kind("v1", "ServiceAccount", "serviceaccounts"), Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    Kind("v1", "Event", "events"), Kind("v1", "Namespace", "namespaces", False), Kind("batch/v1", "Job", "jobs"),
    Kind("v1", "Node", "nodes", False),
)  # fmt: skip
MPIJOB = Kind("kubeflow.org/v2beta1", "MPIJob", "mpijobs")
REVIEW = Kind("authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", False)


@dataclass(frozen=True)
class Address:
    """What a path means."""

    kind: Kind
    namespace: str | None
    name: str | None
    part: str | None


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    body: Json | None
    content_type: str
    address: Address | None = None
    verb: str = ""


@dataclass
class Answer:
    status: int
    body: bytes | Source
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


class ApiServer:
    """The server. `handle` answers a request; the other methods are for the controllers and for tests."""

    def __init__(self, host: Simulation) -> None:
        self.host = host
        self.kinds = [*CORE, MPIJOB]
        self.objects: dict[str, Json] = {}
        self.history: list[tuple[int, float, str, Kind, Json]] = []  # version, when watches see it, event, kind, object
        self.lag = 0.0  # seconds until watches see what happens
        self.repeats = False  # watches send events twice
        self.version = 1000
        self.oldest = 0  # versions up to this one cannot be watched from
        self.logs: dict[str, ContainerLog] = {}  # by pod uid
        self.previous_logs: dict[str, ContainerLog] = {}  # of the container's run before this one
        self.denied: set[tuple[str, str]] = set()  # (verb, resource)
        self.admission: list[Callable[[Request], words.Refused | None]] = []
        self.listeners: list[Callable[[str, Kind, Json], None]] = []
        self.requests: list[Request] = []
        self._uids = 0

    # For controllers and tests

    def path(self, kind: Kind, name: str | None = None, namespace: str | None = None) -> str:
        parts = [kind.root, *(["namespaces", namespace or "team"] if kind.namespaced else []), kind.plural, *([name] if name else [])]
        return "/".join(parts)

    def kind(self, name: str) -> Kind:
        return next(kind for kind in self.kinds if kind.kind == name)

    def all(self, kind: str, namespace: str | None = None) -> list[Json]:
        prefix = self.kind(kind).plural
        return (
            [o for o in self.objects.values() if o["kind"] == kind and (namespace is None or o["metadata"].get("namespace") == namespace)]
            if prefix
            else []
        )

    def get(self, kind: str, name: str, namespace: str = "team") -> Json | None:
        return self.objects.get(self.path(self.kind(kind), name, namespace))

    def create(self, item: Json, namespace: str | None = "team") -> Json:
        """Create an object as a controller does."""
        kind = self.kind(item["kind"])
        item = clone(item)
        item["apiVersion"] = kind.version
        self._uids += 1
        metadata = item["metadata"]
        metadata.update({"uid": f"{self._uids:08d}-0000-4000-8000-000000000000", "creationTimestamp": self.stamp()})
        if kind.namespaced:
            metadata.setdefault("namespace", namespace)
        path = self.path(kind, metadata["name"], metadata.get("namespace"))
        self._store("ADDED", kind, path, item)
        return self.objects[path]

    def change(self, item: Json, change: Callable[[Json], Any]) -> Json | None:
        """Change an object in place, when it is still the same; as a controller does."""
        path = self.path_of(item)
        found = self.objects.get(path)
        if found is None or found["metadata"]["uid"] != item["metadata"]["uid"]:
            return None
        found = clone(found)
        change(found)
        if found != self.objects[path]:
            self._store("MODIFIED", self.kind(found["kind"]), path, found)
        return self.objects[path]

    def remove(self, item: Json) -> None:
        """Take an object out of the store, finalizers or not."""
        path = self.path_of(item)
        found = self.objects.get(path)
        if found is not None and found["metadata"]["uid"] == item["metadata"]["uid"]:
            self._store("DELETED", self.kind(found["kind"]), path, clone(found))

    def delete(self, item: Json, propagation: str = "Background", grace: int | None = None) -> None:
        """Delete an object as a client asks for it."""
        found = self.objects.get(self.path_of(item))
        if found is None or found["metadata"]["uid"] != item["metadata"]["uid"]:
            return
        seconds = grace
        if found["kind"] == "Pod" and seconds is None:
            seconds = int(found["spec"].get("terminationGracePeriodSeconds", 30))

        def mark(o: Json) -> None:
            o["metadata"].setdefault("deletionTimestamp", self.stamp())
            if seconds is not None:
                o["metadata"]["deletionGracePeriodSeconds"] = seconds
            if propagation == "Foreground" and o["kind"] != "Pod":
                o["metadata"]["finalizers"] = sorted({*o["metadata"].get("finalizers", ()), "foregroundDeletion"})

        if (found["kind"] == "Pod" and seconds) or propagation == "Foreground" or found["metadata"].get("finalizers"):
            self.change(found, mark)
        else:
            self.remove(found)

    def path_of(self, item: Json) -> str:
        return self.path(self.kind(item["kind"]), item["metadata"]["name"], item["metadata"].get("namespace"))

    def event(self, about: Json, reason: str, message: str, kind: str = "Warning") -> None:
        """An event about an object."""
        involved = {"kind": about["kind"], "name": about["metadata"]["name"], "uid": about["metadata"]["uid"]}
        name = f"{about['metadata']['name']}.{self.version:x}"
        self.create(
            {
                "kind": "Event", "metadata": {"name": name, "namespace": about["metadata"]["namespace"]}, "type": kind, "reason": reason,
                "message": message, "involvedObject": involved, "lastTimestamp": self.stamp(),
            }
        )  # fmt: skip

    def stamp(self) -> str:
        return f"{self.host.now():%Y-%m-%dT%H:%M:%SZ}"

    def forget(self) -> None:
        """Compact: nothing older than now can be watched from."""
        self.oldest = self.version

    def _store(self, event: str, kind: Kind, path: str, item: Json) -> None:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        if event == "DELETED":
            del self.objects[path]
        else:
            self.objects[path] = item
        seen = max(self.host.monotonic() + self.lag, self.history[-1][1] if self.history else 0.0)
        self.history.append((self.version, seen, event, kind, item))
        if seen > self.host.monotonic():
            self.host.after(seen - self.host.monotonic(), lambda: None)
        for listener in self.listeners:
            listener(event, kind, item)

    # For clients

    def handle(self, method: str, path: str, query: dict[str, str], body: Any, content_type: str) -> Answer:
        request = Request(method, path, query, json.loads(body) if body else None, content_type)
        self.requests.append(request)
        try:
            return self._answer(request)
        except words.Refused as refusal:
            return Answer(refusal.status, refusal.body, dict(refusal.headers))

    def _answer(self, request: Request) -> Answer:
        for kind in self.kinds:
            if request.path == kind.root:
                return self._found(self._discovery(kind.version))
        address = request.address = self._address(request.path)
        if address.kind is REVIEW:
            return self._found(self._review(request.body or {}))
        verb = {"PATCH": "patch", "POST": "create", "DELETE": "delete", "PUT": "update"}.get(request.method)
        request.verb = verb or ("watch" if request.query.get("watch") else "get" if address.name else "list")
        resource = address.kind.plural + (f"/{address.part}" if address.part else "")
        if (request.verb, resource) in self.denied:
            raise words.forbidden(request.verb, resource, address.kind.group, address.namespace, address.name)
        for admit in self.admission:
            refusal = admit(request)
            if refusal is not None:
                raise refusal
        if address.part == "log":
            return self._log(address, request.query)
        if request.verb == "watch":
            return Answer(200, Watch(self, address, request.query))
        return self._found(getattr(self, f"_{request.verb}")(request, address))

    def _found(self, body: Json) -> Answer:
        return Answer(200, json.dumps(body).encode() + b"\n")

    def _address(self, path: str) -> Address:
        found = address_of(path, (*self.kinds, REVIEW))
        if found is None:
            raise words.plain(404, words.PAGE_NOT_FOUND)
        return found

    def _discovery(self, version: str) -> Json:
        resources = [{"name": k.plural, "kind": k.kind, "namespaced": k.namespaced} for k in self.kinds if k.version == version]
        more = [{"name": "pods/log", "kind": "Pod", "namespaced": True}] if version == "v1" else []
        return {"kind": "APIResourceList", "groupVersion": version, "resources": resources + more}

    def _review(self, review: Json) -> Json:
        asked = review["spec"]["resourceAttributes"]
        resource = asked["resource"] + (f"/{asked['subresource']}" if asked.get("subresource") else "")
        return {**review, "status": {"allowed": (asked["verb"], resource) not in self.denied}}

    def _at(self, address: Address) -> Json:
        found = self.objects.get(self.path(address.kind, address.name, address.namespace))
        if found is None:
            raise words.not_found(address.kind.plural, address.kind.group, str(address.name))
        return found

    def _get(self, request: Request, address: Address) -> Json:
        return self._at(address)

    def _list(self, request: Request, address: Address) -> Json:
        items = [o for o in self.objects.values() if selected(o, address, request.query)]
        begin, limit = 0, int(request.query.get("limit") or 0)
        if "continue" in request.query:
            version, begin = (int(part) for part in request.query["continue"].split(":"))
            if version <= self.oldest:
                raise words.expired()
        metadata: Json = {"resourceVersion": str(self.version)}
        if limit and begin + limit < len(items):
            metadata["continue"] = f"{self.version}:{begin + limit}"
            items = items[: begin + limit]
        bare = [{key: value for key, value in o.items() if key not in ("kind", "apiVersion")} for o in items[begin:]]
        return {"kind": f"{address.kind.kind}List", "apiVersion": address.kind.version, "metadata": metadata, "items": bare}

    def _patch(self, request: Request, address: Address) -> Json:
        """Server-side apply, as the only owner."""
        assert request.content_type == "application/apply-patch+yaml", request.content_type
        assert request.query["fieldManager"], request.query
        wanted = request.body or {}
        if address.kind.namespaced and f"/api/v1/namespaces/{address.namespace}" not in self.objects:
            raise words.not_found("namespaces", "", str(address.namespace))
        path = self.path(address.kind, address.name, address.namespace)
        found = self.objects.get(path)
        if found is None:
            return self.create({**wanted, "metadata": {**wanted["metadata"], "namespace": address.namespace}})
        if found["kind"] == "Pod" and any(found["spec"].get(key) != value for key, value in wanted["spec"].items()):
            field = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"
            raise words.invalid("Pod", "", str(address.name), field)
        server = {key: value for key, value in found["metadata"].items() if key not in wanted["metadata"]}
        changed = {**found, **wanted, "metadata": {**server, **wanted["metadata"]}}
        if changed != found:
            self._store("MODIFIED", address.kind, path, clone(changed))
        return self.objects[path]

    def _create(self, request: Request, address: Address) -> Json:
        wanted = request.body or {}
        path = self.path(address.kind, wanted["metadata"]["name"], address.namespace)
        if path in self.objects:
            raise words.refused(409, "AlreadyExists", f'{address.kind.plural} "{wanted["metadata"]["name"]}" already exists')
        return self.create(wanted, address.namespace)

    def _delete(self, request: Request, address: Address) -> Json:
        found, options = self._at(address), request.body or {}
        uid = (options.get("preconditions") or {}).get("uid")
        if uid is not None and uid != found["metadata"]["uid"]:
            raise words.conflict(address.kind.plural, str(address.name), uid, found["metadata"]["uid"])
        self.delete(found, options.get("propagationPolicy") or "Background", options.get("gracePeriodSeconds"))
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}

    def _log(self, address: Address, query: dict[str, str]) -> Answer:
        pod = self._at(address)
        container = query.get("container") or pod["spec"]["containers"][0]["name"]
        previous = query.get("previous") == "true"
        log = (self.previous_logs if previous else self.logs).get(pod["metadata"]["uid"])
        if log is None and previous:
            raise words.no_previous(container, str(address.name))
        if log is None:
            raise words.waiting(container, str(address.name), "ContainerCreating")
        return Answer(200, LogSource(log, query), {"Content-Type": "text/plain"})


class Watch:
    """The body of a watch: events as they come, bookmarks, an end when its time is over."""

    def __init__(self, api: ApiServer, address: Address, query: dict[str, str]) -> None:
        self._api, self._address, self._query = api, address, query
        asked = int(query.get("resourceVersion") or 0)
        self._too_old = 0 < asked < api.oldest
        self._asked = asked
        self._at = next((n for n, entry in enumerate(api.history) if entry[0] > asked), len(api.history))
        self._ends = api.host.monotonic() + float(query.get("timeoutSeconds") or 1800)
        self._bookmark = api.host.monotonic() + BOOKMARK_S
        self._ticks()

    def _ticks(self) -> None:
        host = self._api.host
        self._next = min(self._ends, self._bookmark)
        host.after(self._next - host.monotonic(), lambda: None)

    def ready(self) -> bool:
        history, now = self._api.history, self._api.host.monotonic()
        return self._too_old or self._at < len(history) and history[self._at][1] <= now or now >= self._next

    def take(self) -> bytes:
        """Return lines; nothing at the end. Some calls have none for this watch: then it is a bookmark's turn, or nobody's."""
        api = self._api
        if self._too_old:
            self._too_old, self._ends, self._next = False, api.host.monotonic(), api.host.monotonic()
            return json.dumps(words.too_old(self._asked, api.oldest)).encode() + b"\n"
        found = []
        while self._at < len(api.history) and api.history[self._at][1] <= api.host.monotonic():
            version, _, event, kind, item = api.history[self._at]
            self._at += 1
            if kind is self._address.kind and selected(item, self._address, self._query):
                found.append({"type": event, "object": {**item, "metadata": {**item["metadata"], "resourceVersion": str(version)}}})
        found = [event for event in found for _ in range(1 + api.repeats)]
        if not found and api.host.monotonic() >= self._ends:
            return b""
        if api.host.monotonic() >= self._bookmark:
            self._bookmark = api.host.monotonic() + BOOKMARK_S
            head = {"kind": self._address.kind.kind, "apiVersion": self._address.kind.version}
            version = api.history[self._at - 1][0] if self._at else self._asked
            found.append({"type": "BOOKMARK", "object": {**head, "metadata": {"resourceVersion": str(version)}}})
            self._ticks()
        return b"".join(json.dumps(event).encode() + b"\n" for event in found) or AGAIN


AGAIN = b"\0"  # nothing for this reader yet


@lru_cache(maxsize=1024)
def address_of(path: str, kinds: tuple[Kind, ...]) -> Address | None:
    """Return what a path means, or None."""
    for kind in kinds:
        middle = r"(?:/namespaces/(?P<namespace>[^/]+))?" if kind.namespaced else ""
        match = re.fullmatch(rf"{kind.root}{middle}/{kind.plural}(?:/(?P<name>[^/]+)(?:/(?P<part>[^/]+))?)?", path)
        if match is not None:
            groups = match.groupdict()
            return Address(kind, groups.get("namespace"), groups["name"], groups["part"])
    return None


def selected(item: Json, address: Address, query: dict[str, str]) -> bool:
    """Whether an object is of a collection and fits the selectors."""
    if item["kind"] != address.kind.kind or address.namespace not in (None, item["metadata"].get("namespace")):
        return False
    labels = item["metadata"].get("labels") or {}
    return all(_label(labels, term) for term in _terms(query.get("labelSelector"))) and all(
        _field(item, term) for term in _terms(query.get("fieldSelector"))
    )


def _terms(selector: str | None) -> list[str]:
    return selector.split(",") if selector else []


def _label(labels: dict[str, str], term: str) -> bool:
    if term.startswith("!"):
        return term[1:] not in labels
    key, equals, value = term.partition("=")
    if not equals:
        return key in labels
    if key.endswith("!"):
        return labels.get(key[:-1]) != value
    return labels.get(key) == value.removeprefix("=")


def _field(item: Json, term: str) -> bool:
    path, _, value = term.partition("=")
    found: Any = item
    for key in path.split("."):
        found = (found or {}).get(key)
    return str(found or "") == value
