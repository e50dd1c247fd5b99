"""What a restore in AWS would do: from which backups, to which moment, and what it costs. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from renecinfra.errors import RestoreError
from renecinfra.platforms.aws.recovery import Instances, Names, Source
from renecinfra.provision.aws.session import AwsSession
from renecinfra.recovery.targets import BackupTarget, LatestTarget, RecoveryTarget, TimeTarget, show

_STOPS: Final = "10 to 20 minutes: RDS restarts both instances and their names have to spread"
_TAKES: Final = "some 20 minutes, and more with the size: RDS does not say beforehand"
_AHEAD: Final = "is after the newest moment that RDS can restore to"


@dataclass(frozen=True, slots=True)
class AwsRestorePlan:
    """What a restore would do. ``at`` is the moment that it ends at; ``lost`` the seconds from it to now."""

    environment: str
    names: Names
    target: str
    source: Source
    snapshot: str | None
    at: datetime
    lost: float
    moved: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def stops(self) -> str:
        """How long the database cannot be reached."""
        return _STOPS

    @property
    def takes(self) -> str:
        """How long it takes until the names change."""
        return _TAKES

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            "id": self.names.id,
            "target": self.target,
            "at": self.at.isoformat(),
            "snapshot": self.snapshot,
            "lost_seconds": round(self.lost),
            "size_bytes": self.source.size,
            "primary_alive": self.source.alive,
            "kept": {name: self.names.kept(name) for name in self.moved},
            "stops": self.stops,
            "warnings": list(self.warnings),
        }


def plan(session: AwsSession, instances: Instances, target: RecoveryTarget) -> AwsRestorePlan:
    """What a restore would do; changes nothing.

    Raises:
        RestoreError: the target is none of RDS's, or cannot be reached.
    """
    with session.reporter.step("Asking RDS what can be restored"):
        now = datetime.now(UTC)
        snapshot = target.label if isinstance(target, BackupTarget) else None
        source, at = (
            _of_snapshot(session.name, instances, snapshot)
            if snapshot is not None
            else _of_window(session.name, instances.source(), target, now)
        )
        there = [name for name in instances.own if instances.find(name) is not None]
    lost = max(0.0, (now - at).total_seconds())
    warnings = []
    if not source.alive:
        warnings.append(f"there is no instance {instances.base}: nothing can be kept, and --undo has no way")
    if source.alive and isinstance(target, LatestTarget):
        warnings.append(
            f"the running database has {lost:.0f} s more than RDS has stored: if it can still be used, stop "
            "the writers, and wait until `backup list` shows a later moment"
        )
    names = Names(instances.base, f"{now:%Y%m%d-%H%M%S}")
    said = f"snapshot {snapshot}" if snapshot is not None else show(at)
    return AwsRestorePlan(
        session.name, names, said, source, snapshot, at, lost, tuple(there), tuple(warnings)
    )


def _of_snapshot(environment: str, instances: Instances, identifier: str) -> tuple[Source, datetime]:
    found = instances.snapshot(identifier)
    if found is None or found.get("Status") != "available":
        what = "there is no snapshot" if found is None else f"RDS says {found.get('Status')} of snapshot"
        raise RestoreError(
            "restore-no-backup",
            f"{what} {identifier}",
            hint=f"`renecinfra backup {environment} list` shows which there are",
        )
    base = instances.base
    source = Source(
        base,
        str(found.get("DbiResourceId", "")),
        alive=instances.find(base) is not None,
        size=int(found["AllocatedStorage"]) << 30,
        earliest=found["SnapshotCreateTime"],
        latest=found["SnapshotCreateTime"],
    )
    return source, found["SnapshotCreateTime"]


def _of_window(
    environment: str, source: Source, target: RecoveryTarget, now: datetime
) -> tuple[Source, datetime]:
    if not isinstance(target, TimeTarget | LatestTarget):
        raise RestoreError(
            "restore-target-unsupported",
            f"RDS does not restore to {target.describe()}",
            hint="give --to TIME, --latest, or --backup ID with a snapshot's name",
        )
    if source.latest is None:
        raise RestoreError(
            "restore-no-backup",
            f"RDS has no backup of {source.identifier} yet",
            hint="the first one is taken within minutes after the instance was made; try again",
        )
    if isinstance(target, LatestTarget):
        return source, source.latest
    window = f"the window is {show(source.earliest) if source.earliest else '?'} to {show(source.latest)}"
    if target.at > now:
        raise RestoreError(
            "restore-target-future",
            f"{target.describe()} is in the future",
            hint=f"a zone may be meant: write it with one; {window}",
        )
    if target.at > source.latest:
        behind = "; RDS stores its log every five minutes: wait, or give --latest" if source.alive else ""
        raise RestoreError("restore-target-after", f"{target.describe()} {_AHEAD}", hint=window + behind)
    if source.earliest is not None and target.at < source.earliest:
        raise RestoreError(
            "restore-target-before",
            f"{target.describe()} is before the first moment that RDS can restore to",
            hint=f"{window}; `renecinfra backup {environment} list` shows snapshots, which go back further",
        )
    return source, target.at
