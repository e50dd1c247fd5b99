"""What a restore of a local environment has to reckon with: what runs, on which timeline, and who has WAL."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from renecinfra.errors import RestoreError
from renecinfra.recovery import receiver
from renecinfra.recovery.choosing import Circumstances
from renecinfra.recovery.lineage import Lineage
from renecinfra.recovery.primary import PrimaryState, table_files
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.targets import LatestTarget, RecoveryTarget


def look(
    source: ProtectedDatabase,
    primary: PrimaryState | None,
    target: RecoveryTarget,
    place: Path,
    replica: Path | None,
) -> Circumstances:
    """The circumstances of a restore from the backups of ``source``.

    Args:
        source: whose backups.
        primary: its running primary; None where none takes writes.
        target: what is restored to.
        place: where it is restored to.
        replica: the data directory of its replica, where there is one.

    Raises:
        RestoreError: nobody knows which timeline is its own.
    """
    warnings: tuple[str, ...] = ()
    if primary is not None and isinstance(target, LatestTarget):
        warnings = ("what is committed while this restore runs is lost, until writers are held",)
    return Circumstances(
        timeline=_timeline(source, primary),
        alive=primary is not None,
        directories=_wal_directories(source, replica),
        place=place,
        now=datetime.now(UTC),
        stops=("writes of the api, the workers and everybody else, who wait at the pooler meanwhile",),
        warnings=warnings,
        tables=table_files(source) if primary is not None else {},
    )


def _timeline(source: ProtectedDatabase, primary: PrimaryState | None) -> int:
    if primary is not None:
        return primary.timeline
    current = Lineage(source).current()
    if current is not None:
        return current.timeline
    raise RestoreError(
        "restore-timeline-unknown",
        "the primary does not run, and no lineage file says which timeline it was on",
        hint="give the backup to restore with --backup; `backup ENV list` shows them",
    )


def _wal_directories(source: ProtectedDatabase, replica: Path | None) -> tuple[Path, ...]:
    """Who has WAL besides the archive: the receiver, the primary's own disk, the replica's."""
    received = reversed(receiver.directories(source))
    found = [*received, Path(source.data) / "pg_wal"]
    if replica is not None:
        found.append(replica / "pg_wal")
    return tuple(found)
