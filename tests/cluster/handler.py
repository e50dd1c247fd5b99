"""The HTTP side of the small Kubernetes API."""

from __future__ import annotations

import json
import queue
import re
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.cluster import wire
from tests.cluster.api import FakeApi, Key, Watcher, matches

_PATH = re.compile(
    r"^/(?:api/(v1)|apis/([^/]+/[^/]+))(?:/namespaces/([^/]+))?(?:/([^/]+))?(?:/([^/]+))?(?:/(.+))?$"
)
_PROXY = re.compile(r"^/api/v1/namespaces/([^/]+)/services/(?:https?:)?([^:/]+)(?::[^/]*)?/proxy(/.*)?$")
_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_VERBS = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    @property
    def api(self) -> FakeApi:
        found: FakeApi = self.server.api
        return found

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, value: Any, code: int = 200) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        data = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json" if data else _PROTOBUF)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, code: int, reason: str, message: str) -> None:
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        self._answer({**status, "reason": reason, "message": message, "code": code}, code)

    def _handle(self) -> None:
        try:
            self._dispatch()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

    def _dispatch(self) -> None:
        address = urllib.parse.urlparse(self.path)
        path, query = address.path.rstrip("/"), urllib.parse.parse_qs(address.query)
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length) if length else b""
        self.api.requests.append((self.command, self.path))
        for refusal in self.api.refusals:
            if re.fullmatch(refusal.method, self.command) and re.search(refusal.path, path):
                self._refuse(refusal.code, refusal.reason, refusal.message)
                return
        proxied = _PROXY.match(address.path)
        if proxied:
            self._proxy(
                f"{proxied[1]}/{proxied[2]}",
                (proxied[3] or "/") + (f"?{address.query}" if address.query else ""),
            )
        elif not self._discovery(path):
            self._object(path, query, raw)

    def _proxy(self, service: str, path: str) -> None:
        answer = self.api.services.get(service)
        if answer is None:
            self._refuse(503, "ServiceUnavailable", f'no endpoints available for service "{service}"')
            return
        code, text = answer(path)
        self._answer(text, code)

    def _discovery(self, path: str) -> bool:
        groups = self.api.groups()
        if path == "/version":
            major, minor, _ = self.api.version.removeprefix("v").split(".")
            self._answer({"major": major, "minor": minor, "gitVersion": self.api.version})
        elif path == "/api":
            self._answer({"kind": "APIVersions", "versions": ["v1"]})
        elif path == "/apis":
            named: dict[str, list[dict[str, str]]] = {}
            for group in groups:
                if "/" in group:
                    name, _, version = group.partition("/")
                    named.setdefault(name, []).append({"groupVersion": group, "version": version})
            listed = [{"name": n, "versions": v, "preferredVersion": v[0]} for n, v in named.items()]
            self._answer({"kind": "APIGroupList", "apiVersion": "v1", "groups": listed})
        elif path == "/openapi/v2":
            self._answer("")  # as protobuf, a document without a schema: nothing is validated by it
        elif path.startswith("/openapi"):
            self._refuse(404, "NotFound", "this API has no schemas")
        else:
            match = re.match(r"^/(?:api/(v1)|apis/([^/]+/[^/]+))$", path)
            if not match or (match[1] or match[2]) not in groups:
                return False
            resources = [
                {"name": p, "singularName": k.lower(), "namespaced": n, "kind": k, "verbs": _VERBS}
                for p, k, n in groups[match[1] or match[2]]
            ]
            kind = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": match[1] or match[2]}
            self._answer({**kind, "resources": resources})
        return True

    def _object(self, path: str, query: dict[str, list[str]], raw: bytes) -> None:
        match = _PATH.match(path)
        group = (match[1] or match[2]) if match else ""
        if not match or group not in self.api.groups():
            self._refuse(404, "NotFound", "the server could not find the requested resource")
            return
        namespace, plural, name = match[3], match[4], match[5]
        if namespace and not plural:
            namespace, plural, name = None, "namespaces", namespace
        known = {p for p, _, _ in self.api.groups()[group]}
        if plural not in known:
            self._refuse(404, "NotFound", "the server could not find the requested resource")
            return
        key: Key = (group, plural, namespace, name or "")
        if plural == "selfsubjectaccessreviews":
            self._review(raw)
        elif self.command == "GET":
            self._read(key, query)
        elif self.command == "DELETE":
            self._remove(key)
        else:
            self._write(key, query, raw)

    def _review(self, raw: bytes) -> None:
        review = wire.body(raw)
        asked = review["spec"]["resourceAttributes"]
        denied = (asked.get("verb"), asked.get("resource")) in self.api.denied
        self._answer({**review, "status": {"allowed": not denied}}, 201)

    def _read(self, key: Key, query: dict[str, list[str]]) -> None:
        group, plural, namespace, name = key
        with self.api.lock:
            if name:
                one = self.api.objects.get(key)
                if one is None:
                    self._refuse(404, "NotFound", f'{plural} "{name}" not found')
                else:
                    self._answer(one)
                return
            items = [
                o
                for k, o in self.api.objects.items()
                if k[:2] == (group, plural) and namespace in (None, k[2]) and matches(o, query)
            ]
            for one in items if plural == "leases" else ():
                one["spec"]["renewTime"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            kind = next(k for p, k, _ in self.api.groups()[group] if p == plural)
            version = {"resourceVersion": str(self.api._number)}
            if query.get("watch", ["0"])[0] in ("0", "false"):
                self._answer(
                    {"kind": f"{kind}List", "apiVersion": group, "metadata": version, "items": items}
                )
                return
            watcher = Watcher(group, plural, namespace, queue.Queue())
            self.api.watchers.append(watcher)
            if query.get("sendInitialEvents"):
                for one in items:
                    watcher.events.put(("ADDED", json.loads(json.dumps(one))))
                end = {**version, "annotations": {"k8s.io/initial-events-end": "true"}}
                watcher.events.put(("BOOKMARK", {"kind": kind, "apiVersion": group, "metadata": end}))
        self._watch(watcher, query)

    def _watch(self, watcher: Watcher, query: dict[str, list[str]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        deadline = time.monotonic() + min(float(query.get("timeoutSeconds", ["60"])[0]), 60)
        try:
            while time.monotonic() < deadline:
                try:
                    kind, one = watcher.events.get(timeout=0.2)
                except queue.Empty:
                    continue
                if kind == "BOOKMARK" or matches(one, query):
                    line = json.dumps({"type": kind, "object": one}).encode() + b"\n"
                    self.wfile.write(b"%x\r\n" % len(line) + line + b"\r\n")
                    self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        finally:
            self.api.watchers.remove(watcher)

    def _remove(self, key: Key) -> None:
        if not self.api.delete(key):
            self._refuse(404, "NotFound", f'{key[1]} "{key[3]}" not found')
            return
        self._answer({"kind": "Status", "apiVersion": "v1", "status": "Success", "metadata": {}})

    def _write(self, key: Key, query: dict[str, list[str]], raw: bytes) -> None:
        group, plural, namespace, name = key
        sent, how = wire.body(raw), self.headers.get("Content-Type", "")
        with self.api.lock:
            if self.command == "POST":
                metadata = sent.setdefault("metadata", {})
                name = metadata.get("name") or metadata.get("generateName", "x") + uuid.uuid4().hex[:5]
                metadata["name"], key = name, (group, plural, namespace, name)
            old = self.api.objects.get(key)
            problem = self._conflict(key, sent, old, how)
            if problem is not None:
                self._refuse(*problem)
                return
            new = self._new(key, query, sent, old, how)
            if "dryRun" in query:
                self._answer(new)
                return
            if namespace and ("v1", "namespaces", None, namespace) not in self.api.objects:
                self._refuse(404, "NotFound", f'namespaces "{namespace}" not found')
                return
            self._answer(self.api.put(group, plural, namespace, new), 200 if old else 201)

    def _conflict(
        self, key: Key, sent: dict[str, Any], old: dict[str, Any] | None, how: str
    ) -> tuple[int, str, str] | None:
        _, plural, _, name = key
        if self.command == "POST" and old is not None:
            return 409, "AlreadyExists", f'{plural} "{name}" already exists'
        if old is None and (self.command == "PUT" or (self.command == "PATCH" and "apply" not in how)):
            return 404, "NotFound", f'{plural} "{name}" not found'
        version = sent.get("metadata", {}).get("resourceVersion")
        if self.command == "PUT" and old and version not in (None, "", old["metadata"]["resourceVersion"]):
            return (
                409,
                "Conflict",
                "the object has been modified; please apply your changes to the latest version",
            )
        return None

    def _new(
        self,
        key: Key,
        query: dict[str, list[str]],
        sent: dict[str, Any],
        old: dict[str, Any] | None,
        how: str,
    ) -> dict[str, Any]:
        sent.setdefault("metadata", {})["name"] = key[3]
        if self.command != "PATCH":
            return sent
        if "apply" in how:
            manager = (key, query.get("fieldManager", ["?"])[0])
            base = wire.without(old or {}, self.api.applied.get(manager), sent)
            if "dryRun" not in query:
                self.api.applied[manager] = json.loads(json.dumps(sent))
            base.setdefault("metadata", {})
            new: dict[str, Any] = wire.merged(base, sent)
            return new
        patched: dict[str, Any] = wire.merged(old, sent, strategic="strategic" in how)
        return patched
