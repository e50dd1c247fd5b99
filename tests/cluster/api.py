"""A small Kubernetes API for real helm and kubectl to talk to: objects, watches, apply, and faults.

It stands in for a cluster, which cannot be had here. It proves what renecinfra, helm and kubectl do with each
other; of admission, scheduling and networks it proves nothing (see ``controllers`` for what becomes of pods).
"""

from __future__ import annotations

import copy
import queue
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import controllers

Key = tuple[str, str, str | None, str]
NODES = 3

_CORE = "pods services configmaps secrets serviceaccounts events persistentvolumeclaims resourcequotas"
_RESOURCES: dict[str, str] = {
    "apps/v1": "deployments statefulsets daemonsets replicasets",
    "batch/v1": "jobs cronjobs",
    "autoscaling/v2": "horizontalpodautoscalers",
    "policy/v1": "poddisruptionbudgets",
    "networking.k8s.io/v1": "networkpolicies ingresses",
    "rbac.authorization.k8s.io/v1": "roles rolebindings *clusterroles *clusterrolebindings",
    "scheduling.k8s.io/v1": "*priorityclasses",
    "storage.k8s.io/v1": "*storageclasses",
    "coordination.k8s.io/v1": "leases",
    "admissionregistration.k8s.io/v1": "*validatingwebhookconfigurations *mutatingwebhookconfigurations",
    "authorization.k8s.io/v1": "*selfsubjectaccessreviews",
    "apiextensions.k8s.io/v1": "*customresourcedefinitions",
    "monitoring.coreos.com/v1": "servicemonitors podmonitors prometheusrules",
    "monitoring.coreos.com/v1alpha1": "alertmanagerconfigs",
    "cert-manager.io/v1": "certificates issuers *clusterissuers",
    "external-secrets.io/v1": "externalsecrets secretstores",
    "keda.sh/v1alpha1": "scaledobjects triggerauthentications",
    "postgresql.cnpg.io/v1": "clusters poolers scheduledbackups backups",
    "elbv2.k8s.aws/v1beta1": "targetgroupbindings",
    "barmancloud.cnpg.io/v1": "objectstores",
}
_KINDS = {
    "networkpolicies": "NetworkPolicy",
    "ingresses": "Ingress",
    "priorityclasses": "PriorityClass",
    "storageclasses": "StorageClass",
    "horizontalpodautoscalers": "HorizontalPodAutoscaler",
    "poddisruptionbudgets": "PodDisruptionBudget",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "configmaps": "ConfigMap",
    "serviceaccounts": "ServiceAccount",
    "resourcequotas": "ResourceQuota",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
    "replicasets": "ReplicaSet",
    "cronjobs": "CronJob",
    "rolebindings": "RoleBinding",
    "clusterroles": "ClusterRole",
    "clusterrolebindings": "ClusterRoleBinding",
    "validatingwebhookconfigurations": "ValidatingWebhookConfiguration",
    "mutatingwebhookconfigurations": "MutatingWebhookConfiguration",
    "selfsubjectaccessreviews": "SelfSubjectAccessReview",
    "customresourcedefinitions": "CustomResourceDefinition",
    "servicemonitors": "ServiceMonitor",
    "podmonitors": "PodMonitor",
    "prometheusrules": "PrometheusRule",
    "alertmanagerconfigs": "AlertmanagerConfig",
    "clusterissuers": "ClusterIssuer",
    "externalsecrets": "ExternalSecret",
    "secretstores": "SecretStore",
    "scaledobjects": "ScaledObject",
    "triggerauthentications": "TriggerAuthentication",
    "scheduledbackups": "ScheduledBackup",
    "objectstores": "ObjectStore",
    "targetgroupbindings": "TargetGroupBinding",
}


def _resource(word: str) -> tuple[str, str, bool]:
    """Plural, kind, and whether it is in a namespace."""
    plural = word.removeprefix("*")
    return plural, _KINDS.get(plural, plural[:-1].capitalize()), not word.startswith("*")


RESOURCES: dict[str, list[tuple[str, str, bool]]] = {
    "v1": [*map(_resource, _CORE.split()), ("namespaces", "Namespace", False), ("nodes", "Node", False)],
    **{group: list(map(_resource, words.split())) for group, words in _RESOURCES.items()},
}


@dataclass
class Refusal:
    """A fault: requests that match are answered with it."""

    code: int
    reason: str
    message: str
    method: str = ".*"
    path: str = ".*"


@dataclass
class Watcher:
    """Somebody who waits for changes of one resource."""

    group: str
    plural: str
    namespace: str | None
    events: queue.Queue[tuple[str, dict[str, Any]]]


@dataclass
class FakeApi:
    """The API. ``ready_seconds`` is what a pod takes; ``refusals`` are tried in their order.

    ``services`` answers requests that go through the API to a Service: ``namespace/name`` to a function of
    the path that returns a status and a body.
    """

    version: str = "v1.33.2"
    ready_seconds: float = 0.2
    refusals: list[Refusal] = field(default_factory=list)
    missing_groups: set[str] = field(default_factory=set)
    denied: set[tuple[str, str]] = field(default_factory=set)
    services: dict[str, Callable[[str], tuple[int, str]]] = field(default_factory=dict)
    objects: dict[Key, dict[str, Any]] = field(default_factory=dict)
    applied: dict[tuple[Key, str], dict[str, Any]] = field(default_factory=dict)
    watchers: list[Watcher] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    requests: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0
    _number: int = 100

    def __post_init__(self) -> None:
        for name in ("default", "kube-system"):
            self.put("v1", "namespaces", None, {"metadata": {"name": name}})
        for number in range(1, NODES + 1):
            ready = [{"type": "Ready", "status": "True", "lastHeartbeatTime": _now()}]
            info = {"kubeletVersion": self.version}
            status = {"conditions": ready, "nodeInfo": info, "allocatable": {"cpu": "4", "memory": "16Gi"}}
            self.put("v1", "nodes", None, {"metadata": {"name": f"node-{number}"}, "status": status})
        lease = {"metadata": {"name": "node-1"}, "spec": {"renewTime": _now()}}
        self.put("coordination.k8s.io/v1", "leases", "kube-node-lease", lease)
        provisioner = {"provisioner": "rancher.io/local-path", "metadata": {"name": "local-path"}}
        self.put("storage.k8s.io/v1", "storageclasses", None, provisioner)

    def groups(self) -> dict[str, list[tuple[str, str, bool]]]:
        """What there is, without the groups that are missing."""
        return {group: kinds for group, kinds in RESOURCES.items() if group not in self.missing_groups}

    def put(self, group: str, plural: str, namespace: str | None, one: dict[str, Any]) -> dict[str, Any]:
        """Store an object as the server does, and let controllers work on it."""
        kind = next(kind for name, kind, _ in RESOURCES[group] if name == plural)
        with self.lock:
            key = (group, plural, namespace, one["metadata"]["name"])
            old = self.objects.get(key)
            if kind in ("Deployment", "StatefulSet"):
                one["spec"].setdefault("replicas", 1)
            if kind == "StatefulSet":
                strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
                one["spec"].setdefault("updateStrategy", strategy)
            if kind == "Service":
                one["spec"].setdefault("clusterIP", f"10.96.0.{self._number % 250}")
            self._stamp(one, old, namespace)
            one.update(apiVersion=group, kind=kind)
            if old is not None and "status" in old and "status" not in one:
                one["status"] = old["status"]
            self.objects[key] = one
            self.emit("MODIFIED" if old else "ADDED", key)
            if old is None or old.get("spec") != one.get("spec"):
                seconds = 0.0 if kind == "CustomResourceDefinition" else self.ready_seconds
                timer = threading.Timer(seconds, self._settle, (key, one["metadata"]["generation"]))
                timer.daemon = True
                timer.start()
            return one

    def _stamp(self, one: dict[str, Any], old: dict[str, Any] | None, namespace: str | None) -> None:
        self._number += 1
        before = (old or {}).get("metadata", {})
        changed = old is None or old.get("spec") != one.get("spec")
        one["metadata"].update(
            resourceVersion=str(self._number),
            uid=before.get("uid") or str(uuid.uuid4()),
            creationTimestamp=before.get("creationTimestamp") or _now(),
            generation=before.get("generation", 0) + changed,
        )
        if namespace:
            one["metadata"]["namespace"] = namespace

    def emit(self, kind: str, key: Key) -> None:
        """Tell those who watch."""
        one = copy.deepcopy(self.objects[key])
        for watcher in self.watchers:
            if (watcher.group, watcher.plural) == key[:2] and watcher.namespace in (None, key[2]):
                watcher.events.put((kind, one))

    def delete(self, key: Key) -> bool:
        """Take an object away, and its pods."""
        with self.lock:
            if key not in self.objects:
                return False
            self.emit("DELETED", key)
            one = self.objects.pop(key)
            if one["kind"] in ("Deployment", "StatefulSet", "Job"):
                self._delete_pods(key)
            return True

    def _delete_pods(self, owner: Key) -> None:
        mark = f"{owner[1]}/{owner[3]}"
        for key, one in list(self.objects.items()):
            if (
                key[1] in ("pods", "replicasets")
                and key[2] == owner[2]
                and one["metadata"].get("owner") == mark
            ):
                self.delete(key)

    def _settle(self, key: Key, generation: int) -> None:
        with self.lock:
            one = self.objects.get(key)
            if one is None or one["metadata"]["generation"] != generation:
                return
            status = controllers.settled(one["kind"], one)
            if status is not None:
                self._number += 1
                one["status"] = status
                one["metadata"]["resourceVersion"] = str(self._number)
                self.emit("MODIFIED", key)
            if one["kind"] == "HorizontalPodAutoscaler":
                self._scale(one)
            if one["kind"] in ("Deployment", "StatefulSet", "Job"):
                self._delete_pods(key)
            if one["kind"] == "Deployment":
                self.put("apps/v1", "replicasets", key[2], controllers.replica_set(copy.deepcopy(one)))
            if one["kind"] in ("Deployment", "StatefulSet", "Job"):
                for pod in controllers.pods(one["kind"], copy.deepcopy(one)):
                    pod["metadata"]["owner"] = f"{key[1]}/{key[3]}"
                    self.put("v1", "pods", key[2], pod)

    def _scale(self, scaler: dict[str, Any]) -> None:
        """An autoscaler that sees no load keeps its floor."""
        key = (
            "apps/v1",
            "deployments",
            scaler["metadata"]["namespace"],
            scaler["spec"]["scaleTargetRef"]["name"],
        )
        target = copy.deepcopy(self.objects.get(key))
        if target is not None and target["spec"]["replicas"] < scaler["spec"]["minReplicas"]:
            target["spec"]["replicas"] = scaler["spec"]["minReplicas"]
            self.put("apps/v1", "deployments", key[2], target)

    def endpoints(self, namespace: str, service: str) -> list[dict[str, Any]]:
        """The ready pods behind a Service."""
        with self.lock:
            one = self.objects.get(("v1", "services", namespace, service))
            if one is None:
                return []
            selector = one["spec"]["selector"].items()
            return [
                copy.deepcopy(pod)
                for key, pod in self.objects.items()
                if key[1] == "pods"
                and key[2] == namespace
                and selector <= pod["metadata"].get("labels", {}).items()
                and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])
            ]

    def find(self, kind: str, name: str, namespace: str | None = "renec") -> dict[str, Any]:
        """One object, for a test to look at."""
        with self.lock:
            (one,) = [
                copy.deepcopy(o)
                for k, o in self.objects.items()
                if o["kind"] == kind and k[3] == name and k[2] in (namespace, None)
            ]
            return one

    def names(self, kind: str, namespace: str | None = "renec") -> set[str]:
        """The names of all objects of a kind."""
        with self.lock:
            return {k[3] for k, o in self.objects.items() if o["kind"] == kind and k[2] in (namespace, None)}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def matches(one: dict[str, Any], query: dict[str, list[str]]) -> bool:
    """Whether an object is among those that label and field selectors ask for."""
    labels = one["metadata"].get("labels", {})
    for part in re.split(r",(?![^(]*\))", query.get("labelSelector", [""])[0]):
        if not part:
            continue
        if " in " in part:
            name, _, values = part.partition(" in ")
            good = labels.get(name.strip()) in re.split(r",\s*", values.strip("() "))
        elif "!=" in part:
            name, value = part.split("!=")
            good = labels.get(name) != value
        elif "=" in part:
            name, value = re.split("==?", part)
            good = labels.get(name) == value
        else:
            good = part in labels
        if not good:
            return False
    for part in query.get("fieldSelector", [""])[0].split(","):
        if part.startswith("metadata.name=") and part.partition("=")[2] != one["metadata"]["name"]:
            return False
    return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: FakeApi


def serve(api: FakeApi) -> _Server:
    """The API on a free port of 127.0.0.1; ``shutdown`` and ``server_close`` end it."""
    from tests.cluster.handler import Handler

    server = _Server(("127.0.0.1", 0), Handler)
    server.api = api
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def kubeconfig(path: Path, port: int, context: str = "renec-onprem") -> Path:
    """A kubeconfig with one context, and another that leads nowhere."""
    clusters = {context: port, "elsewhere": 1}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": f"http://127.0.0.1:{number}"}}
            for name, number in clusters.items()
        ],
        "users": [{"name": "operator", "user": {"token": "t0ken-of-the-test"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "operator"}} for name in clusters],
        "current-context": "elsewhere",
    }
    path.write_text(yaml.safe_dump(document))
    path.chmod(0o600)
    return path
