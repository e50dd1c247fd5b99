"""Jobs that ask a PostgreSQL something from within a cluster, where it cannot be reached from outside.

A job says what it has to say in its container's termination message: that is in the pod's status, so that
nobody needs the right to read logs or to run commands in other pods. It is deleted when it has ended.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from renecinfra.errors import ClusterError
from renecinfra.kubernetes.cluster import Cluster
from renecinfra.sensitive import Secret

_NEWEST: Final = 18
_IMAGE: Final = "ghcr.io/cloudnative-pg/postgresql:{version}-standard-trixie"
MESSAGE: Final = "/dev/termination-log"
_USER: Final = 26
"""The user that these images run as."""
_POLL: Final = 2.0
_PATIENCE: Final = 30.0
_FATAL: Final = ("image-pull", "secret-missing", "cluster-security", "cluster-quota")
_COMPONENT: Final = "app.kubernetes.io/component"
_RUN: Final = "renec.io/run"
"""Tells a run's pods from those of the one before, which can outlive their job for a moment."""
_PLURALS: Final = {"Secret": "secrets", "NetworkPolicy": "networkpolicies"}
Note = Callable[[str], None]
"""Told how far something is."""


def image(version: int | None) -> str:
    """CloudNativePG's image of a major version of PostgreSQL, the newest if None; psql is in it."""
    return _IMAGE.format(version=version or _NEWEST)


@dataclass(frozen=True, slots=True)
class Job:
    """A script that sh runs beside a psql.

    ``plain`` are variables, ``secret`` those that come from a Secret, as (its name, the key). ``with_it`` are
    objects that it needs, which come before it and go after it; they may hold secrets.
    """

    name: str
    component: str
    image: str
    script: str
    plain: Mapping[str, str]
    secret: Mapping[str, tuple[str, str]]
    labels: Mapping[str, str]
    seconds: int
    with_it: Sequence[Mapping[str, Any]] = field(default=())

    def manifest(self, namespace: str, mark: str = "") -> dict[str, Any]:
        """The job's own object; it holds no secret, and may run in a namespace of restricted pods.

        ``mark`` is of one run alone.
        """
        env: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in self.plain.items()]
        env += [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": where, "key": key}}}
            for name, (where, key) in self.secret.items()
        ]
        container = {
            "name": self.component,
            "image": self.image,
            "command": ["sh", "-c", self.script],
            "env": env,
            "terminationMessagePath": MESSAGE,
            "resources": {
                "requests": {"cpu": "50m", "memory": "64Mi"},
                "limits": {"cpu": "500m", "memory": "128Mi"},
            },
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        pod = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        }
        marks = {**self.labels, _COMPONENT: self.component}
        spec = {
            "backoffLimit": 0,
            "activeDeadlineSeconds": self.seconds,
            "ttlSecondsAfterFinished": 3600,
            "template": {"metadata": {"labels": {**marks, _RUN: mark}}, "spec": pod},
        }
        metadata = {"name": self.name, "namespace": namespace, "labels": marks}
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


@dataclass(frozen=True, slots=True)
class Access:
    """The login of a database that is outside of the cluster, and where that is: policies deny it else."""

    values: Mapping[str, str]
    peers: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, login: tuple[str, Secret], peers: Sequence[Mapping[str, Any]], **more: str) -> Access:
        """A user and its password, and what else a job must be told in secret."""
        user, password = login
        return cls({"user": user, "password": password.reveal(), **more}, peers)

    def objects(
        self, name: str, component: str, namespace: str, labels: Mapping[str, str]
    ) -> tuple[dict[str, Any], ...]:
        """A Secret with the values and a policy for the job's pods; both by the job's name."""
        metadata = {"name": name, "namespace": namespace, "labels": dict(labels)}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": "Opaque",
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in self.values.items()},
        }
        policy = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata,
            "spec": {
                "podSelector": {"matchLabels": {_COMPONENT: component}},
                "policyTypes": ["Ingress", "Egress"],
                "egress": [
                    {"to": list(self.peers), "ports": [{"protocol": "TCP", "port": 5432}]},
                    {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]},
                ],
            },
        }
        return secret, policy


def run(cluster: Cluster, namespace: str, job: Job, note: Note) -> str:
    """Run a job to its end; what it said.

    Raises:
        ClusterError: the cluster refuses, or the job does not start or end.
    """
    started, mark = time.monotonic(), secrets.token_hex(4)
    _remove(cluster, namespace, job)  # of a run that was cut off: a job cannot change
    try:
        items = [*job.with_it, job.manifest(namespace, mark)]
        cluster.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}), namespace)
        while (message := _message(cluster, namespace, job, mark)) is None:
            seconds = time.monotonic() - started
            if seconds > job.seconds or (seconds > _PATIENCE and _hopeless(cluster, namespace, job)):
                raise _failure(cluster, namespace, job)
            note(f"for {seconds:.0f} s")
            time.sleep(_POLL if seconds > _POLL else 0.2)
        return message
    finally:
        _remove(cluster, namespace, job)


def _message(cluster: Cluster, namespace: str, job: Job, mark: str) -> str | None:
    """What the job's pod said at its end; None while it has not ended."""
    listed = cluster.objects("jobs", namespace)
    one = next((one for one in listed if one["metadata"]["name"] == job.name), {})
    ended = {c["type"] for c in one.get("status", {}).get("conditions", []) if c["status"] == "True"}
    if not ended & {"Complete", "Failed"}:
        return None
    for pod in cluster.objects("pods", namespace, f"{_RUN}={mark}"):
        for container in pod.get("status", {}).get("containerStatuses", []):
            if "terminated" in container["state"]:
                return str(container["state"]["terminated"].get("message", ""))
    if "Failed" in ended:
        raise _failure(cluster, namespace, job)
    return ""


def _hopeless(cluster: Cluster, namespace: str, job: Job) -> bool:
    """Whether the job's pod waits for what does not come by itself; room on a node may."""
    found = cluster.diagnose(namespace)
    return any(one.id in _FATAL and job.name in one.where for one in found)


def _failure(cluster: Cluster, namespace: str, job: Job) -> ClusterError:
    error = ClusterError(
        "release-timeout",
        f"the job {job.name} did not come to its end",
        hint=f"`kubectl --namespace {namespace} get events` says why; the image is {job.image}",
    )
    return cluster.explained(error, namespace)


def _remove(cluster: Cluster, namespace: str, job: Job) -> None:
    """The job first: what it needs goes after it."""
    mine = [(_PLURALS[one["kind"]], one["metadata"]["name"]) for one in job.with_it]
    for kind, name in [("jobs", job.name), *mine]:
        if any(one["metadata"]["name"] == name for one in cluster.objects(kind, namespace)):
            cluster.read(cluster.kubectl.delete(kind, (name,), namespace), seconds=180)
