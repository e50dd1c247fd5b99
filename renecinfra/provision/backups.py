"""What `backup` does: take, list, verify and expire backups, under the environment's lock and in its
journal."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Final

from renecinfra.errors import RestoreError, ToolError, UsageError
from renecinfra.journal import Run
from renecinfra.platforms.local import backups
from renecinfra.provision.session import Session
from renecinfra.recovery import jobs, restore_points
from renecinfra.recovery.keeper import make_directories
from renecinfra.recovery.primary import PrimaryState, read_state
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.records import Records
from renecinfra.recovery.repository import Backup, BackupType, PgBackRest
from renecinfra.recovery.restore_points import RestorePoint
from renecinfra.recovery.verification import Verified

TYPES: Final[Mapping[str, BackupType]] = {"full": "full", "diff": "diff", "incr": "incr"}
_PERCENT: Final = re.compile(r"\((?:[^,()]+, )*(\d+(?:\.\d+)?)%\)")


class BackupWork:
    """The backups of one environment in one command."""

    def __init__(self, session: Session) -> None:
        self.session = session
        if not session.profile.backups.enabled:
            raise UsageError(
                "backups-disabled",
                f"{session.name} has no backups: backups.enabled is false in its profile",
                hint=f"enable them, then run `renecinfra up {session.name}`",
            )

    @cached_property
    def database(self) -> ProtectedDatabase:
        """What recovery is told of the environment.

        Raises:
            ToolError: it was never brought up, so that nothing is configured.
        """
        database = backups.protected(self.session.profile, self.session.environment.host)
        if not (self.session.paths.etc / backups.NAME / "pgbackrest.conf").exists():
            raise ToolError(
                "backups-not-configured",
                f"{self.session.name} is not installed on this machine, so nothing can be asked for backups",
                hint=f"run `renecinfra up {self.session.name}`; earlier backups are still there then",
            )
        return database

    @cached_property
    def tool(self) -> PgBackRest:
        """pgBackRest for the environment."""
        return PgBackRest(self.database)

    @contextmanager
    def _run(self, command: str, argv: Sequence[str]) -> Iterator[Run]:
        database = self.database
        with self.session.locked(f"backup {command}", argv) as run:
            del database
            yield run

    def create(self, kind: str, reason: str, argv: Sequence[str]) -> jobs.Taken:
        """Take a backup into each repository, after one that is under way.

        Raises:
            UsageError: there is no such type.
            RenecError: it failed; what was copied of it is gone on from at the next one.
        """
        if kind not in TYPES:
            raise UsageError(
                "backup-type-unknown", f"there is no type {kind}", hint=f"types: {', '.join(TYPES)}"
            )
        with self._run("create", argv) as run, run.step(f"{kind} backup"):
            read_state(self.database)
            with self.session.reporter.progress("Backing up", 100) as progress:
                tell = _Percent(partial(progress.advance))
                return jobs.take_backup(
                    self.tool,
                    TYPES[kind],
                    reason=reason,
                    on_line=tell,
                    on_wait=lambda: progress.advance(0, "another backup runs: this one is next"),
                )

    def verify(self, level: int, argv: Sequence[str]) -> Verified:
        """Verify up to a level, and remember the result.

        Raises:
            RestoreError: something is not whole; the error is a ``VerifyError`` with all findings.
        """
        with self._run("verify", argv) as run, run.step(f"verify level {level}"):
            with self.session.reporter.step("Reading the repositories"):
                verified = jobs.verify_and_record(self.tool, self._primary(), level=min(level, 1))
            if level >= 2:
                with self.session.reporter.progress("Restoring to a scratch place") as progress:
                    found = jobs.drill(self.database, lambda text: progress.advance(0, text))
                verified = replace(verified, findings=(*verified.findings, *found))
            return verified

    def _primary(self) -> PrimaryState | None:
        """The primary's state; None where it does not run, which is no reason not to read backups."""
        try:
            return read_state(self.database)
        except ToolError as error:
            self.session.reporter.warn(f"{error.message}: only the repositories are looked at")
            return None

    def expire(
        self,
        label: str | None,
        confirm: Callable[[tuple[Backup, ...]], None],
        argv: Sequence[str],
        *,
        dry_run: bool,
    ) -> tuple[Backup, ...]:
        """Expire what retention does not hold, or one backup with those that depend on it; what went.

        Raises:
            UsageError: there is no such backup.
            RestoreError: the newest backup would go that can be relied on.
            DeclinedError: the confirmation was refused; nothing has changed.
        """
        with self._run("expire", argv) as run:
            before = self.tool.info()
            if label is not None:
                going = _with_dependants(before.backups, label)
                self._refuse_last(before.of_current(), going)
            else:
                going = self._by_retention()
            if dry_run or not going:
                return going
            confirm(going)
            with run.step("expire"), self.session.reporter.step("Expiring"):
                for place in self.database.repositories:
                    if label is None or any(one.repository == place.number for one in going):
                        self.tool.expire(place.number, label=label)
            left = {(one.label, one.repository) for one in self.tool.info().backups}
            gone = tuple(one for one in before.backups if (one.label, one.repository) not in left)
            Records(self.database).append("expire", backups=[one.label for one in gone])
            return gone

    def _by_retention(self) -> tuple[Backup, ...]:
        """What pgBackRest would expire by itself now."""
        found: list[Backup] = []
        everything = self.tool.info().backups
        for place in self.database.repositories:
            said = self.tool.expire(place.number, dry_run=True).stdout
            labels = set(re.findall(r"\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?", _expired(said)))
            found += [one for one in everything if one.repository == place.number and one.label in labels]
        return tuple(found)

    def _refuse_last(self, current: Sequence[Backup], going: Sequence[Backup]) -> None:
        left = [one for one in current if one not in going and not one.damaged]
        if current and not left:
            raise RestoreError(
                "backup-last",
                f"{going[0].label} is what the running database would be restored from: nothing else is left",
                hint=f"take another first: `renecinfra backup {self.session.name} create --type full`",
            )

    def restore_point(self, name: str, argv: Sequence[str]) -> RestorePoint:
        """Make a named restore point.

        Raises:
            UsageError: the name is none, or was used.
            ToolError: the primary does not answer.
        """
        with self._run("point", argv) as run, run.step(f"restore point {name}"):
            make_directories_if_absent(self.database)
            return restore_points.create(self.database, name, "by hand")


def make_directories_if_absent(database: ProtectedDatabase) -> None:
    """What the service makes at its start, unless root would make it for another user."""
    import os

    if os.geteuid() != 0:
        make_directories(database)


def _expired(said: str) -> str:
    return "\n".join(line for line in said.splitlines() if "expire" in line and "backup" in line)


def _with_dependants(backups_: Sequence[Backup], label: str) -> tuple[Backup, ...]:
    going = [one for one in backups_ if one.label == label]
    if not going:
        raise UsageError(
            "backup-unknown",
            f"there is no backup {label}",
            hint="`renecinfra backup ENV list` shows which there are",
        )
    return (*going, *(one for one in backups_ if label in one.references))


class _Percent:
    """Turns pgBackRest's lines into progress."""

    def __init__(self, advance: Callable[..., None]) -> None:
        self._advance = advance
        self._done = 0
        self._told = 0.0

    def __call__(self, line: str) -> None:
        match = _PERCENT.search(line)
        if match is None:
            return
        now, percent = time.monotonic(), int(float(match[1]))
        if percent > self._done and now - self._told > 0.1:
            self._advance(
                percent - self._done, line.partition("backup file ")[2].split(" ")[0].rpartition("/")[2]
            )
            self._done, self._told = percent, now


def open_backups(session: Session) -> BackupWork:
    """The backups of a session's environment.

    Raises:
        UsageError: it has none.
    """
    return BackupWork(session)
