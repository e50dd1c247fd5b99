"""What an environment in AWS needs beyond its own section, and numbers that must fit the machines."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from renecinfra.profiles.aws import AwsPlatform
from renecinfra.profiles.base import format_duration, format_size
from renecinfra.profiles.instances import cache_memory, machine
from renecinfra.profiles.model import Profile
from renecinfra.profiles.policy.rule import Rule, Violation

_ID: Final = "profile-aws"
_LONGEST_NAME: Final = 18
_LONGEST_TIMEOUT: Final = timedelta(seconds=115)
_RDS_DAYS: Final = range(1, 36)
# The network plug-in takes addresses in blocks of 16: this many for a node's 110 pods, and one block ahead.
_ADDRESSES_PER_NODE: Final = 128
_RESERVED_ADDRESSES: Final = 5  # of each subnet, by AWS
_DAILY: Final = re.compile(r"[0-9]{1,2} [0-9]{1,2} \* \* \*")


def required(profile: Profile) -> Iterator[Violation]:
    """What has no default that would be right."""
    platform = profile.platform
    if not isinstance(platform, AwsPlatform):
        return
    wanted = {
        ("platform", "hosted_zone"): (platform.hosted_zone, "name the zone that edge.host is in"),
        ("platform", "administrators"): (platform.administrators, "name a role: nobody else could deploy"),
        ("platform", "alarm_emails"): (platform.alarm_emails, "say who is told when the monitoring is down"),
        ("platform", "monthly_budget"): (platform.monthly_budget, "say what a month may cost, in US dollars"),
        ("database", "version"): (profile.database.version, "name PostgreSQL's major version"),
        ("database", "instance_type"): (profile.database.instance_type, "such as db.m7g.large"),
        ("cache", "broker", "instance_type"): (profile.cache.broker.instance_type, "such as cache.m7g.large"),
        ("cache", "cache", "instance_type"): (profile.cache.cache.instance_type, "such as cache.m7g.large"),
    }
    for path, (value, hint) in wanted.items():
        if not value:
            yield Violation(_ID, path, f"{'.'.join(path)} is missing: an environment on AWS needs it", hint)
    if profile.terraform.backend.kind != "s3":
        message = "terraform.backend.kind must be s3 on AWS: one laptop must not hold the state"
        yield Violation(
            "profile-backend", ("terraform", "backend", "kind"), message, "name a bucket, a key and a KMS key"
        )
    if profile.edge.tls != "acm":
        message = "edge.tls must be acm on AWS: CloudFront takes no other certificates"
        yield Violation("profile-tls", ("edge", "tls"), message, "write `tls: acm`")


def limits(profile: Profile) -> Iterator[Violation]:
    """What AWS refuses, said before it is asked."""
    if not isinstance(profile.platform, AwsPlatform):
        return
    if len(profile.environment) > _LONGEST_NAME:
        message = f"environment must have at most {_LONGEST_NAME} characters on AWS"
        yield Violation(_ID, ("environment",), message, "load balancers take no longer names")
    days = profile.backups.retention / timedelta(days=1)
    if days not in _RDS_DAYS:
        message = f"backups.retention is {format_duration(profile.backups.retention)}; RDS keeps 1d to 35d"
        yield Violation(_ID, ("backups", "retention"), message, "choose whole days between 1d and 35d")
    if not _DAILY.fullmatch(profile.backups.schedule):
        message = "backups.schedule must be one time a day on AWS, as 30 1 * * *"
        yield Violation(_ID, ("backups", "schedule"), message, "RDS takes one snapshot a day")
    if profile.edge.upstream_timeout > _LONGEST_TIMEOUT:
        message = f"edge.upstream_timeout must be at most {format_duration(_LONGEST_TIMEOUT)} on AWS"
        yield Violation(_ID, ("edge", "upstream_timeout"), message, "CloudFront waits 120 seconds at most")


def network(profile: Profile) -> Iterator[Violation]:
    """Subnets that are too small for AWS, or for the nodes that autoscaling makes."""
    platform = profile.platform
    if not isinstance(platform, AwsPlatform):
        return
    vpc = ipaddress.IPv4Network(platform.vpc_cidr)
    path, hint = ("platform", "vpc_cidr"), "choose a larger network"
    if vpc.prefixlen > 22:
        message = "platform.vpc_cidr must be /22 or larger: a zone's data subnet is 1/64 of it, at least /28"
        yield Violation("profile-sizing", path, message, hint)
        return
    room = platform.zones * (vpc.num_addresses // 8 - _RESERVED_ADDRESSES)
    needed = platform.nodes_max * _ADDRESSES_PER_NODE
    if needed > room:
        message = (
            f"platform.vpc_cidr has {room} addresses for pods, and {platform.nodes_max} nodes x "
            f"{_ADDRESSES_PER_NODE} = {needed} may be taken"
        )
        yield Violation("profile-sizing", path, message, f"{hint}, or lower platform.nodes_max")


def memory(profile: Profile) -> Iterator[Violation]:
    """PostgreSQL and Valkey that want more memory than their machines have."""
    if not isinstance(profile.platform, AwsPlatform):
        return
    database = profile.database
    found = machine(database.instance_type or "")
    if found is not None and database.shared_buffers > found.memory * 0.4:
        message = (
            f"database.shared_buffers {format_size(database.shared_buffers)} is more than 40 % of "
            f"{database.instance_type}, which has {format_size(found.memory)}"
        )
        yield Violation("profile-sizing", ("database", "shared_buffers"), message, "lower it: 25 % is usual")
    # One busy sort for each connection that the pooler lends, beside the cache.
    wanted = database.shared_buffers + database.max_connections * (10 * 2**20)
    if found is not None and wanted > found.memory:
        message = (
            f"database.max_connections {database.max_connections} x 10Mi + shared_buffers "
            f"{format_size(database.shared_buffers)} is more than {database.instance_type} has "
            f"({format_size(found.memory)})"
        )
        hint = "lower them or take a larger database.instance_type"
        yield Violation("profile-sizing", ("database", "max_connections"), message, hint)
    for name in ("broker", "cache"):
        instance = getattr(profile.cache, name)
        usable = cache_memory(instance.instance_type or "")
        if usable is not None and instance.max_memory > usable * 0.75:
            message = (
                f"cache.{name}.max_memory {format_size(instance.max_memory)} is more than 75 % of what "
                f"{instance.instance_type} offers ({usable // 2**20}Mi); the rest is for snapshots"
            )
            hint = "lower it or take a larger instance_type"
            yield Violation("profile-sizing", ("cache", name, "max_memory"), message, hint)


def storage(profile: Profile) -> Iterator[Violation]:
    """Storage that cannot grow, or that is smaller than RDS has it."""
    platform = profile.platform
    if not isinstance(platform, AwsPlatform):
        return
    if profile.database.storage < 20 * 2**30:
        message = "database.storage must be at least 20Gi on AWS"
        yield Violation("profile-sizing", ("database", "storage"), message, "RDS has no smaller gp3 volumes")
    if platform.storage_max is not None and platform.storage_max < profile.database.storage * 1.26:
        message = "platform.storage_max must be at least 26 % above database.storage"
        yield Violation("profile-sizing", ("platform", "storage_max"), message, "raise it, or leave it out")


def protected(profile: Profile) -> Iterator[Violation]:
    """A protected environment that the loss of a zone takes down."""
    platform = profile.platform
    if not isinstance(platform, AwsPlatform) or not profile.protection.protected:
        return
    path = ("platform", "multi_az")
    if not platform.multi_az:
        message = "platform.multi_az must be true for a protected environment"
        yield Violation("profile-protected", path, message, "set it, or take protection away")
    if platform.nat_gateways not in (None, platform.zones):
        message = f"platform.nat_gateways must be {platform.zones} for a protected environment, one a zone"
        yield Violation("profile-protected", ("platform", "nat_gateways"), message, "leave it out")
    if platform.cache_nodes < 2:
        message = "platform.cache_nodes must be at least 2 for a protected environment"
        yield Violation("profile-protected", ("platform", "cache_nodes"), message, "raise it")


RULES: tuple[Rule, ...] = (required, limits, network, memory, storage, protected)
