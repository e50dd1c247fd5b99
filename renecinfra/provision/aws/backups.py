"""What `backup` does in AWS: list what can be restored, take a snapshot, delete one that nobody needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from renecinfra.errors import RestoreError, UsageError
from renecinfra.platforms.aws.databases import copied_backups
from renecinfra.platforms.aws.faults import told
from renecinfra.platforms.aws.recovery import Instances, Source, tags_of
from renecinfra.provision.aws.restoring import instances_of
from renecinfra.provision.aws.session import AwsSession

REASON: Final = "renecinfra:reason"
_PATIENCE: Final = timedelta(hours=6)
_POLL: Final = 15.0
_OWN: Final = "manual"
"""The kind of snapshot that stays until somebody deletes it; RDS and AWS Backup expire their own."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot of the database. ``size`` in bytes is the storage that it restores to."""

    identifier: str
    kind: str
    status: str
    taken: datetime | None
    size: int
    encrypted: bool
    reason: str | None

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "identifier": self.identifier,
            "type": self.kind,
            "status": self.status,
            "taken": self.taken.isoformat() if self.taken else None,
            "size": self.size,
            "encrypted": self.encrypted,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class AwsBackups:
    """What can be restored. ``rpo`` is the longest that the newest moment may be behind."""

    environment: str
    now: datetime
    source: Source | None
    snapshots: tuple[Snapshot, ...]
    copy_region: str
    copies: int
    rpo: timedelta

    @property
    def problems(self) -> tuple[str, ...]:
        """What is not as it has to be."""
        found = []
        if self.source is None or self.source.latest is None:
            found.append("no moment can be restored")
        elif self.source.alive and self.now - self.source.latest > self.rpo:
            found.append(
                f"the newest moment is {(self.now - self.source.latest).total_seconds():.0f} s behind, and "
                f"{self.rpo.total_seconds():.0f} s are allowed"
            )
        if not self.copies:
            found.append(f"no backup is copied to {self.copy_region}")
        return tuple(found)

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        source = self.source
        earliest, latest = (source.earliest, source.latest) if source else (None, None)
        return {
            "environment": self.environment,
            "ok": not self.problems,
            "primary_alive": source is not None and source.alive,
            "window": {
                "earliest": earliest.isoformat() if earliest else None,
                "latest": latest.isoformat() if latest else None,
            },
            "snapshots": [one.document() for one in self.snapshots],
            "copies": {"region": self.copy_region, "count": self.copies},
            "problems": list(self.problems),
        }


def listing(session: AwsSession, instances: Instances | None = None) -> AwsBackups:
    """Ask RDS what can be restored; changes nothing."""
    instances = instances or instances_of(session)
    try:
        source: Source | None = instances.source()
    except RestoreError:
        source = None
    copies = copied_backups(session.aws, instances.base)
    return AwsBackups(
        session.name,
        datetime.now(UTC),
        source,
        tuple(_snapshot(one) for one in instances.snapshots()),
        session.platform.backup_region,
        len(copies),
        session.profile.backups.rpo,
    )


def _snapshot(found: dict[str, Any]) -> Snapshot:
    return Snapshot(
        str(found["DBSnapshotIdentifier"]),
        str(found.get("SnapshotType", "")),
        str(found.get("Status", "")),
        found.get("SnapshotCreateTime"),
        int(found.get("AllocatedStorage", 0)) << 30,
        bool(found.get("Encrypted")),
        tags_of(found).get(REASON),
    )


def create(
    session: AwsSession, reason: str, argv: Sequence[str], instances: Instances | None = None
) -> Snapshot:
    """Take a snapshot and wait until it is there.

    Raises:
        ToolError: RDS refuses it.
        RestoreError: it does not get there.
    """
    with session.locked("backup create", argv) as run, run.step("snapshot"):
        instances = instances or instances_of(session)
        identifier = f"{instances.base}-by-hand-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        with session.reporter.progress(f"Taking {identifier}", 100) as progress:
            found = instances.snap(identifier, instances.base, {REASON: reason})
            deadline, done = time.monotonic() + _PATIENCE.total_seconds(), 0
            while (status := str(found.get("Status"))) != "available":
                if status not in ("creating", "pending") or time.monotonic() > deadline:
                    raise RestoreError(
                        "backup-failed",
                        f"RDS says that snapshot {identifier} is {status}",
                        hint="see the instance's events in the RDS console",
                    )
                percent = int(found.get("PercentProgress", 0))
                progress.advance(max(0, percent - done), status)
                done = max(done, percent)
                time.sleep(_POLL)
                found = instances.snapshot(identifier) or {}
        return _snapshot(found)


def expire(
    session: AwsSession,
    identifier: str,
    confirm: Callable[[Snapshot], None],
    argv: Sequence[str],
    instances: Instances | None = None,
) -> Snapshot:
    """Delete one snapshot that was taken by hand or by a restore.

    Raises:
        UsageError: there is none, or it is one that RDS or AWS Backup expires.
        DeclinedError: the confirmation was refused; nothing has changed.
    """
    with session.locked("backup expire", argv) as run:
        instances = instances or instances_of(session)
        found = next(
            (one for one in listing(session, instances).snapshots if one.identifier == identifier), None
        )
        if found is None:
            raise UsageError(
                "backup-unknown",
                f"there is no snapshot {identifier}",
                hint=f"`renecinfra backup {session.name} list` shows which there are",
            )
        if found.kind != _OWN:
            raise UsageError(
                "backup-not-ours",
                f"{identifier} is {found.kind}: it ends by itself when backups.retention is over",
                hint="only snapshots that were taken by hand are deleted by hand",
            )
        confirm(found)
        with run.step("expire"), told(f"deleting snapshot {identifier}"):
            session.aws.client("rds").delete_db_snapshot(DBSnapshotIdentifier=identifier)
        return found
