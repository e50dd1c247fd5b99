"""`down` on an existing cluster: releases in reverse order, then the data unless it is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from renecinfra.errors import ClusterError
from renecinfra.kubernetes.catalogue import Release
from renecinfra.kubernetes.data import CHART as DATA
from renecinfra.kubernetes.installed import installed
from renecinfra.platforms.kubernetes import preflight
from renecinfra.provision.kubernetes.session import ClusterSession

_TIMEOUT: Final = 300
_POSTGRESQL: Final = "clusters.postgresql.cnpg.io"


@dataclass(frozen=True, slots=True)
class ClusterDownPlan:
    """What `down` would take away. ``volumes`` maps a claim to its size."""

    environment: str
    releases: tuple[Release, ...]
    volumes: dict[str, str]
    keep_data: bool
    protected: bool

    @property
    def empty(self) -> bool:
        """Whether nothing is there to take away."""
        return not self.releases and (self.keep_data or not self.volumes)


@dataclass(frozen=True, slots=True)
class ClusterDownResult:
    """How a `down` went."""

    plan: ClusterDownPlan
    seconds: float

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        kept = self.plan.keep_data
        return {
            "environment": self.plan.environment,
            "removed": [one.name for one in self.plan.releases],
            "data_deleted": {} if kept else self.plan.volumes,
            "data_kept": self.plan.volumes if kept else {},
            "seconds": round(self.seconds, 2),
        }


def down(
    session: ClusterSession,
    confirm: Callable[[ClusterDownPlan], None],
    argv: Sequence[str],
    *,
    keep_data: bool,
) -> ClusterDownResult:
    """Take the environment's releases away; delete its volumes unless ``keep_data``.

    With kept data the operators stay too: without its operator a database cannot be brought back. What is in
    the bucket, and definitions of custom resources, stay in any case.

    Raises:
        DeclinedError: the confirmation was refused; nothing has changed.
        ClusterError: something could not be taken away; the next `down` goes on from there.
    """
    started = time.monotonic()
    with session.locked("down", argv) as run:
        preflight.require_context(session.cluster)
        plan = _plan(session, keep_data=keep_data)
        confirm(plan)
        with run.step("uninstall"), session.reporter.progress("Removing", len(plan.releases)) as progress:
            for release in plan.releases:
                progress.advance(0, release.name)
                _remove(session, release)
                if release.name == DATA and not keep_data:
                    with run.step("delete"):
                        _delete_data(session)
                progress.advance(1, release.name)
        if not keep_data and plan.volumes:
            with run.step("delete"):
                _delete_data(session)
    return ClusterDownResult(plan, time.monotonic() - started)


def _plan(session: ClusterSession, *, keep_data: bool) -> ClusterDownPlan:
    environment = session.environment
    there = installed(session.cluster)
    present = [one for one in environment.releases if (one.namespace, one.name) in there]
    mine = [one for one in present if one.chart.is_ours] if keep_data else present
    volumes = {
        f"{namespace}/{one['metadata']['name']}": one["spec"]["resources"]["requests"]["storage"]
        for namespace in dict.fromkeys([environment.namespace, *(one.namespace for one in mine)])
        for one in session.cluster.objects("persistentvolumeclaims", namespace)
    }
    return ClusterDownPlan(
        session.name, tuple(reversed(mine)), volumes, keep_data, session.profile.protection.protected
    )


def _remove(session: ClusterSession, release: Release) -> None:
    argv = session.cluster.helm.uninstall(release.name, release.namespace, timeout=_TIMEOUT)
    with session.reporter.step(f"Removing {release.name}"):
        try:
            session.cluster.change(argv)
        except ClusterError as error:
            raise session.cluster.explained(error, release.namespace) from None


def _delete_data(session: ClusterSession) -> None:
    """The database while its operator is still there to end it, then every volume of the namespace."""
    cluster, namespace = session.cluster, session.environment.namespace
    with session.reporter.step("Deleting the data"):
        for kind in (_POSTGRESQL, "persistentvolumeclaims"):
            names = tuple(one["metadata"]["name"] for one in cluster.objects(kind, namespace))
            if names:
                cluster.change(cluster.kubectl.delete(kind, names, namespace))
