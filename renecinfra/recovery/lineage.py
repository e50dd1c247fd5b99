"""The lineage file: which database wrote which timeline, from where, and why. One JSON object a line.

PostgreSQL's history files say where timelines part; not when, why, or of which database made anew. A
restore to a moment needs to know which timeline was in use then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.records import OwnedLines

_NAME: Final = "lineage.jsonl"


@dataclass(frozen=True, slots=True)
class Descent:
    """From ``at`` on, the environment's database was ``system_id`` on ``timeline``.

    ``fork`` is where the timeline parts from ``parent``; both are None for a database that begins one.
    """

    system_id: str
    timeline: int
    parent: int | None
    fork: str | None
    at: datetime
    reason: str

    def document(self) -> dict[str, Any]:
        """For the file and for machines."""
        return {
            "system_id": self.system_id,
            "timeline": self.timeline,
            "parent": self.parent,
            "fork": self.fork,
            "at": self.at.isoformat(),
            "reason": self.reason,
        }


class Lineage:
    """The lineage of one environment."""

    def __init__(self, database: ProtectedDatabase) -> None:
        self._file = OwnedLines(Path(database.state) / _NAME, database.identity)

    def entries(self) -> list[Descent]:
        """All of it, from the first on.

        Raises:
            ValueError: the file is damaged.
        """
        return [
            Descent(
                one["system_id"],
                one["timeline"],
                one["parent"],
                one["fork"],
                datetime.fromisoformat(one["at"]),
                one["reason"],
            )
            for one in self._file.read()
        ]

    def current(self) -> Descent | None:
        """The newest entry; None before there is any."""
        entries = self.entries()
        return entries[-1] if entries else None

    def at(self, moment: datetime) -> Descent | None:
        """Which database and timeline were in use at a moment."""
        entries = [one for one in self.entries() if one.at <= moment]
        return entries[-1] if entries else None

    def record(
        self,
        system_id: str,
        timeline: int,
        reason: str,
        *,
        parent: int | None = None,
        fork: str | None = None,
    ) -> Descent:
        """Add an entry, unless the newest is of the same database and timeline already; returns the newest.

        Raises:
            OSError: it cannot be written.
        """
        current = self.current()
        if current is not None and (current.system_id, current.timeline) == (system_id, timeline):
            return current
        descent = Descent(system_id, timeline, parent, fork, datetime.now(UTC), reason)
        self._file.append(descent.document())
        return descent
