"""The database in AWS: whether RDS runs it as the profile says."""

from __future__ import annotations

from typing import Any

from renecinfra.hooks.protocol import AwsHookContext, Check
from renecinfra.platforms.aws.databases import instances
from renecinfra.platforms.aws.variables import aws


class DatabaseHook:
    """Looks at the instances; Terraform has set them, and RDS may not have taken it over yet."""

    name = "database"
    needs: tuple[str, ...] = ()

    def run(self, context: AwsHookContext) -> str:
        """Nothing is to be done: what is looked at is Terraform's work.

        Raises:
            ToolError: RDS cannot be asked.
        """
        found = instances(context.aws, context.outputs["database"])
        primary = found[0]
        return f"PostgreSQL {primary.get('EngineVersion', '')}, {len(found) - 1} replicas"

    def verify(self, context: AwsHookContext) -> list[Check]:
        """Availability, protection, encryption, and settings that wait for a restart."""
        primary, *replicas = instances(context.aws, context.outputs["database"])
        wanted_multi_az, protected = aws(context.profile).multi_az, context.profile.protection.protected
        checks = [
            Check(
                "standby in another zone",
                bool(primary.get("MultiAZ")) == wanted_multi_az,
                _yes(primary, "MultiAZ"),
            ),
            Check("replicas", len(replicas) == context.profile.database.replicas, f"{len(replicas)}"),
        ]
        for instance in (primary, *replicas):
            checks += _checks(instance, protected=protected)
        return checks


def _checks(instance: dict[str, Any], *, protected: bool) -> list[Check]:
    name, status = instance["DBInstanceIdentifier"], str(instance.get("DBInstanceStatus", "unknown"))
    groups = {group["ParameterApplyStatus"] for group in instance.get("DBParameterGroups", [])}
    waiting = groups - {"in-sync"}
    return [
        Check(f"{name} is available", status in ("available", "backing-up", "storage-optimization"), status),
        Check(
            f"{name} is encrypted", bool(instance.get("StorageEncrypted")), _yes(instance, "StorageEncrypted")
        ),
        Check(
            f"{name} is private",
            not instance.get("PubliclyAccessible"),
            "reachable from the internet" if instance.get("PubliclyAccessible") else "private",
        ),
        Check(
            f"{name} is protected",
            bool(instance.get("DeletionProtection")) or not protected,
            _yes(instance, "DeletionProtection"),
        ),
        Check(
            f"{name} has its settings",
            not waiting,
            f"{', '.join(sorted(waiting))}: reboot it in the maintenance window" if waiting else "in-sync",
        ),
    ]


def _yes(instance: dict[str, Any], key: str) -> str:
    return "yes" if instance.get(key) else "no"
