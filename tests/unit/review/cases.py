"""Changes as `terraform show -json` tells them, with the grade that each must have.

Each is NAME, ADDRESS (its type is before the first dot), ACTIONS, BEFORE, AFTER, attributes that force a
replacement, and the expected grade.
"""

from __future__ import annotations

from typing import Any

CREATE, UPDATE, DELETE, REPLACE = ["create"], ["update"], ["delete"], ["delete", "create"]
SAFER_REPLACE = ["create", "delete"]
WORLD = "0.0.0.0/0"

Case = tuple[str, str, list[str], Any, Any, list[list[str]], str]


def update(name: str, address: str, before: dict[str, Any], after: dict[str, Any], grade: str) -> Case:
    return name, address, UPDATE, before, after, [], grade


def delete(name: str, address: str, grade: str) -> Case:
    return name, address, DELETE, {"id": "x"}, None, [], grade


def replace(name: str, address: str, attribute: str, grade: str, actions: list[str] = REPLACE) -> Case:
    return name, address, actions, {"id": "x", attribute: "a"}, {attribute: "b"}, [[attribute]], grade


def create(name: str, address: str, after: dict[str, Any], grade: str) -> Case:
    return name, address, CREATE, None, after, [], grade


RDS = "module.database.aws_db_instance.primary"
BUCKET = "module.storage.aws_s3_bucket.backups"

CASES: tuple[Case, ...] = (
    # databases
    create("a new database", RDS, {"deletion_protection": False}, "safe"),
    create("a new database with a public address", RDS, {"publicly_accessible": True}, "caution"),
    delete("a database goes", RDS, "stateful"),
    replace("a database is encrypted", RDS, "storage_encrypted", "stateful"),
    replace("a database is renamed", RDS, "identifier", "stateful", SAFER_REPLACE),
    update("a database grows", RDS, {"allocated_storage": 20}, {"allocated_storage": 100}, "safe"),
    update(
        "a larger instance",
        RDS,
        {"instance_class": "db.t4g.medium"},
        {"instance_class": "db.m7g.large"},
        "caution",
    ),
    update("a new minor version", RDS, {"engine_version": "16.3"}, {"engine_version": "16.4"}, "caution"),
    update("a standby more", RDS, {"multi_az": False}, {"multi_az": True}, "safe"),
    update("a standby less", RDS, {"multi_az": True}, {"multi_az": False}, "caution"),
    update(
        "the protection goes", RDS, {"deletion_protection": True}, {"deletion_protection": False}, "stateful"
    ),
    update(
        "the protection comes", RDS, {"deletion_protection": False}, {"deletion_protection": True}, "safe"
    ),
    update(
        "backups are kept longer",
        RDS,
        {"backup_retention_period": 7},
        {"backup_retention_period": 35},
        "safe",
    ),
    update(
        "backups are kept shorter",
        RDS,
        {"backup_retention_period": 35},
        {"backup_retention_period": 7},
        "stateful",
    ),
    update(
        "no last snapshot", RDS, {"skip_final_snapshot": False}, {"skip_final_snapshot": True}, "stateful"
    ),
    update("a database is labelled", RDS, {"tags": {"a": "1"}}, {"tags": {"a": "2"}}, "safe"),
    update(
        "an unlisted setting of a database", RDS, {"license_model": "a"}, {"license_model": "b"}, "caution"
    ),
    update(
        "labels and the protection",
        RDS,
        {"tags": {}, "deletion_protection": True},
        {"tags": {"a": "b"}, "deletion_protection": False},
        "stateful",
    ),
    delete("the other region's backups go", "aws_db_instance_automated_backups_replication.this", "stateful"),
    # Redis
    replace("Redis is encrypted at rest", "aws_elasticache_replication_group.broker", "at_rest", "stateful"),
    update(
        "a Redis replica less",
        "aws_elasticache_replication_group.broker",
        {"num_cache_clusters": 3},
        {"num_cache_clusters": 2},
        "caution",
    ),
    update(
        "a Redis replica more",
        "aws_elasticache_replication_group.broker",
        {"num_cache_clusters": 2},
        {"num_cache_clusters": 3},
        "safe",
    ),
    # buckets, keys, vaults, logs
    delete("a bucket goes", BUCKET, "stateful"),
    replace("a bucket is renamed", BUCKET, "bucket", "stateful"),
    update("a bucket may be deleted", BUCKET, {"force_destroy": False}, {"force_destroy": True}, "stateful"),
    update(
        "a bucket forgets versions",
        "aws_s3_bucket_versioning.backups",
        {"versioning_configuration": [{"status": "Enabled"}]},
        {"versioning_configuration": [{"status": "Suspended"}]},
        "stateful",
    ),
    update(
        "a bucket may be made public",
        "aws_s3_bucket_public_access_block.backups",
        {"block_public_acls": True},
        {"block_public_acls": False},
        "caution",
    ),
    create(
        "a block of public access that blocks nothing",
        "aws_s3_bucket_public_access_block.backups",
        {"block_public_acls": False},
        "caution",
    ),
    update(
        "objects are expired",
        "aws_s3_bucket_lifecycle_configuration.backups",
        {"rule": [{"expiration": [{"days": 90}]}]},
        {"rule": [{"expiration": [{"days": 9}]}]},
        "stateful",
    ),
    delete("a key goes", "module.keys.aws_kms_key.data", "stateful"),
    update("a key is disabled", "aws_kms_key.data", {"is_enabled": True}, {"is_enabled": False}, "stateful"),
    update(
        "a key is rotated",
        "aws_kms_key.data",
        {"enable_key_rotation": False},
        {"enable_key_rotation": True},
        "safe",
    ),
    update(
        "a backup plan keeps less",
        "aws_backup_plan.this",
        {"rule": [{"lifecycle": [{"delete_after": 35}]}]},
        {"rule": [{"lifecycle": [{"delete_after": 7}]}]},
        "stateful",
    ),
    update(
        "a backup plan keeps more",
        "aws_backup_plan.this",
        {"rule": [{"lifecycle": [{"delete_after": 7}]}]},
        {"rule": [{"lifecycle": [{"delete_after": 35}]}]},
        "safe",
    ),
    delete("nothing is selected for backups", "aws_backup_selection.this", "stateful"),
    update(
        "logs that were kept for ever expire",
        "aws_cloudwatch_log_group.audit",
        {"retention_in_days": 0},
        {"retention_in_days": 365},
        "stateful",
    ),
    update(
        "logs are kept for ever",
        "aws_cloudwatch_log_group.audit",
        {"retention_in_days": 365},
        {"retention_in_days": 0},
        "safe",
    ),
    # network, cluster, edge
    create("a rule for everybody", "aws_vpc_security_group_ingress_rule.a", {"cidr_ipv4": WORLD}, "caution"),
    create("a rule for some", "aws_vpc_security_group_ingress_rule.a", {"cidr_ipv4": "10.0.0.0/8"}, "safe"),
    update(
        "a group is opened",
        "aws_security_group.a",
        {"ingress": [{"cidr_blocks": ["10.0.0.0/8"]}]},
        {"ingress": [{"cidr_blocks": [WORLD]}]},
        "caution",
    ),
    replace("a network is made again", "aws_vpc.this", "cidr_block", "stateful"),
    delete("a fixed address is given up", "aws_eip.nat[0]", "caution"),
    delete("a cluster goes", "module.cluster.aws_eks_cluster.this", "stateful"),
    update(
        "a cluster is upgraded", "aws_eks_cluster.this", {"version": "1.32"}, {"version": "1.33"}, "caution"
    ),
    update(
        "nodes more",
        "aws_eks_node_group.this",
        {"scaling_config": [{"desired_size": 3, "max_size": 6}]},
        {"scaling_config": [{"desired_size": 4, "max_size": 8}]},
        "safe",
    ),
    update(
        "nodes less",
        "aws_eks_node_group.this",
        {"scaling_config": [{"desired_size": 4, "max_size": 8}]},
        {"scaling_config": [{"desired_size": 3, "max_size": 8}]},
        "caution",
    ),
    replace(
        "a certificate for another name", "aws_acm_certificate.edge", "domain_name", "caution", SAFER_REPLACE
    ),
    update("a role may do more", "aws_iam_role_policy.ci", {"policy": "{}"}, {"policy": "{...}"}, "caution"),
    create("a new role", "aws_iam_role.ci", {"name": "ci"}, "caution"),
    update(
        "an alarm's threshold", "aws_cloudwatch_metric_alarm.a", {"threshold": 1}, {"threshold": 2}, "safe"
    ),
    delete("an alarm goes", "aws_cloudwatch_metric_alarm.a", "caution"),
    # the local stack
    replace(
        "the primary restarts",
        'terraform_data.foundation["postgresql-primary"]',
        "triggers_replace",
        "caution",
    ),
    delete("the primary goes", 'terraform_data.foundation["postgresql-primary"]', "stateful"),
    delete("the replica goes", 'terraform_data.database["postgresql-replica"]', "caution"),
    delete("an API process less", 'terraform_data.workload["api-2"]', "caution"),
    create("an API process more", 'terraform_data.workload["api-3"]', {"input": {}}, "safe"),
    delete("OpenBao goes", 'terraform_data.secrets["openbao"]', "stateful"),
    delete("the queues go", 'terraform_data.foundation["redis-broker"]', "stateful"),
    # what nobody has said anything of
    create("an unknown type", "example_thing.a", {"a": 1}, "safe"),
    update("an unknown type changes", "example_thing.a", {"a": 1}, {"a": 2}, "caution"),
    delete("an unknown type goes", "example_thing.a", "stateful"),
    replace("an unknown type is replaced", "example_thing.a", "a", "stateful"),
    ("a database is forgotten", RDS, ["forget"], {"id": "x"}, None, [], "caution"),
)


def document(case: Case) -> dict[str, Any]:
    """A plan with the one change."""
    _, address, actions, before, after, paths, _ = case
    parts = address.split(".")
    kind = parts[2] if parts[0] == "module" else parts[0]
    change = {"actions": actions, "before": before, "after": after, "replace_paths": paths}
    return {
        "format_version": "1.2",
        "terraform_version": "1.11.4",
        "resource_changes": [{"address": address, "type": kind, "change": change}],
    }
