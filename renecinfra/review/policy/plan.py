"""What a Terraform plan tells: the attributes that its resources will have."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from renecinfra.review.conditions import EVERYBODY, number
from renecinfra.review.policy.rules import Finding, finding
from renecinfra.terraform.plan import UNKNOWN, Plan

_WEB: Final = frozenset({80, 443})
_OLD_TLS: Final = ("SSLv3", "TLSv1", "TLSv1_2016", "TLSv1.1_2016")
_OLD_POLICIES: Final = ("ELBSecurityPolicy-2016-08", "ELBSecurityPolicy-TLS-1-0", "ELBSecurityPolicy-TLS-1-1")
_BACKUP_DAYS: Final = 7

Seen = tuple[str, str, object]
"""The rule, what is wrong, and the value."""


def check(plan: Plan, *, protected: bool) -> Iterator[Finding]:
    """Every violation among the resources that will be there."""
    for change in plan.changes:
        if change.action in ("delete", "forget", "read") or not isinstance(change.after, Mapping):
            continue
        look = _CHECKS.get(change.type)
        for rule, problem, value in look(change.after) if look is not None else ():
            if rule in _PRODUCTION and not protected:
                continue
            yield finding(rule, change.address, f"{change.address}: {problem}", evidence=value)


def count(plan: Plan) -> int:
    """How many resources there are that any rule is about."""
    return sum(change.type in _CHECKS and change.after is not None for change in plan.changes)


_PRODUCTION: Final = frozenset({"backups", "deletion-protection"})


def _is_off(value: Any) -> bool:
    """Off, or left at a provider's default of off; what is known only later is not held against it."""
    return value not in (True, "true", UNKNOWN)


def _database(one: Mapping[str, Any]) -> Iterator[Seen]:
    if _is_off(one.get("storage_encrypted")):
        yield "encryption-at-rest", "storage_encrypted is not true", one.get("storage_encrypted")
    if one.get("publicly_accessible") is True:
        yield "public-database", "publicly_accessible is true", True
    kept = one.get("backup_retention_period")
    days = number(kept)
    is_replica = one.get("replicate_source_db") not in (None, "")
    if not is_replica and kept != UNKNOWN and (days is None or days < _BACKUP_DAYS):
        yield "backups", f"backup_retention_period is less than {_BACKUP_DAYS} days", kept
    if _is_off(one.get("deletion_protection")):
        yield "deletion-protection", "deletion_protection is not true", one.get("deletion_protection")


def _redis(one: Mapping[str, Any]) -> Iterator[Seen]:
    if _is_off(one.get("at_rest_encryption_enabled")):
        yield "encryption-at-rest", "at_rest_encryption_enabled is not true", ""
    if _is_off(one.get("transit_encryption_enabled")):
        yield "encryption-in-transit", "transit_encryption_enabled is not true", ""


def _volume(one: Mapping[str, Any]) -> Iterator[Seen]:
    if _is_off(one.get("encrypted")):
        yield "encryption-at-rest", "encrypted is not true", one.get("encrypted")


def _bucket_access(one: Mapping[str, Any]) -> Iterator[Seen]:
    for name in ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"):
        if _is_off(one.get(name)):
            yield "public-bucket", f"{name} is not true", one.get(name)


def _bucket_acl(one: Mapping[str, Any]) -> Iterator[Seen]:
    if str(one.get("acl", "")).startswith("public"):
        yield "public-bucket", "its acl is public", one["acl"]


def _ingress(one: Mapping[str, Any]) -> Iterator[Seen]:
    sources = {one.get("cidr_ipv4"), one.get("cidr_ipv6"), *(one.get("cidr_blocks") or ())}
    ports = {one.get("from_port"), one.get("to_port")}
    if one.get("type", "ingress") == "ingress" and sources & EVERYBODY and not ports <= _WEB:
        yield (
            "open-ingress",
            f"ports {one.get('from_port')} to {one.get('to_port')} are open to everybody",
            "",
        )


def _group(one: Mapping[str, Any]) -> Iterator[Seen]:
    for rule in one.get("ingress") or ():
        if isinstance(rule, Mapping):
            yield from _ingress(rule)


def _policy(one: Mapping[str, Any]) -> Iterator[Seen]:
    try:
        document = json.loads(one.get("policy") or "{}")
    except (TypeError, ValueError):
        return  # known only after the apply
    statements = document.get("Statement", []) if isinstance(document, dict) else []
    for statement in statements if isinstance(statements, list) else [statements]:
        actions = statement.get("Action", [])
        resources = statement.get("Resource", [])
        wide = "*" in ([actions] if isinstance(actions, str) else actions)
        everywhere = "*" in ([resources] if isinstance(resources, str) else resources)
        if statement.get("Effect") == "Allow" and wide and everywhere:
            yield "least-privilege", "it allows every action on everything", statement.get("Sid", "")


def _listener(one: Mapping[str, Any]) -> Iterator[Seen]:
    actions = [
        action.get("type") for action in one.get("default_action") or () if isinstance(action, Mapping)
    ]
    if one.get("protocol") == "HTTP" and actions != ["redirect"]:
        yield "encryption-in-transit", "it answers in the clear and does not redirect", "HTTP"
    if str(one.get("ssl_policy") or "").startswith(_OLD_POLICIES):
        yield "tls-version", "its ssl_policy allows TLS 1.0 or 1.1", one["ssl_policy"]


def _distribution(one: Mapping[str, Any]) -> Iterator[Seen]:
    for certificate in one.get("viewer_certificate") or ():
        if isinstance(certificate, Mapping) and certificate.get("minimum_protocol_version") in _OLD_TLS:
            seen = certificate["minimum_protocol_version"]
            yield "tls-version", "viewers may speak TLS 1.0 or 1.1", seen
    for name in ("default_cache_behavior", "ordered_cache_behavior"):
        for behaviour in one.get(name) or ():
            if isinstance(behaviour, Mapping) and behaviour.get("viewer_protocol_policy") == "allow-all":
                yield "encryption-in-transit", "viewers may use plain HTTP", "allow-all"


def _key(one: Mapping[str, Any]) -> Iterator[Seen]:
    symmetric = one.get("customer_master_key_spec") in (None, "", "SYMMETRIC_DEFAULT", UNKNOWN)
    if symmetric and _is_off(one.get("enable_key_rotation")):
        yield "key-rotation", "enable_key_rotation is not true", one.get("enable_key_rotation")


def _logs(one: Mapping[str, Any]) -> Iterator[Seen]:
    if one.get("retention_in_days") in (None, 0):
        yield "log-retention", "logs are kept for ever", one.get("retention_in_days")


def _cluster(one: Mapping[str, Any]) -> Iterator[Seen]:
    kinds = one.get("enabled_cluster_log_types") or []
    if kinds != UNKNOWN and "audit" not in kinds:
        yield "audit-log", "enabled_cluster_log_types has no audit", ", ".join(map(str, kinds))
    for network in one.get("vpc_config") or ():
        if not isinstance(network, Mapping) or network.get("endpoint_public_access") is not True:
            continue
        if set(network.get("public_access_cidrs") or EVERYBODY) & EVERYBODY:
            yield "open-ingress", "its API is open to everybody", ""


def _template(one: Mapping[str, Any]) -> Iterator[Seen]:
    options = one.get("metadata_options") or [{}]
    if isinstance(options, list) and not any(
        isinstance(option, Mapping) and option.get("http_tokens") == "required" for option in options
    ):
        yield "instance-metadata", "metadata_options.http_tokens is not required", ""


_CHECKS: Final[Mapping[str, Callable[[Mapping[str, Any]], Iterator[Seen]]]] = {
    "aws_db_instance": _database,
    "aws_elasticache_replication_group": _redis,
    "aws_ebs_volume": _volume,
    "aws_efs_file_system": _volume,
    "aws_s3_bucket_public_access_block": _bucket_access,
    "aws_s3_bucket_acl": _bucket_acl,
    "aws_vpc_security_group_ingress_rule": _ingress,
    "aws_security_group_rule": _ingress,
    "aws_security_group": _group,
    "aws_iam_policy": _policy,
    "aws_iam_role_policy": _policy,
    "aws_lb_listener": _listener,
    "aws_cloudfront_distribution": _distribution,
    "aws_kms_key": _key,
    "aws_cloudwatch_log_group": _logs,
    "aws_eks_cluster": _cluster,
    "aws_launch_template": _template,
}
