"""Asking the running primary, as its superuser over the unix socket. Statements only; nothing is kept
open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from renecinfra.errors import ToolError
from renecinfra.recovery.protected import ProtectedDatabase

if TYPE_CHECKING:
    import psycopg

_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class PrimaryState:
    """The primary's WAL as it is now. ``ready`` are segments that wait for the archive.

    ``receiver_lag`` is in bytes and ``receiver_seconds`` in seconds, None where no receiver streams;
    ``replica_lag`` is in bytes.
    """

    system_id: str
    timeline: int
    lsn: str
    in_recovery: bool
    archived: str | None
    archived_at: datetime | None
    failed: int
    ready: int
    size: int
    receiver_lag: int | None
    receiver_seconds: float | None
    replica_lag: int | None
    started: datetime
    now: datetime


_STATE: Final = """
SELECT (SELECT system_identifier::text FROM pg_control_system()),
       ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int,
       pg_current_wal_lsn()::text, pg_is_in_recovery(), a.last_archived_wal, a.last_archived_time,
       a.failed_count::bigint,
       (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'),
       (SELECT sum(pg_database_size(oid))::bigint FROM pg_database),
       (SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), write_lsn)::bigint FROM pg_stat_replication
        WHERE application_name = 'wal_receiver' AND state = 'streaming' LIMIT 1),
       (SELECT coalesce(extract(epoch FROM write_lag), 0)::float8 FROM pg_stat_replication
        WHERE application_name = 'wal_receiver' AND state = 'streaming' LIMIT 1),
       (SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))::bigint FROM pg_stat_replication
        WHERE application_name <> 'wal_receiver' AND state = 'streaming'),
       pg_postmaster_start_time(), clock_timestamp()
FROM pg_stat_archiver AS a
"""


_FILES: Final = """
SELECT d.oid::bigint, pg_relation_filenode(c.oid)::bigint,
       CASE WHEN n.nspname ~ '^pg_' OR n.nspname = 'information_schema' OR c.relkind = 't' THEN ''
            WHEN n.nspname = 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
     CROSS JOIN (SELECT oid FROM pg_database WHERE datname = current_database()) AS d
WHERE c.relkind IN ('r', 'm', 't') AND pg_relation_filenode(c.oid) IS NOT NULL
"""


@contextmanager
def connect(
    database: ProtectedDatabase, *, name: str = "postgres", seconds: int = _SECONDS
) -> Iterator[psycopg.Connection]:
    """A connection in autocommit mode; ``seconds`` bounds connecting and each statement.

    Raises:
        ToolError: the primary does not answer, or refuses.
    """
    import psycopg

    try:
        connection = psycopg.connect(
            host=database.socket,
            port=database.port,
            dbname=name,
            user="postgres",
            application_name="renecinfra",
            connect_timeout=seconds,
            options=f"-c statement_timeout={seconds * 1000}",
            autocommit=True,
        )
        with connection:
            yield connection
    except psycopg.Error as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ToolError(
            "primary-unreachable",
            f"the primary of {database.environment} does not answer: {lines[0]}",
            hint=f"look at `renecinfra status {database.environment}`",
        ) from None


def read_state(database: ProtectedDatabase) -> PrimaryState:
    """Ask for everything at once.

    Raises:
        ToolError: the primary does not answer, or is a replica.
    """
    with connect(database) as connection:
        row = connection.execute(_STATE).fetchone()
    if row is None:
        raise ToolError("primary-unreachable", f"the primary of {database.environment} gave no answer")
    return PrimaryState(*row)


def table_files(database: ProtectedDatabase) -> dict[tuple[int, int], str]:
    """The application's tables by database and file, as its database's WAL names them; catalogues have
    no name.

    Raises:
        ToolError: the primary does not answer.
    """
    with connect(database, name=database.database) as connection:
        rows = connection.execute(_FILES).fetchall()
    return {(int(row[0]), int(row[1])): str(row[2]) for row in rows}


def system_identifier(data: str) -> str | None:
    """The system identifier in a data directory's control file; None where there is none to be read.

    The first eight bytes of ``pg_control`` on every version (src/include/catalog/pg_control.h).
    """
    import sys

    try:
        with open(os.path.join(data, "global", "pg_control"), "rb") as stream:  # noqa: PTH118, PTH123
            found = stream.read(8)
    except OSError:
        return None
    return str(int.from_bytes(found, sys.byteorder)) if len(found) == 8 else None
