"""Taking backups and proving them: what the command line and the service both do, with a record of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from renecinfra.errors import RenecError, RestoreError
from renecinfra.recovery import broker
from renecinfra.recovery.primary import PrimaryState
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.records import Records
from renecinfra.recovery.repository import Backup, BackupType, PgBackRest, Repository
from renecinfra.recovery.verification import Finding, Verified, verify

_BACKUP_SECONDS: Final = 24 * 3600.0
_TURN_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that was taken: one for each repository, the seconds that all of it took, the broker's
    copy."""

    backups: tuple[Backup, ...]
    seconds: float
    broker: str | None = None


def ensure_stanza(tool: PgBackRest, system_id: str) -> Repository:
    """Have every repository ready for the database with this system identifier; what is in them.

    A repository of an earlier database of the environment keeps its backups, and takes the new one's beside
    them.

    Raises:
        RenecError: a repository cannot be reached, read or written.
    """
    repository = tool.info()
    numbers = {place.number for place in tool.database.repositories}
    ready = {
        history.repository
        for history in repository.histories
        if history.system_id == system_id and history.id == _newest(repository, history.repository)
    }
    if numbers <= ready:
        return repository
    known = {history.repository for history in repository.histories}
    if numbers - known:
        tool.create_stanza()
    if known - ready:
        tool.upgrade_stanza()
    return tool.info()


def _newest(repository: Repository, number: int) -> int:
    return max(one.id for one in repository.histories if one.repository == number)


def take_backup(
    tool: PgBackRest,
    kind: BackupType,
    *,
    reason: str,
    repositories: tuple[int, ...] | None = None,
    on_line: Callable[[str], None] | None = None,
    on_wait: Callable[[], None] | None = None,
) -> Taken:
    """Take a backup into each repository; remembers how it went, and the speed.

    Args:
        on_wait: told once when another backup is under way, which is then waited for, up to an hour; without
            it, that is refused.

    Raises:
        RestoreError: it failed, or the database has damaged pages (the backup is there all the same).
        RenecError: pgBackRest cannot be run.
    """
    database = tool.database
    records = Records(database)
    numbers = repositories or tuple(place.number for place in database.repositories)
    started = time.monotonic()
    taken: list[Backup] = []
    for number in numbers:
        begun = time.monotonic()
        try:
            take = partial(
                tool.backup,
                kind,
                repository=number,
                annotations={"reason": reason},
                timeout=_BACKUP_SECONDS,
                on_line=on_line,
            )
            _in_turn(take, on_wait)
        except RenecError as error:
            if error.id != "backup-running":  # that is no failure: it was not its turn
                records.append(
                    "backup", ok=False, type=kind, repository=number, reason=reason, error=error.id
                )
            raise
        backup = tool.info().of_current(number)[-1]
        taken.append(backup)
        records.append(
            "backup",
            ok=not backup.damaged,
            type=backup.type,
            repository=number,
            label=backup.label,
            reason=reason,
            seconds=round(time.monotonic() - begun, 3),
            bytes=backup.delta,
            stored=backup.stored_delta,
        )
    copied = copy_broker(tool)
    _refuse_damage(tool, taken)
    return Taken(tuple(taken), time.monotonic() - started, copied)


def _in_turn(take: Callable[[], object], on_wait: Callable[[], None] | None) -> None:
    """pgBackRest makes one backup of a database at a time, and refuses a second one at once."""
    deadline, told = time.monotonic() + _TURN_SECONDS, False
    while True:
        try:
            take()
            return
        except RestoreError as error:
            # A lock file that cannot even be opened has the same exit code, and no end.
            held = error.id == "backup-running" and "Permission denied" not in error.message
            if not held or on_wait is None or time.monotonic() > deadline:
                raise
        if not told:
            on_wait()
            told = True
        time.sleep(1)


def copy_broker(tool: PgBackRest) -> str | None:
    """Copy the broker's file beside the backups, and expire old copies; the copy's name, if there is a
    broker.

    Raises:
        RenecError: it cannot be copied.
    """
    records = Records(tool.database)
    started = time.monotonic()
    try:
        name = broker.copy(tool)
        if name is not None:
            broker.expire(tool, datetime.now(UTC))
    except RenecError as error:
        records.append("broker", ok=False, error=error.id)
        raise
    if name is not None:
        records.append("broker", name=name, seconds=round(time.monotonic() - started, 3))
    return name


def _refuse_damage(tool: PgBackRest, taken: list[Backup]) -> None:
    """A backup of damaged pages looks like any other to pgBackRest, which exits 0."""
    damaged = [backup for backup in taken if backup.damaged]
    if not damaged:
        return
    environment = tool.database.environment
    raise RestoreError(
        "database-pages-damaged",
        f"the database has damaged pages: backup {damaged[0].label} copied them as they are",
        hint=f"restore to before the damage: `renecinfra backup {environment} list` shows older backups; "
        "keep them from expiring until then",
        details=tool.damaged_files(damaged[0]),
    )


def verify_and_record(tool: PgBackRest, state: PrimaryState | None, *, level: int = 1) -> Verified:
    """Verify and remember what was found.

    Raises:
        RestoreError: ``backup-verify-failed``, naming what is wrong.
        RenecError: pgBackRest cannot be run.
    """
    database = tool.database
    verified = verify(tool, policy=database.policy, state=state, level=level)
    wrong = [finding for finding in verified.findings if not finding.ok]
    Records(database).append(
        "verify",
        ok=verified.ok,
        level=level,
        seconds=round(verified.seconds, 2),
        backups=list(verified.good_backups),
        bad_backups=list(verified.bad_backups),
        wrong=[f"{finding.name}: {finding.detail}" for finding in wrong],
    )
    if wrong:
        raise VerifyError(database, verified)
    return verified


class VerifyError(RestoreError):
    """A verification found something; ``verified`` has all of it."""

    def __init__(self, database: ProtectedDatabase, verified: Verified) -> None:
        wrong = [finding for finding in verified.findings if not finding.ok]
        super().__init__(
            "backup-verify-failed",
            f"{wrong[0].name}: {wrong[0].detail}",
            hint=f"`renecinfra backup {database.environment} list` shows which are whole; take another with "
            f"`renecinfra backup {database.environment} create --type full` before you remove anything",
            details=tuple(f"{finding.name}: {finding.detail}" for finding in wrong[1:]),
        )
        self.verified = verified


def drill(database: ProtectedDatabase, note: Callable[[str], None] = lambda _text: None) -> list[Finding]:
    """Rehearse a restore; what was found in the restored database, as findings of level 2.

    Raises:
        RestoreError: it is not right, or promises were not kept; see ``recovery.drill``.
    """
    from renecinfra.recovery import drill as drills

    done = drills.run(database, note=note)
    return [Finding(one.name, 2, one.ok, one.detail, (done.backup,)) for one in done.findings]
