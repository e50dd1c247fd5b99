"""The ways out of a restore in AWS: back to the instances before it, or without them for good."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from renecinfra.errors import RestoreError
from renecinfra.platforms.aws.recovery import TAG, Instances, tags_of
from renecinfra.provision.aws import adopting, restore_progress
from renecinfra.provision.aws.restore_progress import Progress
from renecinfra.provision.aws.restoring import AwsRestoreResult, instances_of, progress_of, untag
from renecinfra.provision.aws.session import AwsSession

Confirm = Callable[[Progress, tuple[str, ...]], None]
"""Asks, with the instances that go; raises DeclinedError when the answer is no."""


@dataclass(frozen=True, slots=True)
class AwsFinishResult:
    """What `--finish` deleted, and the last snapshots that it had taken."""

    environment: str
    deleted: tuple[str, ...]
    snapshots: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            "deleted": list(self.deleted),
            "snapshots": list(self.snapshots),
        }


def abort(
    session: AwsSession, confirm: Confirm, argv: Sequence[str], instances: Instances | None = None
) -> AwsRestoreResult:
    """Delete what was restored beside, while no instance of the environment was touched.

    Raises:
        RestoreError: there is no restore, or it came further.
        DeclinedError: the confirmation was refused.
    """
    started = time.monotonic()
    with session.locked("restore", argv) as run:
        instances = instances or instances_of(session)
        found = restore_progress.require(progress_of(instances), session.name)
        if found.touched or not found.beside:
            raise RestoreError(
                "restore-too-late",
                f"the restore {found.names.id} has begun to change names",
                hint=f"`renecinfra restore {session.name} --undo` goes back",
            )
        confirm(found, (found.names.restored,))
        with run.step("abort"):
            instances.delete(found.names.restored, snapshot=None)
        return _result(session, found, "abort", started)


def undo(
    session: AwsSession, confirm: Confirm, argv: Sequence[str], instances: Instances | None = None
) -> AwsRestoreResult:
    """Give the instances of before the restore their names again; those of the restore stay beside.

    Raises:
        RestoreError: there is no restore, or nothing was kept that could be gone back to.
        DeclinedError: the confirmation was refused.
    """
    started = time.monotonic()
    with session.locked("restore", argv) as run:
        instances = instances or instances_of(session)
        found = restore_progress.require(progress_of(instances), session.name)
        if not found.kept and not found.undone:
            raise RestoreError(
                "restore-nothing-kept",
                f"nothing of before the restore {found.names.id} is there to go back to",
                hint=f"`renecinfra restore {session.name} --resume` goes on with it, or `--abort` while it "
                "is beside; a snapshot can be restored with --backup",
            )
        confirm(found, tuple(found.names.kept(one) for one in found.kept))
        with run.step("undo"), session.reporter.progress("Changing names back") as progress:
            _back(instances, found, lambda text: progress.advance(0, text))
        with run.step("adopt"):
            adopting.adopt(session, instances)
        after = restore_progress.require(progress_of(instances), session.name)
        return _result(session, after, "undo", started)


def _back(instances: Instances, found: Progress, note: Callable[[str], None]) -> None:
    names = found.names
    primary = instances.find(names.base)
    if primary is not None and tags_of(primary).get(TAG) == names.id:
        # What replicates from the restored primary has the names that the old replicas get again.
        for name in reversed(instances.own):
            if instances.find(name) is not None and name not in found.undone:
                instances.rename(name, names.undone(name), note)
    for name in instances.own:
        if instances.find(names.kept(name)) is not None:
            instances.rename(names.kept(name), name, note)
    instances.wait(names.base, note)


def finish(
    session: AwsSession, confirm: Confirm, argv: Sequence[str], instances: Instances | None = None
) -> AwsFinishResult:
    """Delete what a restore, or its undo, left beside; each primary leaves a last snapshot.

    Raises:
        RestoreError: there is none, or it is not done.
        DeclinedError: the confirmation was refused.
    """
    with session.locked("restore", argv) as run:
        instances = instances or instances_of(session)
        found = restore_progress.require(progress_of(instances), session.name)
        names = found.names
        if found.beside and not found.touched:
            raise RestoreError(
                "restore-unfinished",
                f"the restore {names.id} is only beside: nothing old is kept",
                hint=f"`renecinfra restore {session.name} --resume` goes on with it, `--abort` removes it",
            )
        restore_progress.refuse_between(found, session.name)
        going = {names.kept(one): one for one in found.kept} | {
            names.undone(one): one for one in found.undone
        }
        confirm(found, tuple(going))
        snapshots = []
        with run.step("finish"), session.reporter.step("Deleting what was kept"):
            # A replica has nothing that its primary has not.
            for name, own in sorted(going.items(), key=lambda item: item[1] == names.base):
                last = f"{name}-final" if own == names.base else None
                instances.delete(name, snapshot=last)
                snapshots += [last] if last else []
            untag(session, instances)
        return AwsFinishResult(session.name, tuple(going), tuple(snapshots))


def _result(session: AwsSession, found: Progress, action: str, started: float) -> AwsRestoreResult:
    return AwsRestoreResult(
        session.name,
        found.names.id,
        action,
        found.target,
        tuple(found.names.undone(one) for one in found.undone),
        (),
        None,
        time.monotonic() - started,
    )
