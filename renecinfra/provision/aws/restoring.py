"""`restore` in AWS: plan, confirm, beside, check, confirm again, change names, tell Terraform, protect.

Every step looks at what is there first, so that a run that was cut off is gone on with by ``--resume``, from
any machine, and taken back by ``--abort`` before the instances changed names, by ``--undo`` afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from renecinfra.errors import RestoreError
from renecinfra.journal import Run
from renecinfra.platforms.aws.faults import told
from renecinfra.platforms.aws.recovery import TAG, TARGET_TAG, Instances, Names, tags_of
from renecinfra.provision.aws import adopting, bootstrapping, contents, restore_progress
from renecinfra.provision.aws.restore_planning import AwsRestorePlan, plan
from renecinfra.provision.aws.restore_progress import Progress
from renecinfra.provision.aws.session import AwsSession
from renecinfra.recovery.engine.checking import Finding, require
from renecinfra.recovery.targets import (
    LatestTarget,
    RecoveryTarget,
)


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
            restored = instances.wait(names.restored, reporter.note)
            findings = [*check(session, restored), *contents.look(session, restored, adopted=True)]
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
    """Whether the restored instance is what the environment needs; what is in it is ``contents``'s."""
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
