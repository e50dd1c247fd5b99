"""Which database, timeline and backup a recovery target is reached from. Reads records; asks no
repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from renecinfra.errors import RestoreError
from renecinfra.recovery.engine.sources import Chain
from renecinfra.recovery.engine.wal import Lsn
from renecinfra.recovery.info import Backup, DatabaseHistory, Repository
from renecinfra.recovery.lineage import Lineage
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.records import Record, Records
from renecinfra.recovery.targets import (
    BackupTarget,
    LsnTarget,
    RecoveryTarget,
    RestorePointTarget,
    TimeTarget,
    show,
)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a platform knows at the moment of planning.

    ``timeline`` is the running or last database's; ``alive`` whether its primary takes writes;
    ``directories`` have WAL that the archive may not have, and ``place`` is where it is restored to;
    ``tables`` are a running database's tables by database and file.
    """

    timeline: int
    alive: bool
    directories: tuple[Path, ...]
    place: Path
    now: datetime
    stops: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    zone: tzinfo | None = None
    tables: Mapping[tuple[int, int], str] = field(default_factory=dict)


class Chooser:
    """Chooses for one database, in its circumstances."""

    def __init__(self, database: ProtectedDatabase, circumstances: Circumstances) -> None:
        self.database = database
        self.circumstances = circumstances

    def history(self, repository: Repository, target: RecoveryTarget) -> DatabaseHistory | None:
        """Which database of the repository the target is of: an environment that was made anew has
        several.
        """
        wanted: str | None = None
        if isinstance(target, BackupTarget):
            backup = repository.backup(target.label)
            if backup is not None:
                return next(one for one in repository.histories if one.id == backup.database_id)
        elif isinstance(target, TimeTarget):
            descent = Lineage(self.database).at(target.at)
            wanted = descent.system_id if descent is not None else None
        elif isinstance(target, RestorePointTarget):
            wanted = str(self.named(target).facts.get("system_id") or "") or None
        found = [one for one in repository.histories if one.system_id == wanted]
        return max(found, key=lambda one: one.id, default=repository.current)

    def timeline(self, target: RecoveryTarget, repository: Repository, history: DatabaseHistory) -> int:
        """The timeline that was in use at the target: a restore before this one may have left it."""
        descents = [one for one in Lineage(self.database).entries() if one.system_id == history.system_id]
        if isinstance(target, TimeTarget):
            before = [one for one in descents if one.at <= target.at]
            if before:
                return before[-1].timeline
        if isinstance(target, RestorePointTarget):
            named = self.named(target).facts.get("timeline")
            if isinstance(named, int):
                return named
        if isinstance(target, BackupTarget):
            backup = repository.backup(target.label)
            if backup is not None:
                return backup.timeline
        if history == repository.current:
            return self.circumstances.timeline
        return descents[-1].timeline if descents else 1

    def named(self, target: RestorePointTarget) -> Record:
        """The record of a restore point.

        Raises:
            RestoreError: there is none of that name.
        """
        found = [
            one for one in Records(self.database).all("restore-point") if one.facts.get("name") == target.name
        ]
        if not found:
            raise RestoreError(
                "restore-point-missing",
                f"there is no restore point {target.name!r}",
                hint=f"`renecinfra backup {self.database.environment} list` names them",
            )
        return found[-1]

    def candidates(
        self,
        repository: Repository,
        history: DatabaseHistory,
        chain: Chain,
        target: RecoveryTarget,
        *,
        point: Lsn | None,
        from_backup: str | None,
    ) -> list[Backup]:
        """Backups from which the target can be reached, the best last.

        Raises:
            RestoreError: there is none; names the earliest moment that there is one for.
        """
        good = [
            one
            for one in repository.backups
            if one.database_id == history.id and chain.includes(one.timeline, Lsn.parse(one.lsn_stop))
        ]
        before = [one for one in good if self._is_before(one, target, point)]
        if from_backup is not None or isinstance(target, BackupTarget):
            wanted = from_backup or (target.label if isinstance(target, BackupTarget) else "")
            before = [one for one in before if one.label == wanted]
            if not before:
                raise RestoreError(
                    "restore-backup-unusable",
                    f"backup {wanted} is not there, or is not before the target and on its timeline",
                    hint=f"`renecinfra backup {self.database.environment} list` shows which there are",
                )
        if not before:
            earliest = good[0].stopped if good else None
            raise RestoreError(
                "restore-before-window",
                f"{target.describe(self.circumstances.zone)} is before the first backup"
                + (f", which ended at {show(earliest)}" if earliest else " of its timeline"),
                hint=f"the window is in `renecinfra backup {self.database.environment} list`",
            )
        sound = [one for one in before if one.label not in self._damaged() and not one.damaged]
        if not sound:
            raise RestoreError(
                "restore-backup-damaged",
                f"every backup from which the target can be reached is damaged: {before[-1].label} was "
                "found so",
                hint=f"`renecinfra backup {self.database.environment} verify` says what is wrong with each",
            )
        return sound

    def _damaged(self) -> set[str]:
        """Labels that the last verification, or a restore, found damaged."""
        last = Records(self.database).last("verify")
        labels = {str(label) for label in (last.facts.get("bad_backups", ()) if last else ())}
        return labels | {str(one.facts.get("label")) for one in Records(self.database).all("backup-damaged")}

    def _is_before(self, backup: Backup, target: RecoveryTarget, point: Lsn | None) -> bool:
        if isinstance(target, TimeTarget):
            # The time has a precision of a second, within which the backup ended.
            return backup.stopped + timedelta(seconds=1) <= target.at
        if isinstance(target, LsnTarget):
            return Lsn.parse(backup.lsn_stop) <= Lsn.parse(target.lsn)
        if point is not None:
            return Lsn.parse(backup.lsn_stop) <= point
        return True
