"""Backups of PostgreSQL on a cluster: what the bucket and the operator's objects say, and taking one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from renecinfra.kubernetes.places import NAME
from renecinfra.kubernetes.secrets import labels
from renecinfra.provision.kubernetes.session import ClusterSession

BACKUPS: Final = "backups.postgresql.cnpg.io"
_STORES: Final = "objectstores.barmancloud.cnpg.io"
_PLUGIN: Final = "barman-cloud.cloudnative-pg.io"
REASON: Final = "renec.io/reason"


@dataclass(frozen=True, slots=True)
class ClusterBackup:
    """A backup as an object of the operator's. ``id`` is the bucket's name for it, empty until it is done."""

    name: str
    cluster: str
    id: str
    phase: str
    started: datetime | None
    stopped: datetime | None
    reason: str | None

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "name": self.name,
            "cluster": self.cluster,
            "id": self.id,
            "phase": self.phase,
            "started": self.started.isoformat() if self.started else None,
            "stopped": self.stopped.isoformat() if self.stopped else None,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Window:
    """From when on any moment can be restored, None where none can; and the backups, the newest first."""

    first: datetime | None
    backups: tuple[ClusterBackup, ...]

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "first": self.first.isoformat() if self.first else None,
            "backups": [one.document() for one in self.backups],
        }


def window(session: ClusterSession, server: str) -> Window:
    """What can be restored of the archive named ``server``.

    Raises:
        ClusterError: the cluster does not answer.
    """
    namespace = session.environment.namespace
    stores = session.cluster.objects(_STORES, namespace)
    store = next((one for one in stores if one["metadata"]["name"] == NAME), {})
    known = store.get("status", {}).get("serverRecoveryWindow", {}).get(server, {})
    listed = [_backup(one) for one in session.cluster.objects(BACKUPS, namespace)]
    listed.sort(key=lambda one: one.started or datetime.min.replace(tzinfo=UTC), reverse=True)
    return Window(_time(known.get("firstRecoverabilityPoint")), tuple(listed))


def newest_age(session: ClusterSession) -> timedelta | None:
    """How old the newest complete backup of what serves is; None where there is none.

    Raises:
        ClusterError: the cluster does not answer.
    """
    current = session.places().current
    stopped = [
        one.stopped
        for one in window(session, current.server).backups
        if one.cluster == current.name and one.id and one.stopped is not None
    ]
    return datetime.now(UTC) - max(stopped) if stopped else None


def _backup(one: dict[str, Any]) -> ClusterBackup:
    status = one.get("status", {})
    return ClusterBackup(
        one["metadata"]["name"],
        one["spec"]["cluster"]["name"],
        str(status.get("backupId", "")) if status.get("phase") == "completed" else "",
        str(status.get("phase", "new")),
        _time(status.get("startedAt")),
        _time(status.get("stoppedAt")),
        one["metadata"].get("annotations", {}).get(REASON),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def take(session: ClusterSession, cluster: str, reason: str) -> str:
    """Begin a backup of one of the clusters; the name of its object.

    Raises:
        ClusterError: the cluster refuses.
    """
    name = f"{NAME}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    one = {
        "apiVersion": "postgresql.cnpg.io/v1",
        "kind": "Backup",
        "metadata": {"name": name, "labels": labels(session.profile), "annotations": {REASON: reason}},
        "spec": {
            "cluster": {"name": cluster},
            "method": "plugin",
            "pluginConfiguration": {"name": _PLUGIN},
        },
    }
    session.cluster.apply(json.dumps(one), session.environment.namespace)
    return name
