"""`restore` on a cluster: CloudNativePG recovers one beside that which serves; the pooler changes over.

What is beside, current and kept is part of the values of the release renec-data, so that any machine can go
on, undo or finish. Each step is one revision of that release, which Helm carries out or takes back whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from renecinfra import rendering
from renecinfra.errors import ClusterError, RestoreError
from renecinfra.kubernetes import releases
from renecinfra.kubernetes.places import DatabasePlace, Origin, Places
from renecinfra.platforms.kubernetes import preflight
from renecinfra.provision.kubernetes.checking import check
from renecinfra.provision.kubernetes.database_backups import Window, take, window
from renecinfra.provision.kubernetes.session import ClusterSession
from renecinfra.recovery.engine.checking import Finding, require
from renecinfra.recovery.targets import (
    BackupTarget,
    LatestTarget,
    LsnTarget,
    RecoveryTarget,
    RestorePointTarget,
    TimeTarget,
    XidTarget,
    show,
)

CLUSTERS: Final = "clusters.postgresql.cnpg.io"
_PATIENCE: Final = timedelta(hours=6)
_POLL: Final = 5.0
_DEAD: Final = ("unrecoverable", "failed", "not enough disk space")
"""What is in the operator's word for a phase that is not left for the better by itself."""


@dataclass(frozen=True, slots=True)
class ClusterRestorePlan:
    """What a restore would do. ``lost`` are the seconds from the target to now, None where nobody knows."""

    environment: str
    id: str
    target: str
    origin: Origin
    window: Window
    lost: float | None
    kept: str
    instances: int
    storage: int

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            "id": self.id,
            "target": self.target,
            "recovery": dict(self.origin.target),
            "window": self.window.document(),
            "lost_seconds": None if self.lost is None else round(self.lost),
            "kept": self.kept,
            "instances": self.instances,
            "storage_bytes": self.storage,
        }


@dataclass(frozen=True, slots=True)
class ClusterRestoreResult:
    """How a restore, an undo, an abort or a finish went."""

    environment: str
    action: str
    target: str
    serves: str
    kept: str | None
    findings: tuple[Finding, ...]
    backup: str | None
    seconds: float

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            "action": self.action,
            "target": self.target,
            "serves": self.serves,
            "kept": self.kept,
            "findings": [one.document() for one in self.findings],
            "backup": self.backup,
            "seconds": round(self.seconds, 2),
        }


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked; each raises DeclinedError where the answer is no. See the AWS platform's."""

    plan: Callable[[ClusterRestorePlan], None]
    cutover: Callable[[DatabasePlace, DatabasePlace], None]


def plan(session: ClusterSession, target: RecoveryTarget) -> ClusterRestorePlan:
    """What a restore would do; changes nothing.

    Raises:
        RestoreError: the target cannot be reached.
        ClusterError: the cluster does not answer.
    """
    with session.reporter.step("Looking at the backups"):
        preflight.require_context(session.cluster)
        places, now = session.places(), datetime.now(UTC)
        refuse_unfinished(session.name, places)
        found = window(session, places.current.server)
    wanted, said, at = _recovery(session.name, target, found, now)
    database = session.profile.database
    return ClusterRestorePlan(
        session.name,
        f"{now:%Y%m%d-%H%M%S}",
        said,
        Origin(places.current.server, wanted, said),
        found,
        None if at is None else max(0.0, (now - at).total_seconds()),
        places.current.name,
        database.replicas + 1,
        database.storage,
    )


def _recovery(
    name: str, target: RecoveryTarget, found: Window, now: datetime
) -> tuple[dict[str, Any], str, datetime | None]:
    """The operator's ``recoveryTarget``, in words, and the moment where one is known."""
    if found.first is None:
        raise RestoreError(
            "restore-no-backup",
            f"the bucket has no complete backup of {name} yet",
            hint=f"`renecinfra backup {name} create` takes one",
        )
    if isinstance(target, LatestTarget):
        return {}, target.describe(), None
    if isinstance(target, BackupTarget):
        one = next((b for b in found.backups if b.name == target.label and b.id), None)
        if one is None:
            raise RestoreError(
                "restore-no-backup",
                f"there is no complete backup {target.label}",
                hint=f"`renecinfra backup {name} list` shows which there are",
            )
        return {"backupID": one.id, "targetImmediate": True}, target.describe(), one.stopped
    if isinstance(target, TimeTarget):
        if target.at > now:
            raise RestoreError(
                "restore-target-future",
                f"{target.describe()} is in the future",
                hint="a zone may be meant: write it with one",
            )
        if target.at < found.first:
            raise RestoreError(
                "restore-target-before",
                f"{target.describe()} is before the first moment that can be restored",
                hint=f"that is {show(found.first)}",
            )
        return {"targetTime": target.at.isoformat()}, show(target.at), target.at
    return _exact(target), target.describe(), None


def _exact(target: LsnTarget | XidTarget | RestorePointTarget) -> dict[str, Any]:
    if isinstance(target, LsnTarget):
        return {"targetLSN": target.lsn}
    return {"targetXID": str(target.xid)} if isinstance(target, XidTarget) else {"targetName": target.name}


def restore(
    session: ClusterSession, target: RecoveryTarget, questions: Questions, argv: Sequence[str]
) -> ClusterRestoreResult:
    """Restore to a target, from the plan to the new backup.

    Raises:
        DeclinedError: a confirmation was refused; before the second one, what serves is as it was.
        RestoreError, ClusterError: it is refused, or a step failed; `--resume` goes on.
    """
    with session.locked("restore", argv) as run:
        with run.step("plan"):
            made = plan(session, target)
        questions.plan(made)
        with run.step("beside"):
            places = session.places().with_beside(made.id, made.origin, session.name)
            bring(session, places, "restore: beside")
        return _go_on(session, run, places, questions)


def resume(session: ClusterSession, questions: Questions, argv: Sequence[str]) -> ClusterRestoreResult:
    """Go on with a restore that was cut off, here or on another machine.

    Raises:
        RestoreError: there is none.
    """
    with session.locked("restore", argv) as run:
        preflight.require_context(session.cluster)
        places = session.places()
        if places.beside is None and (places.kept is None or places.current.origin is None):
            raise RestoreError(
                "restore-none",
                f"no restore of {session.name} is under way",
                hint=f"`renecinfra restore {session.name} --to TIME` begins one",
            )
        return _go_on(session, run, places, questions)


def _go_on(session: ClusterSession, run: Any, places: Places, questions: Questions) -> ClusterRestoreResult:
    started, findings = time.monotonic(), list[Finding]()
    new = places.beside
    if new is not None:
        with run.step("recover"), session.reporter.progress(f"Recovering {new.name}") as progress:
            found = wait(session, new.name, lambda text: progress.advance(0, text))
        with run.step("check"):
            findings = check(session, found)
            require(findings, session.name)
        questions.cutover(new, places.current)
        with run.step("cutover"):
            places = places.exchanged(new)
            bring(session, places, "restore: cutover")
    current = places.current
    with run.step("verify"), session.reporter.progress(f"Waiting for {current.name}") as progress:
        wait(session, current.name, lambda text: progress.advance(0, text))
    with run.step("protect"), session.reporter.step("Beginning a backup"):
        backup = take(session, current.name, "after-restore")
    said = current.origin.said if current.origin is not None else ""
    kept = places.kept.name if places.kept is not None else None
    return ClusterRestoreResult(
        session.name,
        "restore",
        said,
        current.name,
        kept,
        tuple(findings),
        backup,
        time.monotonic() - started,
    )


def bring(session: ClusterSession, places: Places, description: str) -> None:
    """One revision of the release of the data, with these clusters.

    Raises:
        ClusterError: it did not become ready, and was rolled back.
    """
    environment = session.environment
    with session.reporter.step("Rendering"):
        secrets = {reference: one.version for reference, one in session.secrets().items()}
        bundle = environment.bundle(session.versions(), secrets, places)
        rendering.write(bundle, session.paths.build)
    release = environment.data
    releases.upgrade(
        session.cluster,
        release,
        session.packages.get(release.chart),
        session.paths.build,
        settings=session.settings(f"renecinfra {description}"),
        reporter=session.reporter,
    )


def wait(session: ClusterSession, name: str, note: Callable[[str], None]) -> dict[str, Any]:
    """Wait until a cluster of PostgreSQL has all of its instances, as it is then.

    Raises:
        RestoreError: it does not get there.
    """
    deadline = time.monotonic() + _PATIENCE.total_seconds()
    while True:
        listed = session.cluster.objects(CLUSTERS, session.environment.namespace)
        found = next((one for one in listed if one["metadata"]["name"] == name), None)
        status = (found or {}).get("status", {})
        phase = str(status.get("phase", "not known yet"))
        if found is not None and status.get("readyInstances", 0) >= found["spec"]["instances"]:
            return found
        note(f"{status.get('readyInstances', 0)} instances ready: {phase}")
        if any(word in phase.lower() for word in _DEAD) or time.monotonic() > deadline:
            error = ClusterError(
                "restore-recovery",
                f"{name} does not recover: {phase} {status.get('phaseReason', '')}".rstrip(),
                hint="the log of its pod says why: a target after the last archived WAL, or a gap; "
                f"`renecinfra restore {session.name} --abort` removes it",
            )
            raise session.cluster.explained(error, session.environment.namespace)
        time.sleep(_POLL if found is not None and status else 0.2)


def refuse_unfinished(name: str, places: Places) -> None:
    """Refuse to begin another restore while one is under way, or can still be undone.

    Raises:
        RestoreError: one is, or can.
    """
    if places.beside is not None:
        raise RestoreError(
            "restore-unfinished",
            f"a restore was begun and is not done: {places.beside.name} is beside",
            hint=f"`renecinfra restore {name} --resume` goes on with it, `--abort` removes it",
        )
    if places.kept is not None:
        raise RestoreError(
            "restore-kept",
            f"{places.kept.name}, which served before, is still kept",
            hint=f"`renecinfra restore {name} --finish` removes it, `--undo` goes back to it",
        )
