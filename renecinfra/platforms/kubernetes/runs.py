"""The runs of an environment's journal, kept in its cluster: one ConfigMap each, in its namespace."""

from __future__ import annotations

import json
from typing import Any, Final

from renecinfra.kubernetes.cluster import Cluster

LABEL: Final = "renec.io/run-of"
KEPT: Final = 100
"""Runs that a cluster keeps; older ones make room."""
_FIELD: Final = "run"
_LONGEST: Final = 500_000
"""Bytes of a run that are kept; an object has at most 1 MiB."""


class ClusterRuns:
    """Runs in the cluster of an environment."""

    def __init__(self, cluster: Cluster, namespace: str, environment: str) -> None:
        self._cluster, self._namespace, self._environment = cluster, namespace, environment

    def put(self, run: str, text: str) -> bool:
        """Keep a run's lines as they are now; False where the namespace is not there (any more).

        Raises:
            ClusterError: the cluster refuses.
        """
        if not self._cluster.ask(self._cluster.kubectl.named("namespaces", self._namespace)):
            return False
        name = f"renec-run-{run.lower()}"
        metadata = {"name": name, "labels": {LABEL: self._environment}}
        made = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {_FIELD: text[:_LONGEST]},
        }
        self._cluster.apply(json.dumps(made), self._namespace)
        old = [one["metadata"]["name"] for one in self._objects()[KEPT:]]
        if old:
            self._cluster.read(self._cluster.kubectl.delete("configmaps", tuple(old), self._namespace))
        return True

    def newest(self, limit: int) -> list[str]:
        """The lines of the newest runs, the newest run first.

        Raises:
            ClusterError: it does not answer.
        """
        return [str(one.get("data", {}).get(_FIELD, "")) for one in self._objects()[:limit]]

    def _objects(self) -> list[dict[str, Any]]:
        found = self._cluster.objects("configmaps", self._namespace, f"{LABEL}={self._environment}")
        return sorted(found, key=lambda one: str(one["metadata"]["name"]), reverse=True)
