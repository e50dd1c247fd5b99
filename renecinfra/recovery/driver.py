"""What a platform does of a restore: all that is about its services, and not about PostgreSQL and its
backups.

``provision.restoring`` calls these in order, and journals each. Every one can be interrupted and called
again. The local platform's driver is ``platforms.local.recovery``; a platform whose database is a service of
a provider has one that restores to a new instance instead of a directory, and swaps names instead of
directories.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from renecinfra.recovery.engine.checking import Finding, TableContent
from renecinfra.recovery.engine.recipe import Replayed
from renecinfra.recovery.engine.state import RestoreState
from renecinfra.recovery.engine.tables import TableReturn
from renecinfra.recovery.plan import RestorePlan
from renecinfra.recovery.targets import RecoveryTarget


@dataclass(frozen=True, slots=True)
class Cutover:
    """How the change of places went, in seconds: from the first held write to the first that went through."""

    held: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FailoverPlan:
    """What promoting the replica would do.

    ``behind`` are bytes of WAL that the running primary has and the replica has not, None where none runs;
    then ``newest`` is the last commit that anybody has, and ``replayed`` the last that the replica has.
    ``better`` is a way that loses less, where there is one.
    """

    environment: str
    primary_alive: bool
    behind: int | None
    replayed: datetime | None
    newest: datetime | None
    better: str | None

    def document(self) -> dict[str, Any]:
        """The plan for machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            "primary_alive": self.primary_alive,
            "behind_bytes": self.behind,
            "replayed": self.replayed.isoformat() if self.replayed else None,
            "newest": self.newest.isoformat() if self.newest else None,
            "better": self.better,
        }


Watch = Callable[[Replayed], None]
Note = Callable[[str], None]


class RecoveryDriver(Protocol):
    """One environment's restore on its platform."""

    def plan(self, target: RecoveryTarget, *, from_backup: str | None) -> RestorePlan:
        """What a restore to ``target`` would do; changes nothing."""
        ...

    def begin(self, plan: RestorePlan, said: tuple[str, ...]) -> RestoreState:
        """A state to begin with: a name, and a place beside the running database."""
        ...

    def fetch(self, state: RestoreState, note: Note) -> RestoreState:
        """Bring the backup's files beside; tells how much of them is there."""
        ...

    def replay(self, state: RestoreState, watch: Watch) -> RestoreState:
        """Replay WAL to the target, and refuse an end that is not the one computed beforehand."""
        ...

    def check(self, state: RestoreState, note: Note) -> tuple[list[Finding], list[TableContent]]:
        """Look at the restored database from inside."""
        ...

    def ready(self, state: RestoreState) -> RestoreState:
        """Give it today's roles and passwords, check it at rest, and leave it stopped and adoptable."""
        ...

    def serves(self) -> bool:
        """Whether a primary runs that takes writes."""
        ...

    def return_tables(self, state: RestoreState, names: Sequence[str]) -> list[TableReturn]:
        """Copy tables out of the restored database, which has been replayed, into the running one."""
        ...

    def plan_failover(self) -> FailoverPlan:
        """What promoting the replica would do; changes nothing."""
        ...

    def begin_failover(self, said: tuple[str, ...]) -> RestoreState:
        """A state that begins with the cutover."""
        ...

    def adopted(self, state: RestoreState) -> bool:
        """Whether the restored database is in the running one's place, by looking."""
        ...

    def cut_over(self, state: RestoreState) -> tuple[RestoreState, Cutover]:
        """Put it in the running database's place, and keep that; on any failure put everything back."""
        ...

    def rebuild(self, state: RestoreState, note: Note) -> RestoreState:
        """Replica, receiver and slots follow the database that runs now."""
        ...

    def protect(self, state: RestoreState, reason: str) -> RestoreState:
        """A new full backup, the lineage, and alerts as before."""
        ...

    def go_back(self, state: RestoreState) -> tuple[RestoreState, Cutover]:
        """Put the old database in its place again."""
        ...

    def discard(self, state: RestoreState) -> int:
        """Remove what is beside the running database; returns the bytes that it took."""
        ...
