"""The ways out of a restore on a cluster: back to what served before, or without it for good."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from renecinfra.errors import RestoreError
from renecinfra.kubernetes.places import DatabasePlace, Places
from renecinfra.platforms.kubernetes import preflight
from renecinfra.provision.kubernetes.restoring import CLUSTERS, ClusterRestoreResult, bring, wait
from renecinfra.provision.kubernetes.session import ClusterSession

Confirm = Callable[[DatabasePlace, DatabasePlace], None]
"""Asks: what serves now, and what is brought back or deleted; raises DeclinedError when the answer is no."""


def undo(session: ClusterSession, confirm: Confirm, argv: Sequence[str]) -> ClusterRestoreResult:
    """Let the cluster from before the restore serve again; the restored one is kept, stopped.

    Raises:
        RestoreError: nothing is kept that could be gone back to.
        DeclinedError: the confirmation was refused; nothing has changed.
        ClusterError: the cluster refuses; the same command goes on.
    """
    started = time.monotonic()
    with session.locked("restore", argv) as run:
        places, kept = _kept(session)
        confirm(places.current, kept)
        with run.step("undo"):
            places = places.exchanged(kept)
            bring(session, places, "restore: undo")
        with run.step("verify"), session.reporter.progress(f"Waiting for {kept.name}") as progress:
            wait(session, kept.name, lambda text: progress.advance(0, text))
        return _result(session, "undo", places, started)


def abort(session: ClusterSession, confirm: Confirm, argv: Sequence[str]) -> ClusterRestoreResult:
    """Delete what is recovered beside, which never served.

    Raises:
        RestoreError: there is no restore, or it came further.
        DeclinedError: the confirmation was refused; nothing has changed.
        ClusterError: the cluster refuses; the same command goes on.
    """
    started = time.monotonic()
    with session.locked("restore", argv) as run:
        preflight.require_context(session.cluster)
        places = session.places()
        if places.beside is None:
            raise RestoreError(
                "restore-none" if places.kept is None else "restore-too-late",
                f"nothing of {session.name} is restored beside",
                hint=f"`renecinfra restore {session.name} --undo` goes back, where something is kept",
            )
        confirm(places.current, places.beside)
        with run.step("abort"):
            places = remove(session, places, places.beside, "restore: abort")
        return _result(session, "abort", places, started)


def finish(session: ClusterSession, confirm: Confirm, argv: Sequence[str]) -> ClusterRestoreResult:
    """Delete the cluster that a restore, or its undo, has left; its archive stays in the bucket.

    Raises:
        RestoreError: nothing is kept.
        DeclinedError: the confirmation was refused; nothing has changed.
        ClusterError: the cluster refuses; the same command goes on.
    """
    started = time.monotonic()
    with session.locked("restore", argv) as run:
        places, kept = _kept(session)
        confirm(places.current, kept)
        with run.step("finish"):
            places = remove(session, places, kept, "restore: finish")
        return _result(session, "finish", places, started)


def _kept(session: ClusterSession) -> tuple[Places, DatabasePlace]:
    preflight.require_context(session.cluster)
    places = session.places()
    if places.kept is None:
        raise RestoreError(
            "restore-none",
            f"nothing of before a restore of {session.name} is kept",
            hint=f"`renecinfra restore {session.name} --to TIME` begins one"
            + (", `--abort` removes the one beside" if places.beside else ""),
        )
    return places, places.kept


def remove(session: ClusterSession, places: Places, gone: DatabasePlace, description: str) -> Places:
    """The object first: Helm leaves it alone when its release has it no more, and nothing would name it."""
    cluster = session.cluster
    with session.reporter.step(f"Deleting {gone.name}"):
        cluster.change(cluster.kubectl.delete(CLUSTERS, (gone.name,), session.environment.namespace))
    left = places.without(gone)
    bring(session, left, description)
    return left


def _result(session: ClusterSession, action: str, places: Places, started: float) -> ClusterRestoreResult:
    current, kept = places.current, places.kept
    return ClusterRestoreResult(
        session.name,
        action,
        current.origin.said if current.origin is not None else "",
        current.name,
        kept.name if kept is not None else None,
        (),
        None,
        time.monotonic() - started,
    )
