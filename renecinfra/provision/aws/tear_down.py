"""`down` in AWS: what stands in the way of a destroy is moved in order; backups and the state stay."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from renecinfra.errors import TerraformError
from renecinfra.platforms.aws import emptying
from renecinfra.platforms.aws import state as states
from renecinfra.platforms.aws import variables as values
from renecinfra.platforms.aws.kubeconfig import kubeconfig
from renecinfra.platforms.aws.recovery import Instances
from renecinfra.platforms.releases import ReleaseContext, Releases, releases_for
from renecinfra.provision.aws import bootstrapping, restore_progress
from renecinfra.provision.aws.applying import apply
from renecinfra.provision.aws.planning import plan_stack
from renecinfra.provision.aws.restoring import progress_of
from renecinfra.provision.aws.session import AwsSession

KEPT: Final = (
    "module.keys.",
    "module.storage.module.backups.",
    "module.storage.module.backups_copy.",
    "module.storage.aws_",
    "module.backup.aws_backup_vault.",
    "module.backup.aws_backup_vault_lock_configuration.",
)
"""What backups need: buckets, vaults and keys. All keys: a targeted destroy knows them as one."""
_PROTECTED: Final = (
    "module.database.aws_db_instance.",
    "module.cluster.aws_eks_cluster.",
    "module.ingress.aws_lb.this",
    "module.cache.aws_elasticache_replication_group.",
)
"""What AWS refuses to delete while it is protected, or what leaves a last snapshot under a new name."""


@dataclass(frozen=True, slots=True)
class AwsDownPlan:
    """What `down` would destroy and keep. ``objects`` counts what is in the buckets that are emptied."""

    environment: str
    destroyed: tuple[str, ...]
    kept: tuple[str, ...]
    objects: dict[str, int]
    final_snapshot: str

    @property
    def empty(self) -> bool:
        """Whether there is nothing to destroy."""
        return not self.destroyed

    @property
    def snapshots(self) -> tuple[str, ...]:
        """The last snapshots that are taken."""
        name = f"renec-{self.environment}"
        return (f"{name}-{self.final_snapshot}", f"{name}-broker-{self.final_snapshot}")


@dataclass(frozen=True, slots=True)
class AwsDownResult:
    """How a `down` went."""

    plan: AwsDownPlan
    seconds: float

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "environment": self.plan.environment,
            "destroyed": list(self.plan.destroyed),
            "kept": list(self.plan.kept),
            "objects_deleted": self.plan.objects,
            "snapshots": list(self.plan.snapshots) if self.plan.destroyed else [],
            "seconds": round(self.seconds, 2),
        }


def down(
    session: AwsSession,
    confirm: Callable[[AwsDownPlan], None],
    argv: Sequence[str],
    *,
    delete_backups: bool,
    releases: Releases | None = None,
) -> AwsDownResult:
    """Destroy the environment; backups, their keys, the last snapshots and the state stay.

    Raises:
        DeclinedError: the confirmation was refused; nothing has changed.
        RestoreError: instances of a restore are still beside the database.
        ToolError, TerraformError: something stood in the way; the next `down` goes on.
    """
    started = time.monotonic()
    with session.locked("down", argv) as run:
        with run.step("plan"):
            plan = _plan(session, delete_backups=delete_backups)
        if not plan.empty:
            confirm(plan)
            if any("aws_eks_node_group" in one for one in plan.destroyed):
                with run.step("releases"):
                    _remove_releases(session, releases or releases_for(session.workspace))
            with run.step("unprotect"):
                _unprotect(session, plan)
            with run.step("empty"):
                _empty(session, plan, unlock=delete_backups)
            with run.step("destroy"):
                _destroy(session, plan)
        return AwsDownResult(plan, time.monotonic() - started)


def _plan(session: AwsSession, *, delete_backups: bool) -> AwsDownPlan:
    session.aws.require_account()
    bootstrapping.require(session)
    # What a restore left beside is in the network that would be destroyed, and in no state.
    restore_progress.refuse_unfinished(progress_of(Instances(session.profile, session.aws)), session.name)
    snapshot = f"final-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with session.reporter.step("Looking at what is there"):
        session.write_stack(_variables(session, snapshot))
        terraform = session.terraform()
        terraform.init()
        there = [resource.address for resource in terraform.state_resources()]
        kept = [address for address in there if not delete_backups and address.startswith(KEPT)]
        objects = {}
        for bucket, region in _buckets(session, delete_backups=delete_backups):
            found = emptying.count(session.aws, bucket, region)
            if found is not None:
                objects[bucket] = found
    destroyed = [address for address in there if address not in kept]
    return AwsDownPlan(session.name, tuple(destroyed), tuple(kept), objects, snapshot)


def _variables(session: AwsSession, snapshot: str) -> dict[str, Any]:
    # The version is the state's own, and not Vault's: no password is changed by an end.
    version = states.password_version(session.state.current())
    return values.variables(session.profile, version, protected=False, final_snapshot=snapshot)


def _buckets(session: AwsSession, *, delete_backups: bool) -> list[tuple[str, str]]:
    name, platform = values.name(session.profile), session.platform
    found = [(f"{name}-{kind}-{platform.account}", platform.region) for kind in ("assets", "logs")]
    if delete_backups:
        found.append((f"{name}-backups-{platform.account}", platform.region))
        found.append((f"{name}-backups-copy-{platform.account}", platform.backup_region))
    return found


def _remove_releases(session: AwsSession, releases: Releases) -> None:
    """Releases first: what controllers made in the cloud (volumes) is theirs to take away."""
    outputs = session.terraform().outputs()
    secrets = session.secrets()
    with kubeconfig(session.name, outputs["cluster"], session.workspace.root, session.overrides) as path:
        releases.remove(ReleaseContext(session.profile, outputs, secrets, path, session.reporter))


def _unprotect(session: AwsSession, plan: AwsDownPlan) -> None:
    """Take protection away, and give the last snapshots a name that is new; of what is still there alone."""
    targets = tuple(address for address in plan.destroyed if address.startswith(_PROTECTED))
    if not targets:
        return
    plan_file = session.paths.state / "down.tfplan"
    changes = plan_stack(session, plan_file, None, targets=targets)
    strange = [c for c in changes.pending if c.action != "update"]
    if strange:
        plan_file.unlink(missing_ok=True)
        raise TerraformError(
            "aws-unprotect",
            f"taking protection away would also {strange[0].action} {strange[0].address}",
            hint=f"bring the environment to its profile first: `renecinfra up {session.name}`",
        )
    if changes.pending:
        apply(session, changes, plan_file, None, targets=targets, title="Taking protection away")
    plan_file.unlink(missing_ok=True)


def _empty(session: AwsSession, plan: AwsDownPlan, *, unlock: bool) -> None:
    total = sum(plan.objects.values())
    with session.reporter.progress("Emptying buckets", total) as progress:
        for bucket, region in _buckets(session, delete_backups=unlock):
            if plan.objects.get(bucket):
                emptying.empty(
                    session.aws, bucket, region, unlock=unlock, on_deleted=lambda n: progress.advance(n, None)
                )


def _destroy(session: AwsSession, plan: AwsDownPlan) -> None:
    """Everything but what is kept, by name, so that what is kept stays in the state for the next `up`."""
    targets = plan.destroyed if plan.kept else ()
    plan_file = session.paths.state / "down.tfplan"
    changes = plan_stack(session, plan_file, None, destroy=True, targets=targets)
    lost = [c.address for c in changes.pending if c.address in plan.kept]
    if lost:
        plan_file.unlink(missing_ok=True)
        raise TerraformError(
            "aws-keep",
            f"the destroy would take {lost[0]} with it, which backups need",
            hint="nothing was destroyed; report this",
        )
    apply(session, changes, plan_file, None, destroy=True, targets=tuple(targets), title="Destroying")
