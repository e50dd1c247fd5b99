"""How recovery stands at one moment: backups, archive, window, what a disaster would cost now. One value.

The service makes one each few seconds and keeps it as a file, so that ``status`` and alerts cost nothing;
``backup list`` makes its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from renecinfra.errors import RenecError
from renecinfra.recovery.archive import Archive, scan
from renecinfra.recovery.engine.wal import Lsn, Segment
from renecinfra.recovery.planning import measured_speeds
from renecinfra.recovery.primary import PrimaryState, read_state
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.records import Record, Records
from renecinfra.recovery.repository import PgBackRest, Repository
from renecinfra.recovery.verification import Finding, look
from renecinfra.recovery.window import ArchivedCommits, Window, window

# Bytes a second until a drill has measured this machine's: see recovery.planning.
_FILES_SPEED: Final = 200e6
_REPLAY_SPEED: Final = 40e6
_FIXED_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen. ``problems`` says what could not be asked; parts that depend on it are empty then.

    ``free`` is the room in bytes where each directory repository is; ``rpo_archive`` the seconds of commits
    that losing all but the repositories would cost now, ``rpo`` the same with what the WAL receiver has;
    ``rto`` the estimated seconds of a restore to the present.
    """

    environment: str
    at: datetime
    primary: PrimaryState | None
    repository: Repository | None
    window: Window | None
    findings: tuple[Finding, ...]
    free: Mapping[int, int]
    wal_since_backup: int | None
    rpo_archive: float | None
    rpo: float | None
    rto: float | None
    problems: tuple[str, ...] = ()
    verified: Record | None = None
    drill: Record | None = None
    good_drill: Record | None = None
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """Whether everything could be asked, and is as it should be now."""
        return not self.problems and all(finding.ok for finding in self.findings)

    @property
    def last_backup(self) -> Any:
        """The newest backup of the database that runs; None without any."""
        backups = self.repository.of_current() if self.repository is not None else ()
        return backups[-1] if backups else None

    def document(self) -> dict[str, Any]:
        """For the file, and for machines; documented in docs/reference/json.md."""
        last, primary = self.last_backup, self.primary
        return {
            "environment": self.environment,
            "at": self.at.isoformat(),
            "last_backup": None
            if last is None
            else {"label": last.label, "type": last.type, "at": last.stopped.isoformat(), "size": last.size},
            "last_archived": None
            if primary is None or primary.archived_at is None
            else {"segment": primary.archived, "at": primary.archived_at.isoformat()},
            "waiting_segments": None if primary is None else primary.ready,
            "receiver_lag_bytes": None if primary is None else primary.receiver_lag,
            "replica_lag_bytes": None if primary is None else primary.replica_lag,
            "rpo_seconds": _rounded(self.rpo),
            "rpo_archive_seconds": _rounded(self.rpo_archive),
            "rto_seconds": _rounded(self.rto),
            "window": None if self.window is None else self.window.document(),
            "findings": [finding.document() for finding in self.findings],
            "free_bytes": {str(number): size for number, size in self.free.items()},
            "verified": _record(self.verified),
            "drill": _record(self.drill),
            "problems": list(self.problems),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _record(record: Record | None) -> dict[str, Any] | None:
    return None if record is None else {"at": record.at.isoformat(), "ok": record.ok, **record.facts}


class Observer:
    """Makes observations, keeping what it read of segments between them."""

    def __init__(self, database: ProtectedDatabase) -> None:
        self._database = database
        self._tool = PgBackRest(database)
        self._records = Records(database)
        self._ends: dict[Segment, datetime | None] = {}

    def observe(self) -> Observation:
        """Look at everything; what does not answer becomes a problem, never an exception."""
        problems: list[str] = []
        primary = _asked(problems, lambda: read_state(self._database))
        repository = _asked(problems, self._tool.info)
        archives: dict[int, Archive] = {}
        for one in repository.current_archives() if repository is not None else ():
            archive = _asked(problems, lambda one=one: scan(self._tool, one.repository, one.id))
            if archive is not None:
                archives[one.repository] = archive
        made = self._window(repository, archives, primary)
        findings: tuple[Finding, ...] = ()
        backups = repository.of_current() if repository is not None else ()
        if primary is not None and repository is not None:
            findings = tuple(look(self._database.policy, primary, archives, backups))
        now = datetime.now(UTC)
        wal = _wal_since(primary, backups)
        archive_rpo = _archive_rpo(made, now)
        received = primary.receiver_seconds if primary is not None else None
        verify, drill = self._records.last("verify"), self._records.last("drill")
        return Observation(
            environment=self._database.environment,
            at=now,
            primary=primary,
            repository=repository,
            window=made,
            findings=findings,
            free=_free(self._database),
            wal_since_backup=wal,
            rpo_archive=archive_rpo,
            rpo=archive_rpo if received is None else received,
            rto=_estimate(self._records, primary.size if primary else None, wal),
            problems=tuple(problems),
            verified=verify,
            drill=drill,
            good_drill=self._records.last("drill", ok=True),
        )

    def _window(
        self, repository: Repository | None, archives: Mapping[int, Archive], primary: PrimaryState | None
    ) -> Window | None:
        current = repository.current if repository is not None else None
        if repository is None or current is None or not archives:
            return None
        if primary is not None:
            timeline = primary.timeline
        else:
            timeline = max(t for archive in archives.values() for t in archive.timelines)
        with ArchivedCommits(self._tool, archives, current.system_id) as commits:

            def end(segment: Segment) -> datetime | None:
                if segment not in self._ends:
                    found = commits.time(segment)
                    if found is None:
                        return None
                    self._ends[segment] = found
                return self._ends[segment]

            return window(repository.of_current(), archives, timeline, end)


def _archive_rpo(made: Window | None, now: datetime) -> float | None:
    """Seconds from the newest archived commit; None where that is not known."""
    return None if made is None or made.end is None else max(0.0, (now - made.end).total_seconds())


def _asked(problems: list[str], question: Any) -> Any:
    try:
        return question()
    except RenecError as error:
        problems.append(error.message)
        return None


def _wal_since(primary: PrimaryState | None, backups: Any) -> int | None:
    """Bytes of WAL since the newest backup began to be complete."""
    if primary is None or not backups:
        return None
    newest = backups[-1]
    if not newest.lsn_stop:
        return None
    return max(0, Lsn.parse(primary.lsn).value - Lsn.parse(newest.lsn_stop).value)


def _estimate(records: Records, size: int | None, wal: int | None) -> float | None:
    if size is None or wal is None:
        return None
    speeds = measured_speeds(records)
    files, replay = speeds.get("files", _FILES_SPEED), speeds.get("replay", _REPLAY_SPEED)
    return _FIXED_SECONDS + size / files + wal / replay


def _free(database: ProtectedDatabase) -> dict[int, int]:
    found = {}
    for place in database.repositories:
        if place.kind == "posix" and Path(place.location).is_dir():
            found[place.number] = shutil.disk_usage(place.location).free
    return found
