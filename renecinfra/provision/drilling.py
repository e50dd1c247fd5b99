"""`drill`: a rehearsal from the command line, as the schedule does it unattended."""

from __future__ import annotations

from collections.abc import Sequence

from renecinfra.errors import RestoreError
from renecinfra.provision.session import Session
from renecinfra.recovery.drill import Drill, run


def drill(session: Session, argv: Sequence[str]) -> Drill:
    """Rehearse a restore beside the running environment, of which nothing is touched.

    Raises:
        RestoreError: the environment has no backups, or the drill failed; it is recorded all the same.
    """
    from renecinfra.platforms.local import backups

    if not session.profile.backups.enabled:
        raise RestoreError(
            "restore-no-backup",
            f"{session.name} has no backups: backups.enabled is false in its profile",
            hint="set backups.enabled to true and run `renecinfra up`",
        )
    database = backups.protected(session.profile, session.environment.host)
    with (
        session.locked("drill", argv) as journaled,
        journaled.step("drill"),
        session.reporter.progress("Rehearsing a restore") as progress,
    ):
        return run(database, note=lambda text: progress.advance(0, text))
