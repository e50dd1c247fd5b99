"""`drill` on a cluster: have CloudNativePG recover beside what serves, look at it, time it, and delete it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from renecinfra.kubernetes.places import Places
from renecinfra.platforms.kubernetes.alerts import drilled
from renecinfra.provision.kubernetes.checking import check
from renecinfra.provision.kubernetes.restoring import bring, plan, wait
from renecinfra.provision.kubernetes.session import ClusterSession
from renecinfra.provision.kubernetes.undoing import remove
from renecinfra.provision.rehearsal import Rehearsal, promised
from renecinfra.recovery.engine.checking import require
from renecinfra.recovery.targets import LatestTarget


def drill(session: ClusterSession, argv: Sequence[str]) -> Rehearsal:
    """Rehearse a restore. What it makes is deleted in any case; after a kill, `restore --abort` deletes it.

    Raises:
        RestoreError: nothing can be restored, the recovered cluster is not right, or it took longer than
            ``backups.rto`` promises.
        ClusterError: the cluster refuses.
    """
    with session.locked("drill", argv) as run:
        with run.step("plan"):
            made = plan(session, LatestTarget())
        started = time.monotonic()
        places = session.places().with_beside(made.id, made.origin, session.name)
        try:
            with run.step("recover"):
                bring(session, places, "drill")
                found = _recovered(session, places)
                seconds = time.monotonic() - started
            with run.step("check"):
                rto = promised(seconds, session.profile.backups.rto.total_seconds())
                findings = (*check(session, found), rto)
                require(list(findings), session.name, rehearsed=True)
        finally:
            with run.step("remove"):
                _remove(session)
        with run.step("record"):
            record(session, seconds)
        return Rehearsal(session.name, made.target, seconds, None, findings)


def _recovered(session: ClusterSession, places: Places) -> dict[str, Any]:
    new = places.beside
    assert new is not None
    with session.reporter.progress(f"Recovering {new.name}") as progress:
        return wait(session, new.name, lambda text: progress.advance(0, text))


def record(session: ClusterSession, seconds: float) -> None:
    """Keep a good drill as rules of Prometheus, which answer the alert on the age of the last one.

    Raises:
        ClusterError: the cluster refuses.
    """
    if session.profile.releases.monitoring:
        with session.reporter.step("Recording the drill"):
            session.cluster.apply(drilled(session.profile, datetime.now(UTC), seconds))


def _remove(session: ClusterSession) -> None:
    """What is beside now: where the release was rolled back, it never came to be."""
    places = session.places()
    if places.beside is not None:
        remove(session, places, places.beside, "drill: remove")
