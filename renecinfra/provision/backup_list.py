"""What `backup list` shows: repositories, archive and records, looked at together. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from renecinfra.platforms.local.coverage import Coverage, coverage
from renecinfra.provision.backups import BackupWork
from renecinfra.recovery import restore_points
from renecinfra.recovery.observation import Observation, Observer
from renecinfra.recovery.records import Records
from renecinfra.recovery.repository import Backup
from renecinfra.recovery.restore_points import RestorePoint


@dataclass(frozen=True, slots=True)
class ListedBackup:
    """A backup with what is known of it: when it was last read and found whole, or that it was not.

    ``current`` says that it is of the database that runs and not of one before; ``usable`` that the WAL
    which it needs to become consistent is there.
    """

    backup: Backup
    verified: datetime | None
    bad: bool
    current: bool
    usable: bool

    def document(self, now: datetime) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        one = self.backup
        return {
            "label": one.label,
            "type": one.type,
            "repository": one.repository,
            "started": one.started.isoformat(),
            "stopped": one.stopped.isoformat(),
            "age_seconds": round((now - one.stopped).total_seconds()),
            "seconds": one.seconds,
            "size": one.size,
            "stored": one.stored,
            "wal": {"first": one.wal_first, "last": one.wal_last},
            "timeline": one.timeline,
            "prior": one.prior,
            "reason": one.annotations.get("reason"),
            "verified": None if self.verified is None else self.verified.isoformat(),
            "whole": False if self.bad else True if self.verified is not None else None,
            "damaged": one.damaged,
            "current": self.current,
            "usable": self.usable,
        }


@dataclass(frozen=True, slots=True)
class BackupList:
    """Everything that `backup list` shows."""

    seen: Observation
    backups: tuple[ListedBackup, ...]
    points: tuple[RestorePoint, ...]
    coverage: tuple[Coverage, ...]
    repositories: tuple[tuple[int, str], ...]

    @property
    def ok(self) -> bool:
        """Whether backups and archive are as they should be."""
        return not self.seen.problems and all(finding.ok for finding in self.seen.findings)

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            **self.seen.document(),
            "ok": self.ok,
            "repositories": [{"number": number, "place": place} for number, place in self.repositories],
            "backups": [one.document(self.seen.at) for one in self.backups],
            "restore_points": [point.document() for point in self.points],
            "coverage": [one.document() for one in self.coverage],
        }


def listing(work: BackupWork) -> BackupList:
    """Look at repositories, archive and records; changes nothing."""
    seen = Observer(work.database).observe()
    good: dict[str, datetime] = {}
    bad: dict[str, datetime] = {}
    for record in Records(work.database).all("verify"):
        good |= dict.fromkeys(record.facts.get("backups", ()), record.at)
        bad |= dict.fromkeys(record.facts.get("bad_backups", ()), record.at)
    repository = seen.repository
    current = repository.of_current() if repository is not None else ()
    unusable = set(seen.window.unusable) if seen.window is not None else set()
    listed = tuple(
        ListedBackup(
            one,
            good.get(one.label),
            bad=one.label in bad and (one.label not in good or bad[one.label] > good[one.label]),
            current=one in current,
            usable=one.label not in unusable,
        )
        for one in (repository.backups if repository is not None else ())
    )
    places = tuple((place.number, place.location) for place in work.database.repositories)
    points = tuple(restore_points.points(work.database))
    return BackupList(seen, listed, points, coverage(work.session.profile), places)
