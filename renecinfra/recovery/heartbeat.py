"""A commit a minute, so that a moment in an idle time can be restored to; and its way to the archive.

PostgreSQL stops replaying at the first commit after the target; without one, a target in an idle time is
past the end of the WAL, and refused. The row also says, in a restored database, how far it came.

``archive_timeout`` alone does not bring it into the archive: the checkpointer looks at that, and from
PostgreSQL 15 on it begins during crash recovery, when there is nothing to switch, and then sleeps for
``checkpoint_timeout`` (CheckpointerMain in src/backend/postmaster/checkpointer.c). After a crash, minutes of
commits would be nowhere but on the primary.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from renecinfra.errors import ToolError
from renecinfra.recovery.primary import connect
from renecinfra.recovery.protected import ProtectedDatabase

INTERVAL: Final = 60.0
"""Seconds from one to the next."""
DATABASE: Final = "postgres"
"""Where the row is: not among the application's tables."""

GRACE: Final = 5.0
"""Seconds that PostgreSQL has to switch by itself after ``archive_timeout``."""

_MAKE: Final = """
CREATE SCHEMA IF NOT EXISTS renec_recovery;
CREATE TABLE IF NOT EXISTS renec_recovery.heartbeat (
    one boolean PRIMARY KEY DEFAULT true CHECK (one), beat bigint NOT NULL, at timestamptz NOT NULL);
"""
_BEAT: Final = """
INSERT INTO renec_recovery.heartbeat (beat, at) VALUES (1, clock_timestamp())
ON CONFLICT (one) DO UPDATE SET beat = renec_recovery.heartbeat.beat + 1, at = clock_timestamp()
RETURNING at
"""
# Nothing is switched while segments wait: more of them would not be archived any sooner.
_SWITCH: Final = """
SELECT pg_walfile_name(pg_switch_wal()) FROM pg_stat_archiver
WHERE clock_timestamp() - greatest(last_archived_time, pg_postmaster_start_time()) > make_interval(secs => %s)
  AND NOT EXISTS (SELECT FROM pg_ls_archive_statusdir() WHERE name LIKE '%%.ready')
"""


def prepare(database: ProtectedDatabase) -> None:
    """Make the table where there is none.

    Raises:
        ToolError: the primary does not answer.
    """
    with connect(database, name=DATABASE) as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute(_MAKE)


def beat(database: ProtectedDatabase) -> datetime:
    """Commit once, with a transaction id of its own; returns when.

    Raises:
        ToolError: the primary does not answer.
    """
    with connect(database, name=DATABASE) as connection:
        row = connection.execute(_BEAT).fetchone()
    if row is None:
        raise ToolError("heartbeat-lost", f"the primary of {database.environment} did not take the heartbeat")
    found: datetime = row[0]
    return found


def switch_overdue(database: ProtectedDatabase, seconds: float) -> str | None:
    """Have the segment that is being written archived where none was for ``seconds``; returns its name.

    A segment without anything in it is left as it is, by PostgreSQL.

    Raises:
        ToolError: the primary does not answer.
    """
    with connect(database, name=DATABASE) as connection:
        row = connection.execute(_SWITCH, (seconds,)).fetchone()
    return None if row is None else str(row[0])
