"""Bringing the broker's queues back from a copy beside the backups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from renecinfra.errors import RenecError, UsageError
from renecinfra.platforms.local import backups
from renecinfra.provision.backups import BackupWork
from renecinfra.recovery import broker
from renecinfra.recovery.broker import BrokerCopy
from renecinfra.recovery.engine.files import OwnedFiles


def copies(work: BackupWork) -> list[BrokerCopy]:
    """The copies that there are, the oldest first."""
    return broker.copies(work.tool)


def restore_broker(
    work: BackupWork, name: str, confirm: Callable[[BrokerCopy], None], argv: Sequence[str]
) -> Path:
    """Put a copy in the place of the broker's queues; returns where the queues of before are kept.

    The broker is away for the moment that it takes; what was in it stays beside it until the next restore.

    Raises:
        UsageError: there is no such copy.
        DeclinedError: the confirmation was refused; nothing has changed.
        RenecError: the copy cannot be read (nothing has changed), or the broker does not come back with it
        (then
            it runs with what it had before).
    """
    wanted = next((one for one in copies(work) if one.name == name), None)
    if wanted is None:
        raise UsageError(
            "broker-copy-unknown",
            f"there is no copy {name} of the broker",
            hint=f"`renecinfra backup {work.session.name} broker` lists them",
        )
    session, database = work.session, work.database
    files, home = OwnedFiles(database.identity), Path(database.broker)
    packed, unpacked = Path(database.work) / "broker-restored.tar", home / "restored"
    kept = home / f"before-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with session.locked("backup broker", argv) as run:
        confirm(wanted)
        with run.step("fetch"), session.reporter.step("Fetching the copy"):
            try:
                broker.fetch(work.tool, wanted, packed)
                files.remove(unpacked)
                files.make_directory(unpacked)
                files.run("tar", "-xf", str(packed), "-C", str(unpacked))
            finally:
                files.remove(packed)
        with run.step("exchange"), session.reporter.step("Restarting the broker with it"):
            _exchange(work, files, unpacked / broker.DIRECTORY, kept)
            files.remove(unpacked)
    return kept


def _exchange(work: BackupWork, files: OwnedFiles, unpacked: Path, kept: Path) -> None:
    current = Path(work.database.broker) / broker.DIRECTORY
    supervision = work.session.supervision
    supervision.stop(backups.BROKER)
    if files.exists(current):
        files.run("mv", "--", str(current), str(kept))
    try:
        files.run("mv", "--", str(unpacked), str(current))
        supervision.restart(backups.BROKER)
    except RenecError:
        if files.exists(kept):
            supervision.stop(backups.BROKER)
            files.remove(current)
            files.run("mv", "--", str(kept), str(current))
            supervision.restart(backups.BROKER)
        raise
