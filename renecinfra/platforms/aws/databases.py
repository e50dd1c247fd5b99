"""What RDS says of the environment's instances and of their backups."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from renecinfra.platforms.aws.clients import Aws
from renecinfra.platforms.aws.faults import told

TRAILING: Final = timedelta(minutes=10)
"""RDS ships its log every five minutes, so that the newest point to restore to is this far behind at most."""


def instances(aws: Aws, database: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The primary and its replicas, in this order, as RDS describes them.

    ``database`` is that output of the stack.

    Raises:
        ToolError: RDS cannot be asked, or has no such instance.
    """
    rds = aws.client("rds")
    found = []
    for name in (database["identifier"], *database["replicas"]):
        with told(f"asking RDS for {name}"):
            found.append(dict(rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]))
    return found


def copied_backups(aws: Aws, identifier: str) -> list[dict[str, Any]]:
    """The automated backups of an instance that are copied to the backup region.

    Raises:
        ToolError: RDS cannot be asked.
    """
    rds = aws.client("rds", aws.platform.backup_region)
    with told("asking RDS for backups in the backup region"):
        answer = rds.describe_db_instance_automated_backups(
            Filters=[{"Name": "db-instance-id", "Values": [identifier]}]
        )
    return [dict(one) for one in answer.get("DBInstanceAutomatedBackups", [])]
