"""Named points in the WAL, made before changes that somebody may want undone: migrations, deployments,
tuning.

PostgreSQL replays to the first record of a name, so a name is used once for ever in an environment's life.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from renecinfra.errors import ToolError, UsageError
from renecinfra.recovery.primary import connect
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.records import Record, Records

# PostgreSQL takes names of up to 63 bytes.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,62}")
KIND: Final = "restore-point"


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """A named point: where in the WAL of which database, when, and why it was made."""

    name: str
    lsn: str
    timeline: int
    system_id: str
    at: datetime
    reason: str

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "name": self.name,
            "lsn": self.lsn,
            "timeline": self.timeline,
            "system_id": self.system_id,
            "at": self.at.isoformat(),
            "reason": self.reason,
        }


def create(database: ProtectedDatabase, name: str, reason: str) -> RestorePoint:
    """Make a restore point on the primary.

    Raises:
        UsageError: the name is none, or has been used.
        ToolError: the primary does not answer.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            "restore-point-name",
            f"{name!r} is no name of a restore point",
            hint="use up to 63 letters, digits and ._:+-, with a letter or digit first",
        )
    records = Records(database)
    if any(record.facts.get("name") == name for record in records.all(KIND)):
        raise UsageError(
            "restore-point-exists",
            f"there is a restore point {name} already, and a restore goes to the first of a name",
            hint="choose another name, with the date in it",
        )
    with connect(database) as connection:
        row = connection.execute(
            "SELECT pg_create_restore_point(%s)::text,"
            " (SELECT system_identifier::text FROM pg_control_system()),"
            " ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int, clock_timestamp()",
            (name,),
        ).fetchone()
    if row is None:
        raise ToolError("primary-unreachable", f"the primary of {database.environment} gave no answer")
    lsn, system_id, timeline, at = row
    record = records.append(
        KIND, at=at.astimezone(UTC), name=name, lsn=lsn, timeline=timeline, system_id=system_id, reason=reason
    )
    return _point(record)


def before(database: ProtectedDatabase, what: str) -> RestorePoint:
    """A restore point with a name of its own, made before a change: ``before-migration-20261125T093000Z``.

    Raises:
        ToolError: the primary does not answer.
    """
    stem = f"before-{what}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    taken = {record.facts.get("name") for record in Records(database).all(KIND)}
    name = next(one for n in range(1, 1000) if (one := stem if n == 1 else f"{stem}-{n}") not in taken)
    return create(database, name, f"before {what}")


def points(database: ProtectedDatabase) -> list[RestorePoint]:
    """Every restore point that was made, the oldest first."""
    return [_point(record) for record in Records(database).all(KIND)]


def _point(record: Record) -> RestorePoint:
    facts = record.facts
    return RestorePoint(
        facts["name"], facts["lsn"], facts["timeline"], facts["system_id"], record.at, facts["reason"]
    )
