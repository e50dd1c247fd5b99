"""Which arguments of a resource cannot change in place: hashicorp/aws marks them ``ForceNew``.

The typings that the schema is read from do not say it, so it is listed here for the types that the stack
uses and whose arguments a profile can change, from the provider's sources of 6.x (internal/service). Nested
arguments are not listed. ``region`` is one of every resource, and moves none.
"""

from __future__ import annotations

from typing import Final

EVERYWHERE: Final = ("region",)
ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    "aws_acm_certificate": ("domain_name", "validation_method"),
    "aws_backup_selection": ("iam_role_arn", "name", "plan_id", "resources"),
    "aws_backup_vault": ("kms_key_arn", "name"),
    "aws_backup_vault_lock_configuration": (
        "backup_vault_name",
        "changeable_for_days",
        "max_retention_days",
        "min_retention_days",
    ),
    "aws_budgets_budget": ("name",),
    "aws_cloudwatch_log_group": ("name",),
    "aws_cloudwatch_metric_alarm": ("alarm_name",),
    "aws_db_instance": (
        "availability_zone",
        "db_name",
        "engine",
        "kms_key_id",
        "storage_encrypted",
        "username",
    ),
    "aws_db_instance_automated_backups_replication": (
        "kms_key_id",
        "retention_period",
        "source_db_instance_arn",
    ),
    "aws_db_parameter_group": ("family", "name"),
    "aws_db_subnet_group": ("name",),
    "aws_eks_cluster": ("name", "role_arn"),
    "aws_eks_node_group": (
        "ami_type",
        "capacity_type",
        "cluster_name",
        "instance_types",
        "node_group_name",
        "node_role_arn",
        "subnet_ids",
    ),
    "aws_elasticache_replication_group": (
        "at_rest_encryption_enabled",
        "kms_key_id",
        "port",
        "replication_group_id",
        "subnet_group_name",
    ),
    "aws_elasticache_subnet_group": ("name",),
    "aws_kms_alias": ("name",),
    "aws_launch_template": ("name",),
    "aws_lb": ("internal", "load_balancer_type", "name"),
    "aws_lb_target_group": ("name", "port", "protocol", "target_type", "vpc_id"),
    "aws_nat_gateway": ("allocation_id", "subnet_id"),
    "aws_route53_record": ("name", "type", "zone_id"),
    "aws_s3_bucket": ("bucket", "object_lock_enabled"),
    "aws_security_group": ("description", "name", "vpc_id"),
    "aws_sns_topic_subscription": ("endpoint", "protocol", "topic_arn"),
    "aws_subnet": ("availability_zone", "cidr_block", "vpc_id"),
    "aws_vpc": ("cidr_block",),
    "aws_vpc_endpoint": ("service_name", "vpc_id"),
}
