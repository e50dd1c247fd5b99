"""`restore` in AWS: plan, confirm, beside, check, confirm again, change names, tell Terraform, protect.

Every step looks at what is there first, so that a run that was cut off is gone on with by ``--resume``, from
any machine, and taken back by ``--abort`` before the instances changed names, by ``--undo`` afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from renecinfra.errors import RestoreError
from renecinfra.journal import Run
from renecinfra.platforms.aws.faults import told
from renecinfra.platforms.aws.recovery import TAG, TARGET_TAG, Instances, Names, Source, tags_of
from renecinfra.provision.aws import adopting, bootstrapping, restore_progress
from renecinfra.provision.aws.restore_progress import Progress
from renecinfra.provision.aws.session import AwsSession
from renecinfra.recovery.engine.checking import Finding, require
from renecinfra.recovery.targets import (
    BackupTarget,
    LatestTarget,
    RecoveryTarget,
    TimeTarget,
    show,
)

_STOPS: Final = "10 to 20 minutes: RDS restarts both instances and their names have to spread"
_TAKES: Final = "some 20 minutes, and more with the size: RDS does not say beforehand"
_AHEAD: Final = "is after the newest moment that RDS can restore to"


@dataclass(frozen=True, slots=True)
class AwsRestorePlan:
    """What a restore would do. ``at`` is the moment that it ends at; ``lost`` the seconds from it to now."""

    environment: str
    names: Names
    target: str
    source: Source
    snapshot: str | None
    at: datetime
    lost: float
    moved: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def stops(self) -> str:
        """How long the database cannot be reached."""
        return _STOPS

    @property
    def takes(self) -> str:
        """How long it takes until the names change."""
        return _TAKES

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            "id": self.names.id,
            "target": self.target,
            "at": self.at.isoformat(),
            "snapshot": self.snapshot,
            "lost_seconds": round(self.lost),
            "size_bytes": self.source.size,
            "primary_alive": self.source.alive,
            "kept": {name: self.names.kept(name) for name in self.moved},
            "stops": self.stops,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class AwsRestoreResult:
    """How a restore, an undo or an abort went."""

    environment: str
    id: str
    action: str
    target: str
    kept: tuple[str, ...]
    findings: tuple[Finding, ...]
    snapshot: str | None
    seconds: float

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            "id": self.id,
            "action": self.action,
            "target": self.target,
            "kept": list(self.kept),
            "findings": [one.document() for one in self.findings],
            "snapshot": self.snapshot,
            "seconds": round(self.seconds, 2),
        }


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked; each raises DeclinedError where the answer is no.

    ``plan`` before anything is made; ``cutover`` when the restored instance, at the address that is told,
    can be looked at.
    """

    plan: Callable[[AwsRestorePlan], None]
    cutover: Callable[[Names, str], None]


def instances_of(session: AwsSession) -> Instances:
    """The environment's instances, in the account of its profile."""
    session.aws.require_account()
    return Instances(session.profile, session.aws)


def plan(session: AwsSession, instances: Instances, target: RecoveryTarget) -> AwsRestorePlan:
    """What a restore would do; changes nothing.

    Raises:
        RestoreError: the target is none of RDS's, or cannot be reached.
    """
    with session.reporter.step("Asking RDS what can be restored"):
        now = datetime.now(UTC)
        snapshot = target.label if isinstance(target, BackupTarget) else None
        source, at = (
            _of_snapshot(session.name, instances, snapshot)
            if snapshot is not None
            else _of_window(session.name, instances.source(), target, now)
        )
        there = [name for name in instances.own if instances.find(name) is not None]
    lost = max(0.0, (now - at).total_seconds())
    warnings = []
    if not source.alive:
        warnings.append(f"there is no instance {instances.base}: nothing can be kept, and --undo has no way")
    if source.alive and isinstance(target, LatestTarget):
        warnings.append(
            f"the running database has {lost:.0f} s more than RDS has stored: if it can still be used, stop "
            "the writers, and wait until `backup list` shows a later moment"
        )
    names = Names(instances.base, f"{now:%Y%m%d-%H%M%S}")
    said = f"snapshot {snapshot}" if snapshot is not None else show(at)
    return AwsRestorePlan(
        session.name, names, said, source, snapshot, at, lost, tuple(there), tuple(warnings)
    )


def _of_snapshot(environment: str, instances: Instances, identifier: str) -> tuple[Source, datetime]:
    found = instances.snapshot(identifier)
    if found is None or found.get("Status") != "available":
        what = "there is no snapshot" if found is None else f"RDS says {found.get('Status')} of snapshot"
        raise RestoreError(
            "restore-no-backup",
            f"{what} {identifier}",
            hint=f"`renecinfra backup {environment} list` shows which there are",
        )
    base = instances.base
    source = Source(
        base,
        str(found.get("DbiResourceId", "")),
        alive=instances.find(base) is not None,
        size=int(found["AllocatedStorage"]) << 30,
        earliest=found["SnapshotCreateTime"],
        latest=found["SnapshotCreateTime"],
    )
    return source, found["SnapshotCreateTime"]


def _of_window(
    environment: str, source: Source, target: RecoveryTarget, now: datetime
) -> tuple[Source, datetime]:
    if not isinstance(target, TimeTarget | LatestTarget):
        raise RestoreError(
            "restore-target-unsupported",
            f"RDS does not restore to {target.describe()}",
            hint="give --to TIME, --latest, or --backup ID with a snapshot's name",
        )
    if source.latest is None:
        raise RestoreError(
            "restore-no-backup",
            f"RDS has no backup of {source.identifier} yet",
            hint="the first one is taken within minutes after the instance was made; try again",
        )
    if isinstance(target, LatestTarget):
        return source, source.latest
    window = f"the window is {show(source.earliest) if source.earliest else '?'} to {show(source.latest)}"
    if target.at > now:
        raise RestoreError(
            "restore-target-future",
            f"{target.describe()} is in the future",
            hint=f"a zone may be meant: write it with one; {window}",
        )
    if target.at > source.latest:
        behind = "; RDS stores its log every five minutes: wait, or give --latest" if source.alive else ""
        raise RestoreError("restore-target-after", f"{target.describe()} {_AHEAD}", hint=window + behind)
    if source.earliest is not None and target.at < source.earliest:
        raise RestoreError(
            "restore-target-before",
            f"{target.describe()} is before the first moment that RDS can restore to",
            hint=f"{window}; `renecinfra backup {environment} list` shows snapshots, which go back further",
        )
    return source, target.at


def restore(
    session: AwsSession,
    target: RecoveryTarget,
    questions: Questions,
    argv: Sequence[str],
    instances: Instances | None = None,
) -> AwsRestoreResult:
    """Restore to a target, from the plan to the new snapshot.

    Raises:
        DeclinedError: a confirmation was refused; before the second one, nothing that runs has changed.
        RestoreError, ToolError: it is refused, or a step failed; `--resume` goes on.
        TerraformError: the names have changed, and Terraform's state has not followed yet; the same.
    """
    with session.locked("restore", argv) as run:
        instances = instances or instances_of(session)
        bootstrapping.require(session)
        restore_progress.refuse_unfinished(progress_of(instances), session.name)
        with run.step("plan"):
            made = plan(session, instances, target)
        questions.plan(made)
        with run.step("begin"):
            moment = None if isinstance(target, LatestTarget) else made.at
            instances.restore(made.names, made.source, moment, made.snapshot, made.target)
        begun = Progress(made.names, made.target, beside=True, placed=False, kept=(), undone=())
        return _go_on(session, run, instances, begun, questions)


def resume(
    session: AwsSession, questions: Questions, argv: Sequence[str], instances: Instances | None = None
) -> AwsRestoreResult:
    """Go on with a restore that was cut off, here or on another machine.

    Raises:
        RestoreError: there is none, it is being undone, or a step fails again.
    """
    with session.locked("restore", argv) as run:
        instances = instances or instances_of(session)
        found = restore_progress.require(progress_of(instances), session.name)
        if found.undone:
            raise RestoreError(
                "restore-undoing",
                f"the restore {found.names.id} is being undone, or was",
                hint=f"run `renecinfra restore {session.name} --undo`, which goes on with that",
            )
        return _go_on(session, run, instances, found, questions)


def progress_of(instances: Instances) -> Progress | None:
    """The restore that is under way or can be undone."""
    return restore_progress.progress(instances.base, instances.all())


def _go_on(
    session: AwsSession, run: Run, instances: Instances, at: Progress, questions: Questions
) -> AwsRestoreResult:
    started, names, findings = time.monotonic(), at.names, list[Finding]()
    reporter = session.reporter
    if at.beside:
        with run.step("beside"), reporter.progress(f"Waiting for {names.restored}") as progress:
            instances.wait(names.restored, lambda text: progress.advance(0, text))
            instances.take_over(names.restored, lambda text: progress.advance(0, text))
        with run.step("check"):
            findings = check(session, instances.wait(names.restored, reporter.note))
            require(findings, session.name)
        if not at.touched:
            endpoint = instances.wait(names.restored, lambda _: None).get("Endpoint") or {}
            questions.cutover(names, str(endpoint.get("Address", "")))
    with run.step("cutover"), reporter.progress("Changing names") as progress:
        change_places(instances, names, lambda text: progress.advance(0, text))
    with run.step("adopt"):
        adopting.adopt(session, instances)
    with run.step("protect"):
        snapshot = _protect(session, instances, at)
    found = progress_of(instances)
    kept = tuple(names.kept(one) for one in found.kept) if found is not None else ()
    if not kept:
        untag(session, instances)
    return AwsRestoreResult(
        session.name,
        names.id,
        "restore",
        at.target,
        kept,
        tuple(findings),
        snapshot,
        time.monotonic() - started,
    )


def check(session: AwsSession, instance: dict[str, Any]) -> list[Finding]:
    """Whether the restored instance is what the environment needs. Its contents are in subnets that only the
    cluster reaches: they are for whoever is asked before the cutover."""
    profile, base = session.profile, f"renec-{session.name}"
    groups = [g["DBParameterGroupName"] for g in instance.get("DBParameterGroups", [])]
    applied = {g.get("ParameterApplyStatus", "in-sync") for g in instance.get("DBParameterGroups", [])}
    major = str(instance.get("EngineVersion", "")).split(".")[0]
    seen = {
        "engine": (major == str(profile.database.version), f"PostgreSQL {instance.get('EngineVersion')}"),
        "encryption": (bool(instance.get("StorageEncrypted")), _yes(instance.get("StorageEncrypted"))),
        "private": (
            not instance.get("PubliclyAccessible"),
            "reachable from the internet" if instance.get("PubliclyAccessible") else "yes",
        ),
        "settings": (
            groups == [f"{base}-postgres{profile.database.version}"]
            and applied <= {"in-sync", "pending-reboot"},
            f"{', '.join(groups)}: {', '.join(sorted(applied))}",
        ),
        "subnets": (
            instance.get("DBSubnetGroup", {}).get("DBSubnetGroupName") == base,
            str(instance.get("DBSubnetGroup", {}).get("DBSubnetGroupName")),
        ),
        "backups": (
            int(instance.get("BackupRetentionPeriod", 0)) == profile.backups.retention.days,
            f"kept for {instance.get('BackupRetentionPeriod')} days",
        ),
    }
    return [Finding(name, ok, detail) for name, (ok, detail) in seen.items()]


def _yes(value: object) -> str:
    return "yes" if value else "no"


def change_places(instances: Instances, names: Names, note: Callable[[str], None]) -> None:
    """Give the restored instance the primary's name; what was there keeps on beside, under another."""
    primary = instances.find(names.base)
    if primary is None or tags_of(primary).get(TAG) != names.id:
        # Replicas first: they follow the old primary, and have the names that the new ones get.
        for name in reversed(instances.own):
            if instances.find(name) is not None:
                instances.rename(name, names.kept(name), note)
        instances.rename(names.restored, names.base, note)
    instances.wait(names.base, note)


def _protect(session: AwsSession, instances: Instances, at: Progress) -> str:
    """Begin a snapshot: RDS's own backups of the new instance begin in its own time."""
    identifier = f"{instances.base}-after-{at.names.id}"
    if instances.snapshot(identifier) is None:
        with session.reporter.step(f"Beginning snapshot {identifier}"):
            instances.snap(identifier, instances.base, {"renecinfra:reason": f"restored to {at.target}"})
    return identifier


def untag(session: AwsSession, instances: Instances) -> None:
    """The restore is done with."""
    primary = instances.find(instances.base)
    if primary is not None and TAG in tags_of(primary):
        with told(f"untagging {instances.base}"):
            session.aws.client("rds").remove_tags_from_resource(
                ResourceName=primary["DBInstanceArn"], TagKeys=[TAG, TARGET_TAG]
            )
