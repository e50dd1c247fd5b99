"""What an instance that RDS restores is like: as the profile says, since the one before may be gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from renecinfra.errors import ToolError
from renecinfra.platforms.aws import variables as values
from renecinfra.platforms.aws.clients import Aws
from renecinfra.platforms.aws.faults import told
from renecinfra.profiles.model import Profile


def restored_shape(profile: Profile, aws: Aws, marks: Mapping[str, str]) -> dict[str, Any]:
    """The settings that a restore takes, with the environment's tags and ``marks``. The rest is Terraform's.

    Raises:
        ToolError: the network that it belongs in is not there.
    """
    base = values.name(profile)
    tags = {**values.tags(profile), **marks}
    return {
        "DBInstanceClass": profile.database.instance_type,
        "DBSubnetGroupName": base,
        "VpcSecurityGroupIds": [_security_group(profile, aws)],
        "DBParameterGroupName": f"{base}-postgres{profile.database.version}",
        "MultiAZ": values.aws(profile).multi_az,
        "PubliclyAccessible": False,
        "EnableIAMDatabaseAuthentication": True,
        "AutoMinorVersionUpgrade": True,
        "CopyTagsToSnapshot": True,
        "DeletionProtection": profile.protection.protected,
        "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())],
    }


def _security_group(profile: Profile, aws: Aws) -> str:
    name = f"{values.name(profile)}-database"
    with told(f"asking EC2 for security group {name}"):
        answer = aws.client("ec2").describe_security_groups(
            Filters=[{"Name": "group-name", "Values": [name]}]
        )
    groups = answer["SecurityGroups"]
    if len(groups) != 1:
        raise ToolError(
            "restore-no-network",
            f"there are {len(groups)} security groups {name}, and the restored instance needs the one",
            hint=f"run `renecinfra up {profile.environment}`, which makes the network; then restore again",
        )
    return str(groups[0]["GroupId"])
