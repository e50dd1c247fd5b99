"""After the primary has become another: what it descends from is noted, and it is backed up."""

from __future__ import annotations

from renecinfra.recovery import jobs
from renecinfra.recovery.engine.state import RestoreState
from renecinfra.recovery.lineage import Lineage
from renecinfra.recovery.primary import read_state
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.repository import PgBackRest


def protect(database: ProtectedDatabase, state: RestoreState, reason: str) -> bool:
    """Note the descent and take a full backup; whether it is another database than the one before.

    Raises:
        RenecError: it cannot be backed up.
    """
    lineage, now = Lineage(database), read_state(database)
    known = lineage.current()
    end = None if state.undoing else state.end
    parent = state.recipe.timeline if end is not None else None
    if state.kind == "failover" and not state.undoing:
        parent = known.timeline if known is not None else None
    fork = str(end.fork) if end is not None else None
    lineage.record(now.system_id, now.timeline, reason, parent=parent, fork=fork)
    tool = PgBackRest(database)
    jobs.ensure_stanza(tool, now.system_id)
    jobs.take_backup(tool, "full", reason=reason, on_wait=lambda: None)
    return known is None or known.system_id != now.system_id
