"""Making the replica the primary: the old one is fenced first, and is back if the replica cannot take
over.
"""

from __future__ import annotations

from renecinfra.platforms.local import databases
from renecinfra.platforms.local.places import Places
from renecinfra.recovery import failover
from renecinfra.recovery.archive import scan
from renecinfra.recovery.engine.settings import control
from renecinfra.recovery.engine.state import RestoreState
from renecinfra.recovery.lineage import Lineage
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.repository import PgBackRest
from renecinfra.services.supervision import Supervision


def promote(
    database: ProtectedDatabase,
    places: Places,
    supervision: Supervision,
    state: RestoreState,
    *,
    port: int,
    taken: set[int],
    alive: bool,
) -> None:
    """Fence the primary, make the replica on ``port`` one, mark it as what is adopted, and stop it where it
    is.

    Args:
        database: what is protected.
        places: where primary and replica are.
        supervision: their services.
        port: the replica's.
        taken: timelines that were used before.
        state: the failover.
        alive: whether the primary takes writes, so that the replica can be given all that it has.

    Raises:
        RestoreError: the replica did not get all of it, or did not become a primary; the primary runs again.
    """
    supervision.stop(databases.PRIMARY)
    try:
        if alive:
            failover.wait_for_all(database, port, control(database, places.primary))
        failover.reserve(places.files, places.replica / "pg_wal", taken)
        failover.promote(database, port)
    except BaseException:
        if alive:
            supervision.restart(databases.PRIMARY)
        raise
    places.mark(places.replica, state)
    supervision.stop(databases.REPLICA)


def taken_timelines(database: ProtectedDatabase) -> set[int]:
    """Timelines that were ever used, also by restores that were undone: the archive has files of theirs."""
    found = {descent.timeline for descent in Lineage(database).entries()}
    tool = PgBackRest(database)
    current = tool.info().current
    if current is not None:
        archive = scan(tool, database.repositories[0].number, f"{current.version}-{current.id}")
        found |= {*archive.timelines, *archive.forks}
    return found
