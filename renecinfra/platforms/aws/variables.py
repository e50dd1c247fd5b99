"""From a profile to the values of the AWS stack's variables. Pure; every number is the profile's."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Any, Final

from renecinfra.profiles.aws import AwsPlatform
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import S3Backend

GIB: Final = 2**30
EDGE_PORT: Final = 8443
"""Where the edge's pods serve HTTPS; the chart's own number."""
HEALTH_PATH: Final = "/health"
NAMESPACE: Final = "renec"
MONITORING_NAMESPACE: Final = "monitoring"
FINAL_SNAPSHOT: Final = "final"
_STORAGE_FACTOR: Final = 5
_ANSWER_SPARE: Final = timedelta(seconds=5)
_BACKUP_LATER: Final = 3
"""Hours from RDS's own snapshot to AWS Backup's: the two must not meet."""


def aws(profile: Profile) -> AwsPlatform:
    """The platform section; only for code that runs for AWS."""
    assert isinstance(profile.platform, AwsPlatform), f"{profile.environment} does not run on AWS"
    return profile.platform


def backend(profile: Profile) -> S3Backend:
    """The backend section; a loaded profile on AWS has no other."""
    found = profile.terraform.backend
    assert isinstance(found, S3Backend), f"{profile.environment} keeps its state in no bucket"
    return found


def name(profile: Profile) -> str:
    """What the environment's resources are named: cluster and database, and the beginning of the rest."""
    return f"renec-{profile.environment}"


def partition(platform: AwsPlatform) -> str:
    """The AWS partition of the region."""
    if platform.region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if platform.region.startswith("us-gov-") else "aws"


def state_key_arn(profile: Profile) -> str:
    """The KMS key of the state as an ARN: the backend takes no bare alias."""
    found, platform = backend(profile), aws(profile)
    if not found.kms_key.startswith("alias/"):
        return found.kms_key
    return f"arn:{partition(platform)}:kms:{found.region}:{platform.account}:{found.kms_key}"


def tags(profile: Profile) -> dict[str, str]:
    """The tags of every resource. The environment's own name wins: the budget counts by it."""
    return {**aws(profile).tags, "Environment": profile.environment, "ManagedBy": "renecinfra"}


def variables(
    profile: Profile,
    password_version: int,
    *,
    protected: bool | None = None,
    final_snapshot: str = FINAL_SNAPSHOT,
) -> dict[str, Any]:
    """The stack's variables, but for the ephemeral ones.

    Args:
        profile: the environment's.
        password_version: the version of the caches' password; a new one makes them take it.
        protected: another value than the profile's, for the end of an environment.
        final_snapshot: what ends the names of the last snapshots.
    """
    platform = aws(profile)
    return {
        "environment": profile.environment,
        "account": platform.account,
        "region": platform.region,
        "backup_region": platform.backup_region,
        "tags": tags(profile),
        "network": {
            "cidr": platform.vpc_cidr,
            "zones": platform.zone_list,
            "nat_gateways": platform.nat_gateways or platform.zones,
            "interface_endpoints": sorted(platform.interface_endpoints),
        },
        "cluster": _cluster(platform),
        "database": _database(profile),
        "cache": _cache(profile, password_version),
        "edge": {
            "host": profile.edge.host,
            "zone_id": platform.hosted_zone,
            "target_port": EDGE_PORT,
            "health_path": HEALTH_PATH,
            "timeout_seconds": int((profile.edge.upstream_timeout + _ANSWER_SPARE).total_seconds()),
            "rate_limit": platform.web_rate_limit,
        },
        "operations": {
            **_operations(profile),
            "protected": profile.protection.protected if protected is None else protected,
            "final_snapshot": final_snapshot,
        },
        "github": _github(profile),
    }


def _cluster(platform: AwsPlatform) -> dict[str, Any]:
    return {
        "kubernetes_version": platform.kubernetes_version,
        "api_allowed_cidrs": platform.api_allowed_cidrs,
        "administrators": platform.administrators,
        "node_type": platform.node_type,
        "node_disk_gib": platform.node_disk // GIB,
        "nodes_min": platform.nodes_min,
        "nodes_max": platform.nodes_max,
        "namespace": NAMESPACE,
        "monitoring_namespace": MONITORING_NAMESPACE,
    }


def storage_max(profile: Profile) -> int:
    """How far the database's storage grows, in bytes."""
    return aws(profile).storage_max or profile.database.storage * _STORAGE_FACTOR


def _database(profile: Profile) -> dict[str, Any]:
    database = profile.database
    return {
        "name": database.name,
        "version": database.version,
        "instance_type": database.instance_type,
        "replicas": database.replicas,
        "multi_az": aws(profile).multi_az,
        "storage_gib": database.storage // GIB,
        "storage_max_gib": storage_max(profile) // GIB,
        "max_connections": database.max_connections,
        "shared_buffers_kib": database.shared_buffers // 1024,
        "work_mem_kib": database.work_mem // 1024,
        "maintenance_work_mem_kib": database.maintenance_work_mem // 1024,
    }


def _cache(profile: Profile, password_version: int) -> dict[str, Any]:
    nodes, days = aws(profile).cache_nodes, profile.backups.retention.days
    return {
        "password_version": password_version,
        "groups": {
            "broker": {
                "node_type": profile.cache.broker.instance_type,
                "nodes": nodes,
                "snapshot_days": days,
            },
            "cache": {"node_type": profile.cache.cache.instance_type, "nodes": nodes, "snapshot_days": 0},
        },
    }


def _operations(profile: Profile) -> dict[str, Any]:
    platform = aws(profile)
    minute, hour = (int(part) for part in profile.backups.schedule.split()[:2])
    begin = time(hour, minute)
    return {
        "retention_days": profile.backups.retention.days,
        "backup_window": _window(begin, timedelta(minutes=30)),
        "snapshot_window": _window(begin, timedelta(hours=1)),
        "backup_schedule": f"cron({minute} {(hour + _BACKUP_LATER) % 24} * * ? *)",
        "maintenance_window": platform.maintenance_window,
        "log_retention_days": platform.log_retention_days,
        "alarm_emails": platform.alarm_emails,
        "runbook_url": profile.monitoring.runbook_url,
        "replication_lag_seconds": int(profile.monitoring.slo.replication_lag.total_seconds()),
        "monthly_usd": platform.monthly_budget,
    }


def _window(begin: time, length: timedelta) -> str:
    minutes = begin.hour * 60 + begin.minute
    end = (minutes + int(length.total_seconds() // 60)) % (24 * 60)
    return f"{begin:%H:%M}-{end // 60:02}:{end % 60:02}"


def _github(profile: Profile) -> dict[str, Any] | None:
    github, state = aws(profile).github, backend(profile)
    if github is None:
        return None
    return {
        "repository": github.repository,
        "create_provider": github.create_provider,
        "state_bucket": state.bucket,
        "state_key": state.key,
        "state_key_alias": state.kms_key,
    }
