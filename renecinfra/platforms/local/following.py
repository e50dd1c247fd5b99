"""Replica and WAL receiver after the primary has become another: each begins anew where it cannot go on."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from renecinfra.errors import ToolError
from renecinfra.platforms.local import backups, databases
from renecinfra.recovery.engine.files import OwnedFiles
from renecinfra.recovery.primary import read_state
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.services.supervision import Supervision

_COPY_SPEED: Final = 20e6
_COPY_SECONDS: Final = 60.0
_POLL: Final = 0.2


def receive(database: ProtectedDatabase, supervision: Supervision) -> None:
    """The receiver begins with an empty directory where what is in it is of another past."""
    files = OwnedFiles(database.identity)
    now = read_state(database)
    directory = Path(database.receiver) / f"{now.system_id}-{now.timeline}"
    try:
        supervision.restart(backups.RECEIVER)
    except ToolError:
        if not files.exists(directory):
            raise
        supervision.stop(backups.RECEIVER)
        # Not removed: it may have what nobody else has.
        aside = f"{directory}.{datetime.now(UTC):%Y%m%dT%H%M%S}"
        files.run("mv", "-T", "--", str(directory), aside)
        supervision.restart(backups.RECEIVER)


def follow(database: ProtectedDatabase, supervision: Supervision, replica: Path, size: int) -> None:
    """The replica copies the primary if it cannot follow it; that takes as long as it takes."""
    deadline = time.monotonic() + _COPY_SECONDS + size / _COPY_SPEED
    supervision.stop(databases.REPLICA)
    _forget_timelines(OwnedFiles(database.identity), replica / "pg_wal", read_state(database).timeline)
    try:
        supervision.restart(databases.REPLICA)
    except ToolError:
        while not supervision.health(databases.REPLICA).ok:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL)
    while time.monotonic() < deadline:
        if _streams(database):
            return
        time.sleep(_POLL)
    raise ToolError(
        "replica-not-streaming",
        "the replica does not stream from the primary",
        hint=f"look at `renecinfra logs {database.environment} {databases.REPLICA}`",
    )


def _forget_timelines(files: OwnedFiles, wal: Path, current: int) -> None:
    """A replica follows the newest timeline that it has a history of, also one that was left by an undo."""
    names = files.run("ls", "-1", "--", str(wal), check=False).stdout.split()
    for name in names:
        if name.endswith(".history") and int(name[:8], 16) > current:
            files.remove(wal / name)


def _streams(database: ProtectedDatabase) -> bool:
    try:
        return read_state(database).replica_lag is not None
    except ToolError:
        return False
