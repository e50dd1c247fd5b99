"""`drill` on a cluster: have CloudNativePG recover beside what serves, look at it, time it, and delete it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from renecinfra.kubernetes.places import Places
from renecinfra.provision.kubernetes.restoring import bring, check, plan, wait
from renecinfra.provision.kubernetes.session import ClusterSession
from renecinfra.provision.kubernetes.undoing import remove
from renecinfra.provision.rehearsal import Rehearsal, promised
from renecinfra.recovery.engine.checking import Finding, require
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
                findings, seconds = _look(session, places, started)
            require(list(findings), session.name)
        finally:
            with run.step("remove"):
                _remove(session)
        return Rehearsal(session.name, made.target, seconds, None, findings)


def _look(session: ClusterSession, places: Places, started: float) -> tuple[tuple[Finding, ...], float]:
    new = places.beside
    assert new is not None
    with session.reporter.progress(f"Recovering {new.name}") as progress:
        found = wait(session, new.name, lambda text: progress.advance(0, text))
    seconds = time.monotonic() - started
    return (*check(found), promised(seconds, session.profile.backups.rto.total_seconds())), seconds


def _remove(session: ClusterSession) -> None:
    """What is beside now: where the release was rolled back, it never came to be."""
    places = session.places()
    if places.beside is not None:
        remove(session, places, places.beside, "drill: remove")
