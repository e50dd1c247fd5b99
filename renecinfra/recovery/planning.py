"""From a recovery target to a plan: the backup, the WAL, the commit at which it ends, and what that loses.

Refuses what cannot be kept: a target outside the window or in a gap, a backup that is known to be damaged, a
disk that is too small. Changes nothing but a directory of fetched WAL, which it removes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from renecinfra.errors import RestoreError
from renecinfra.recovery.choosing import Chooser, Circumstances
from renecinfra.recovery.engine import changes
from renecinfra.recovery.engine.files import OwnedFiles
from renecinfra.recovery.engine.recipe import Recipe
from renecinfra.recovery.engine.sources import Chain, WalSources, is_of, missing
from renecinfra.recovery.engine.wal import SEGMENT_BYTES, Commit, CommitReader, Lsn, Neighbours, Segment
from renecinfra.recovery.info import DatabaseHistory
from renecinfra.recovery.plan import Durations, Expectation, Loss, RestorePlan
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.records import Records
from renecinfra.recovery.repository import Backup, PgBackRest, Repository
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
from renecinfra.recovery.window import control_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

# Until this machine has measured its own: a laptop's disk, and a replay of ordinary writes (bytes a second).
_FILES_SPEED: Final = 200e6
_REPLAY_SPEED: Final = 40e6
_CHECK_SPEED: Final = 500e6
_START_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 2.0
_XID_SEGMENTS: Final = 1024
_COUNT_SEGMENTS: Final = 64
_TABLE_SEGMENTS: Final = 8
_SPARE: Final = 256 << 20
# A target that lies ahead of this machine's clock by less is a clock's fault, by more the caller's.
_CLOCK_SECONDS: Final = 5.0


@dataclass
class _Found:
    """What the steps of planning hand on."""

    repository: Repository
    history: DatabaseHistory
    sources: WalSources
    chain: Chain
    have: set[Segment]
    archived: set[Segment]
    reader: CommitReader
    newest: int = field(default=0)


__all__ = ["Circumstances", "Planner", "measured_speeds"]


class Planner:
    """Makes plans for one database."""

    def __init__(self, database: ProtectedDatabase, circumstances: Circumstances) -> None:
        self.database = database
        self.circumstances = circumstances
        self._chooser = Chooser(database, circumstances)

    def plan(self, target: RecoveryTarget, *, from_backup: str | None = None) -> RestorePlan:
        """The plan for a target; ``from_backup`` names the backup to begin with, instead of the newest
        before it.

        Raises:
            RestoreError: the target cannot be reached without losing something on the way; says the nearest
            that
                can, where there is one.
        """
        self._refuse_future(target)
        with self._opened(target) as found:
            point = self._restore_point(target) if isinstance(target, RestorePointTarget) else None
            backups = self._chooser.candidates(
                found.repository,
                found.history,
                found.chain,
                target,
                point=point,
                from_backup=from_backup,
            )
            backup = backups[-1]
            around, settings, exact = self._aim(found, target, backup, point)
            self._refuse_gap(found, backup, around, target)
            return self._made(found, target, backup, around, settings, exact=exact)

    # --- steps

    def _refuse_future(self, target: RecoveryTarget) -> None:
        now = self.circumstances.now
        if isinstance(target, TimeTarget) and target.at > now + timedelta(seconds=_CLOCK_SECONDS):
            raise RestoreError(
                "restore-target-future",
                f"the target, {show(target.at)}, is in the future: it is {show(now.astimezone(UTC))} now",
                hint="correct the time or its zone; if this machine's clock is wrong, set it first",
            )

    @contextmanager
    def _opened(self, target: RecoveryTarget) -> Iterator[_Found]:
        database = self.database
        repository = PgBackRest(database).info()
        repository.require_readable()
        history = self._chooser.history(repository, target)
        if history is None or not repository.backups:
            raise RestoreError(
                "restore-no-backup",
                f"there is no backup of {database.environment}: {repository.message}",
                hint=f"run `renecinfra backup {database.environment} create`; until then nothing can be "
                "restored",
            )
        work = Path(database.work) / "scratch" / f"plan-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
        control = control_directory(PgBackRest(database), history.system_id)
        directories = [one for one in self.circumstances.directories if is_of(one, history.system_id)]
        sources = WalSources(
            database,
            f"{history.version}-{history.id}",
            directories,
            work,
            control=control if OwnedFiles(database.identity).exists(control) else None,
        )
        try:
            chain = self._chain(sources, self._chooser.timeline(target, repository, history), repository)
            archived = sources.archived(repository.backups[-1].repository)
            have = archived | sources.elsewhere()
            reader = CommitReader(
                database.program("pg_waldump"), lambda segment: sources.fetch(chain, segment)
            )
            newest = max((one.number for one in have if one == chain.segment(one.number)), default=0)
            yield _Found(repository, history, sources, chain, have, archived, reader, newest)
        finally:
            sources.close()

    def _chain(self, sources: WalSources, timeline: int, repository: Repository) -> Chain:
        """The timeline's history; without it, what begins on the timeline itself can still be restored."""
        try:
            return sources.history(timeline)
        except RestoreError:
            if any(backup.timeline == timeline for backup in repository.of_current()):
                return Chain(timeline)
            raise

    def _restore_point(self, target: RestorePointTarget) -> Lsn:
        return Lsn.parse(str(self._chooser.named(target).facts["lsn"]))

    def _aim(
        self, found: _Found, target: RecoveryTarget, backup: Backup, point: Lsn | None
    ) -> tuple[Neighbours, Mapping[str, str], bool]:
        """The commits on both sides of the target, PostgreSQL's settings for it, and whether they are
        exact.
        """
        first = Segment(found.chain.timeline, Segment.parse(backup.wal_first).number)
        newest = Segment(found.chain.timeline, max(found.newest, first.number))
        if isinstance(target, BackupTarget):
            return Neighbours(None, None), {"recovery_target": "immediate"}, False
        if isinstance(target, LatestTarget):
            return Neighbours(found.reader.newest(first, newest), None), {}, not self.circumstances.alive
        if isinstance(target, TimeTarget):
            around = found.reader.around(first, newest, lambda commit: commit.at > target.at)
            if around.after is None:
                raise self._after_everything(target, around.last)
            return around, {"recovery_target_time": target.at.astimezone(UTC).isoformat(" ")}, True
        if isinstance(target, XidTarget):
            return (
                self._around_xid(found, first, newest, target),
                {"recovery_target_xid": str(target.xid)},
                True,
            )
        place = (
            point if point is not None else Lsn.parse(target.lsn if isinstance(target, LsnTarget) else "0/0")
        )
        if place.value // SEGMENT_BYTES > newest.number:
            raise self._after_everything(target, found.reader.newest(first, newest))
        around = found.reader.around(first, newest, lambda commit: commit.lsn > place)
        if isinstance(target, RestorePointTarget):
            return around, {"recovery_target_name": target.name}, True
        # Everything that begins before it; a record that begins exactly there is included.
        return around, {"recovery_target_lsn": str(place)}, False

    def _after_everything(self, target: RecoveryTarget, last: Commit | None) -> RestoreError:
        newest = f"the newest commit that there is was at {show(last.at)}" if last else "there is no commit"
        return RestoreError(
            "restore-after-wal",
            f"no WAL goes past {target.describe(self.circumstances.zone)}: {newest}",
            hint="use --latest, which is everything that there is",
        )

    def _around_xid(self, found: _Found, first: Segment, newest: Segment, target: XidTarget) -> Neighbours:
        following: Commit | None = None
        for number in range(newest.number, max(first.number, newest.number - _XID_SEGMENTS) - 1, -1):
            for commit in reversed(found.reader.commits(Segment(first.timeline, number))):
                if commit.xid == target.xid:
                    return Neighbours(commit, following)
                following = commit
        raise RestoreError(
            "restore-xid-missing",
            f"transaction {target.xid} has no commit in the WAL from {first.name} to {newest.name}",
            hint="it may have been rolled back, or be older; give a time with --to",
        )

    def _refuse_gap(self, found: _Found, backup: Backup, around: Neighbours, target: RecoveryTarget) -> None:
        start = Segment.parse(backup.wal_first).number
        end = found.newest
        if isinstance(target, BackupTarget):
            end = Segment.parse(backup.wal_last).number
        elif around.after is not None:
            end = around.after.lsn.value // SEGMENT_BYTES
        gap = missing(found.chain, found.have, start, end)
        if gap is None:
            return
        last = found.reader.newest(
            Segment(found.chain.timeline, start), Segment(found.chain.timeline, gap.number - 1)
        )
        until = f"up to {show(last.at)}" if last else f"to the end of backup {backup.label} (--backup)"
        raise RestoreError(
            "restore-gap",
            f"WAL segment {gap.name} is missing, between backup {backup.label} and the target",
            hint=f"from that backup a restore can go {until}; a later backup begins after the gap",
        )

    def _made(
        self,
        found: _Found,
        target: RecoveryTarget,
        backup: Backup,
        around: Neighbours,
        settings: Mapping[str, str],
        *,
        exact: bool,
    ) -> RestorePlan:
        start = Segment.parse(backup.wal_first)
        end = found.newest if around.after is None else around.after.lsn.value // SEGMENT_BYTES
        if isinstance(target, BackupTarget):
            end = Segment.parse(backup.wal_last).number
        archived = [
            n for n in range(start.number, found.newest + 1) if found.chain.segment(n) in found.archived
        ]
        wal = (end - start.number + 1) * SEGMENT_BYTES
        place = self.circumstances.place
        needed = backup.size + _SPARE + min(wal, 4 << 30)
        free = OwnedFiles(self.database.identity).free(place)
        if needed > free:
            raise RestoreError(
                "restore-no-space",
                f"the restore needs {_mib(needed)} MiB beside the running database, and {_mib(free)} "
                "MiB are free",
                hint=f"make room where {place} is; nothing has been changed",
            )
        newest_archived = found.chain.segment(archived[-1]) if archived else None
        return RestorePlan(
            environment=self.database.environment,
            target=target.describe(self.circumstances.zone),
            backup=backup,
            recipe=Recipe(
                label=backup.label,
                repository=backup.repository,
                timeline=found.chain.timeline,
                target=dict(settings),
                archived=newest_archived.name if newest_archived else None,
                sources=tuple(str(path) for path in found.sources.directories),
                begins=backup.timeline,
            ),
            expectation=Expectation(around.last, around.after, exact, backup.lsn_stop),
            loss=self._loss(found, start, around, target),
            wal=wal,
            wal_first=found.chain.segment(start.number).name,
            wal_last=found.chain.segment(end).name,
            durations=self._durations(backup.size, wal),
            needed=needed,
            free=free,
            stops=self.circumstances.stops,
            alternatives=self.circumstances.alternatives,
            warnings=self.circumstances.warnings,
        )

    def _loss(self, found: _Found, start: Segment, around: Neighbours, target: RecoveryTarget) -> Loss:
        first = Segment(found.chain.timeline, start.number)
        newest = Segment(found.chain.timeline, max(found.newest, start.number))
        last = found.reader.newest(first, newest)
        if isinstance(target, BackupTarget):
            return Loss(None, last.at if last else None, None, {})
        if isinstance(target, LatestTarget) or last is None:
            return Loss(last.at if last else None, last.at if last else None, 0, {})
        count = found.reader.count(first, newest, around.last, _COUNT_SEGMENTS)
        since = target.at if isinstance(target, TimeTarget) else (around.last.at if around.last else None)
        return Loss(since, last.at, count, self._tables(found, around, newest))

    def _tables(self, found: _Found, around: Neighbours, newest: Segment) -> dict[str, int]:
        """Changed rows by table after the target, where a running database can say which those are."""
        if around.after is None or not self.circumstances.tables:
            return {}
        first = around.after.lsn.value // SEGMENT_BYTES
        if newest.number - first >= _TABLE_SEGMENTS:
            return {}
        numbers = range(first, newest.number + 1)
        fetched = [found.sources.fetch(found.chain, Segment(newest.timeline, number)) for number in numbers]
        after = around.last.lsn if around.last is not None else Segment(newest.timeline, first).start
        return changes.by_table(
            self.database.program("pg_waldump"),
            [path for path in fetched if path is not None],
            after,
            self.circumstances.tables,
        )

    def _durations(self, size: int, wal: int) -> Durations:
        speeds = measured_speeds(Records(self.database))
        files, replay = speeds.get("files", _FILES_SPEED), speeds.get("replay", _REPLAY_SPEED)
        return Durations(
            files=round(_START_SECONDS + size / files, 1),
            replay=round(_START_SECONDS + wal / replay, 1),
            checks=round(_START_SECONDS + size / _CHECK_SPEED, 1),
            stop=_STOP_SECONDS,
            measured=bool(speeds),
        )


def measured_speeds(records: Records) -> dict[str, float]:
    """Bytes a second of ``files`` and of ``replay`` in the newest drill or restore that went well."""
    done: Sequence[Mapping[str, object]] = [one.facts for one in records.all("drill", "restore") if one.ok]
    found: dict[str, float] = {}
    for facts in done:
        for name in ("files", "replay"):
            speed = facts.get(f"{name}_bytes_per_second")
            if isinstance(speed, int | float) and speed > 0:
                found[name] = float(speed)
    return found


def _mib(size: int) -> int:
    return size >> 20
