"""A drill: the newest backup restored to a scratch place and replayed to a random moment, checked, timed,
recorded.

It uses the archive alone, as a disaster that takes the machine would leave it, and ends with a record that is
signed with a key of the environment: whoever has not the key cannot make or change one unseen.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from renecinfra.errors import RenecError, RestoreError
from renecinfra.recovery.engine import checking
from renecinfra.recovery.engine.beside import Beside
from renecinfra.recovery.engine.checking import Finding, TableContent
from renecinfra.recovery.engine.files import OwnedFiles
from renecinfra.recovery.engine.recipe import End, Replayed
from renecinfra.recovery.lineage import Lineage
from renecinfra.recovery.plan import RestorePlan
from renecinfra.recovery.planning import Circumstances, Planner
from renecinfra.recovery.primary import read_state
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.records import Record, Records
from renecinfra.recovery.targets import LatestTarget, TimeTarget

_KEY: Final = "drill.key"
_SIGNATURE: Final = "signature"
_FILES_MEASURED: Final = 256 << 20
_WAL_MEASURED: Final = 128 << 20


@dataclass(frozen=True, slots=True)
class Drill:
    """How a drill went, in seconds: ``rto`` to the checked database, ``rpo`` the commits that the archive
    lacked.
    """

    target: datetime | None
    backup: str
    rto: float
    rpo: float | None
    seconds: Mapping[str, float]
    bytes: int
    wal: int
    findings: tuple[Finding, ...]
    tables: tuple[TableContent, ...]

    def facts(self) -> dict[str, Any]:
        """For the record and for machines."""
        found: dict[str, Any] = {
            "target": self.target.isoformat() if self.target else None,
            "backup": self.backup,
            "rto_seconds": round(self.rto, 2),
            "rpo_seconds": None if self.rpo is None else round(self.rpo, 2),
            "steps": {name: round(value, 2) for name, value in self.seconds.items()},
            "bytes": self.bytes,
            "wal": self.wal,
            "findings": [one.document() for one in self.findings],
            "rows": sum(one.rows for one in self.tables),
        }
        if self.bytes >= _FILES_MEASURED:
            found["files_bytes_per_second"] = round(self.bytes / max(self.seconds["files"], 0.1))
        if self.wal >= _WAL_MEASURED:
            found["replay_bytes_per_second"] = round(self.wal / max(self.seconds["replay"], 0.1))
        return found


def run(
    database: ProtectedDatabase,
    *,
    chance: random.Random | None = None,
    note: Callable[[str], None] = lambda _text: None,
) -> Drill:
    """Rehearse a restore; it is recorded, however it goes, and nothing of it is left.

    Args:
        database: what is protected.
        chance: chooses the moment.
        note: told what is being done.

    Raises:
        RestoreError: ``drill-failed`` where the restored database is not right or promises were not kept.
        RenecError: a step could not be done.
    """
    with _alone(database):
        return _run(database, chance or random.SystemRandom(), note)


def _run(database: ProtectedDatabase, chance: random.Random, note: Callable[[str], None]) -> Drill:
    name = f"drill-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    marker = f"{Path(database.work).parent.parent}/drill"
    for left in database.scratch.glob("drill-*"):  # of a drill that was killed
        Beside(database, left, purpose="drill", marker=marker).remove()
    beside = Beside(database, database.scratch / name, purpose="drill", marker=marker)
    try:
        drill = _rehearse(database, beside, chance, note)
        checking.require(list(drill.findings), database.environment)
        _refuse_broken_promises(database, drill)
    except RenecError as error:
        _record(database, ok=False, facts={"error": error.id, "message": error.message})
        raise
    finally:
        note("cleaning up")
        beside.remove()
    _record(database, ok=True, facts=drill.facts())
    return drill


@contextmanager
def _alone(database: ProtectedDatabase) -> Iterator[None]:
    """One drill at a time, the command line's or the schedule's; the kernel ends the lock with its holder."""
    files = OwnedFiles(database.identity)
    files.make_directory(database.scratch)
    path = database.scratch / "lock"
    if not files.exists(path):
        files.write(path, "")
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RestoreError(
            "drill-running",
            f"a drill of {database.environment} is under way",
            hint=f"wait for it; `renecinfra status {database.environment}` shows how it went",
        ) from None
    finally:
        os.close(descriptor)


def _rehearse(
    database: ProtectedDatabase, beside: Beside, chance: random.Random, note: Callable[[str], None]
) -> Drill:
    note("planning")
    plan, rpo = _plan(database, chance)
    seconds: dict[str, float] = {}
    began = time.monotonic()
    with _timed(seconds, "files"):
        note(f"bringing the files of backup {plan.backup.label}")
        beside.fetch(plan.recipe, note)
    with _timed(seconds, "replay"):
        beside.start(plan.recipe)

        def tell(seen: Replayed) -> None:
            note(f"replaying WAL, at {seen.lsn}")

        end = beside.watch(tell)
    _refuse_shortfall(plan, end)
    with _timed(seconds, "checks"):
        findings, tables = checking.inspect(beside, dict(database.assertions), note)
        beside.stop()
        findings.append(checking.checksums(beside))
    last = plan.expectation.last
    return Drill(
        target=last.at if last else None,
        backup=plan.backup.label,
        rto=time.monotonic() - began,
        rpo=rpo,
        seconds=seconds,
        bytes=plan.backup.size,
        wal=plan.wal,
        findings=tuple(findings),
        tables=tuple(tables),
    )


def _plan(database: ProtectedDatabase, chance: random.Random) -> tuple[RestorePlan, float | None]:
    """A plan to a random moment since the newest backup, and what losing all but the archive would cost
    now.
    """
    planner = Planner(database, _circumstances(database))
    everything = planner.plan(LatestTarget())
    newest = everything.expectation.last
    rpo = _lag(database, newest.at if newest else None)
    first = everything.backup.stopped + timedelta(seconds=1)
    if newest is None or newest.at <= first:
        return everything, rpo
    moment = first + (newest.at - first) * chance.random()
    try:
        return planner.plan(TimeTarget(moment, "at random")), rpo
    except RestoreError as error:
        if error.id == "restore-after-wal":  # no commit between it and the end: the end is the same state
            return everything, rpo
        raise


def _circumstances(database: ProtectedDatabase) -> Circumstances:
    current = Lineage(database).current()
    if current is None:
        raise RestoreError(
            "drill-nothing",
            f"{database.environment} has no backup that could be rehearsed with yet",
            hint=f"`renecinfra status {database.environment}` says when there is one",
        )
    return Circumstances(
        timeline=current.timeline,
        # More may come into the archive between the plan and the replay.
        alive=True,
        directories=(),
        place=database.scratch,
        now=datetime.now(UTC),
    )


def _lag(database: ProtectedDatabase, archived: datetime | None) -> float | None:
    """Seconds from the newest commit in the archive to now; 0 where everything that is written is
    archived.
    """
    try:
        state = read_state(database)
    except RenecError:
        return None
    if archived is None:
        return None
    return max(0.0, (state.now - archived).total_seconds())


def _refuse_shortfall(plan: RestorePlan, end: End) -> None:
    wrong = plan.expectation.shortfall(end.fork, end.last_commit)
    if wrong:
        raise RestoreError(
            "restore-short",
            f"the replay did not end where it had to: {wrong}",
            hint=f"run `renecinfra backup {plan.environment} verify`, which looks for what is wrong",
        )


def _refuse_broken_promises(database: ProtectedDatabase, drill: Drill) -> None:
    policy = database.policy
    if drill.rto > policy.rto:
        raise RestoreError(
            "drill-slow",
            f"the restore took {drill.rto:.0f} s, and the profile promises {policy.rto:.0f} s (backups.rto)",
            hint="take incremental backups more often (backups.incremental_wal), or promise less",
        )
    # A heartbeat comes once a minute, and a segment is archived after archive_timeout at the latest.
    if drill.rpo is not None and drill.rpo > max(policy.rpo, policy.archive_timeout + 120):
        raise RestoreError(
            "drill-behind",
            f"the archive is {drill.rpo:.0f} s behind, and the profile promises {policy.rpo:.0f} s "
            "(backups.rpo)",
            hint=f"look at `renecinfra status {database.environment}` for why WAL is not archived",
        )


# --- records


def _record(database: ProtectedDatabase, *, ok: bool, facts: Mapping[str, Any]) -> None:
    at = datetime.now(UTC)
    signed = {**facts, _SIGNATURE: _sign(_key(database), at, ok, facts)}
    Records(database).append("drill", ok=ok, at=at, **signed)


def is_authentic(database: ProtectedDatabase, record: Record) -> bool:
    """Whether a drill's record is as it was written."""
    facts = {name: value for name, value in record.facts.items() if name != _SIGNATURE}
    wanted = _sign(_key(database), record.at, record.ok, facts)
    return hmac.compare_digest(wanted, str(record.facts.get(_SIGNATURE, "")))


def _sign(key: bytes, at: datetime, ok: bool, facts: Mapping[str, Any]) -> str:
    text = json.dumps([at.isoformat(), ok, facts], sort_keys=True, ensure_ascii=False)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _key(database: ProtectedDatabase) -> bytes:
    """The environment's key for drills; made at the first one."""
    files = OwnedFiles(database.identity)
    path = Path(database.state) / _KEY
    text = files.read(path)
    if text is None:
        text = secrets.token_hex(32)
        files.write(path, text)
    return bytes.fromhex(text.strip())


@contextmanager
def _timed(into: dict[str, float], name: str) -> Iterator[None]:
    """Note how long a block took."""
    began = time.monotonic()
    yield
    into[name] = time.monotonic() - began
