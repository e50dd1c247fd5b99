"""How much going back to the newest restorable state of a local environment would lose, looked at now."""

from __future__ import annotations

from datetime import timedelta

from renecinfra.errors import RenecError
from renecinfra.provision.backups import open_backups
from renecinfra.provision.session import Session
from renecinfra.recovery.observation import Observer


def recoverable_age(session: Session) -> timedelta | None:
    """The age of the newest commit that the backup repositories alone bring back; None where it is not known.

    What the WAL receiver has beyond that does not count: it may be what the change takes away.
    """
    try:
        with session.reporter.step("Looking at the backups"):
            seen = Observer(open_backups(session).database).observe()
    except RenecError as error:
        session.reporter.warn(f"the backups cannot be looked at: {error.message}")
        return None
    if seen.last_backup is None or seen.rpo_archive is None:
        return None
    return timedelta(seconds=seen.rpo_archive)
