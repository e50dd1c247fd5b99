"""Promoting a replica: what that would lose, and doing it without losing what the primary still has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from renecinfra.errors import RenecError, RestoreError
from renecinfra.recovery.driver import FailoverPlan
from renecinfra.recovery.engine.files import OwnedFiles
from renecinfra.recovery.engine.wal import Lsn
from renecinfra.recovery.plan import RestorePlan
from renecinfra.recovery.primary import PrimaryState
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.targets import LatestTarget, show

if TYPE_CHECKING:
    import psycopg

_SECONDS: Final = 5
_RECEIVE_SECONDS: Final = 30.0
_PROMOTE_SECONDS: Final = 60
_POLL: Final = 0.02


def plan(
    database: ProtectedDatabase,
    port: int,
    primary: PrimaryState | None,
    plan_restore: Callable[[LatestTarget], RestorePlan],
) -> FailoverPlan:
    """What promoting the replica on ``port`` would do.

    Raises:
        RestoreError: the replica does not answer, or is none.
    """
    received, replayed = _replica(database, port)
    if primary is not None:
        behind = max(0, Lsn.parse(primary.lsn).value - received.value)
        return FailoverPlan(database.environment, True, behind, replayed, None, None)
    try:
        last = plan_restore(LatestTarget()).expectation.last
    except RenecError:  # then the replica is all that there is
        return FailoverPlan(database.environment, False, None, replayed, None, None)
    newest = last.at if last else None
    better = None
    if newest is not None and (replayed is None or newest > replayed):
        better = (
            f"`renecinfra restore {database.environment} --latest` has everything up to {show(newest)}, "
            "from the WAL receiver, the archive or the primary's disk"
        )
    return FailoverPlan(database.environment, False, None, replayed, newest, better)


def wait_for_all(database: ProtectedDatabase, port: int, control: Mapping[str, str]) -> None:
    """Wait until the replica has replayed the last that the stopped primary wrote.

    Raises:
        RestoreError: it has not in time.
    """
    if control.get("Database cluster state") != "shut down":
        raise RestoreError(
            "failover-unclean",
            "the primary did not shut down cleanly, so that it cannot be said that the replica has all of it",
            hint="run `renecinfra failover` again: the primary is started again and streams the rest",
        )
    wanted = Lsn.parse(control["Latest checkpoint location"])
    deadline = time.monotonic() + _RECEIVE_SECONDS
    while True:
        received, _ = _replica(database, port)
        if received > wanted:
            return
        if time.monotonic() > deadline:
            raise RestoreError(
                "failover-replica-behind",
                f"the replica is at {received} and did not get to {wanted}, where the primary ended",
                hint="the primary is started again; look at the replica's log before the next try",
            )
        time.sleep(_POLL)


def reserve(files: OwnedFiles, wal: Path, timelines: Iterable[int]) -> None:
    """Have the promotion take a timeline that was never used: it takes the next one that it finds no history
    of.

    The replica asks no archive, so it does not see the timelines of restores that were undone; to archive
    WAL under their numbers would fail for ever.
    """
    for timeline in sorted(timelines):
        path = wal / f"{timeline:08X}.history"
        if timeline > 1 and not files.exists(path):
            files.write(path, "# In use by a database that was left; see the lineage file.\n")


def promote(database: ProtectedDatabase, port: int) -> None:
    """Make the replica a primary; nothing to do where it is one already.

    Raises:
        RestoreError: it does not become one.
    """
    with _connected(database, port, _PROMOTE_SECONDS + _SECONDS) as connection:
        row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
        if row == (False,):
            return
        done = connection.execute("SELECT pg_promote(true, %s)", (_PROMOTE_SECONDS,)).fetchone()
    if done != (True,):
        raise RestoreError(
            "failover-not-promoted",
            f"the replica did not become a primary within {_PROMOTE_SECONDS} s",
            hint=f"look at `renecinfra logs {database.environment} postgresql-replica`",
        )


def _replica(database: ProtectedDatabase, port: int) -> tuple[Lsn, datetime | None]:
    """How far it has replayed, after everything that it has received, and the time of the last commit in
    that.
    """
    with _connected(database, port, _SECONDS) as connection:
        row = connection.execute(
            "SELECT pg_last_wal_replay_lsn()::text, pg_last_xact_replay_timestamp()"
        ).fetchone()
    if row is None or row[0] is None:
        raise RestoreError(
            "failover-no-replica",
            "what runs in the replica's place has replayed nothing: it is no replica",
            hint=f"`renecinfra restore {database.environment} --resume` goes on with what was begun, if "
            "anything",
        )
    return Lsn.parse(row[0]), row[1]


@contextmanager
def _connected(database: ProtectedDatabase, port: int, seconds: int) -> Iterator[psycopg.Connection[Any]]:
    import psycopg

    try:
        with psycopg.connect(
            host=database.socket,
            port=port,
            dbname="postgres",
            user="postgres",
            application_name="renecinfra",
            client_encoding="utf8",
            connect_timeout=_SECONDS,
            options=f"-c statement_timeout={seconds * 1000}",
            autocommit=True,
        ) as connection:
            yield connection
    except psycopg.Error as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RestoreError(
            "failover-replica-unreachable",
            f"the replica of {database.environment} does not answer: {lines[0]}",
            hint=f"`renecinfra restore {database.environment} --latest` brings the database back without it",
        ) from None
