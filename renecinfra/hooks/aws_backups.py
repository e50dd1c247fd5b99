"""Backups in AWS: whether they are taken, recent, kept long enough, and copied to the other region."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from renecinfra.hooks.protocol import AwsHookContext, Check
from renecinfra.platforms.aws.databases import TRAILING, copied_backups, instances
from renecinfra.platforms.aws.faults import code_of, told
from renecinfra.profiles.base import format_duration

_FIRST_BACKUP: Final = timedelta(hours=26)
"""A new environment has its first copy and its first vault's backup after the first night."""
_MISSING: Final = ("ReplicationConfigurationNotFoundError", "404", "NoSuchBucket")


class BackupsHook:
    """Looks at what RDS, AWS Backup and S3 have; Terraform has set them up."""

    name = "backups"
    needs: tuple[str, ...] = ("database",)

    def run(self, context: AwsHookContext) -> str:
        """Nothing is to be done: backups begin by themselves.

        Raises:
            ToolError: AWS cannot be asked.
        """
        primary = instances(context.aws, context.outputs["database"])[0]
        newest = primary.get("LatestRestorableTime")
        return (
            f"restorable until {newest:%Y-%m-%d %H:%M:%S} UTC"
            if newest
            else "the first backup is being taken"
        )

    def verify(self, context: AwsHookContext) -> list[Check]:
        """RDS's own backups, their copies, the vault's, and the bucket's replication."""
        primary = instances(context.aws, context.outputs["database"])[0]
        new = datetime.now(UTC) - _created(primary) < _FIRST_BACKUP
        return [
            *_own(context, primary),
            _copies(context, primary, new=new),
            *_vaults(context, new=new),
            _replication(context),
        ]


def _created(instance: dict[str, Any]) -> datetime:
    found = instance.get("InstanceCreateTime")
    return found if isinstance(found, datetime) else datetime.now(UTC)


def _own(context: AwsHookContext, primary: dict[str, Any]) -> list[Check]:
    wanted, kept = context.profile.backups.retention.days, int(primary.get("BackupRetentionPeriod", 0))
    newest = primary.get("LatestRestorableTime")
    allowed = max(context.profile.backups.rpo, TRAILING)
    if isinstance(newest, datetime):
        behind = datetime.now(UTC) - newest
        detail = f"{format_duration(timedelta(seconds=max(0, int(behind.total_seconds()))))} behind"
        recent = Check("backups are recent", behind <= allowed, detail)
    else:
        recent = Check("backups are recent", True, "the first backup is being taken")
    return [Check("backups are kept", kept == wanted, f"{kept} days, and the profile says {wanted}"), recent]


def _copies(context: AwsHookContext, primary: dict[str, Any], *, new: bool) -> Check:
    region = context.aws.platform.backup_region
    found = copied_backups(context.aws, str(primary["DBInstanceIdentifier"]))
    bad = [one for one in found if one.get("Status") not in ("active", "replicating", "pending", None)]
    if bad:
        return Check(f"backups are copied to {region}", False, f"the copy is {bad[0].get('Status')}")
    if not found:
        detail = "there is no copy yet" if new else "there is no copy"
        return Check(f"backups are copied to {region}", new, detail)
    return Check(f"backups are copied to {region}", True, f"{len(found)} backups")


def _vaults(context: AwsHookContext, *, new: bool) -> list[Check]:
    checks = []
    for region, vault in sorted(context.outputs["backup"]["vaults"].items()):
        with told(f"asking AWS Backup for the vault in {region}"):
            answer = context.aws.client("backup", region).describe_backup_vault(BackupVaultName=vault)
        count = int(answer.get("NumberOfRecoveryPoints", 0))
        checks.append(Check(f"vault {vault} in {region}", count > 0 or new, f"{count} recovery points"))
    return checks


def _replication(context: AwsHookContext) -> Check:
    bucket = context.outputs["storage"]["backups"]
    name = f"bucket {bucket} is copied"
    with told(f"asking how {bucket} is copied"):
        try:
            answer = context.aws.client("s3").get_bucket_replication(Bucket=bucket)
        except Exception as error:
            if code_of(error) in _MISSING:
                return Check(name, False, "it is not replicated")
            raise
    rules = answer["ReplicationConfiguration"]["Rules"]
    on = [rule for rule in rules if rule.get("Status") == "Enabled"]
    return Check(name, bool(on), f"{len(on)} of {len(rules)} rules are on")
