"""What must hold in AWS before an environment is planned or applied. Asks, and changes nothing."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from renecinfra.errors import ToolError
from renecinfra.platforms.aws import variables as values
from renecinfra.platforms.aws.clients import Aws
from renecinfra.platforms.aws.faults import code_of, told
from renecinfra.profiles.base import format_duration
from renecinfra.profiles.instances import machine
from renecinfra.profiles.model import Profile

LONGEST_APPLY: Final = timedelta(minutes=75)
"""A cluster, a Multi-AZ database and a distribution, one after the other, on a slow day."""
AUTOSCALING_ROLE: Final = "AWSServiceRoleForAutoScaling"
AUTOSCALING: Final = "autoscaling.amazonaws.com"
_QUOTAS: Final = {
    "VPCs of the region": ("vpc", "L-F678F1CE"),
    "elastic addresses of the region": ("ec2", "L-0263D0A3"),
    "vCPUs of on-demand instances": ("ec2", "L-1216C47A"),
    "database instances": ("rds", "L-7B6409FD"),
}

Result = Literal["ok", "warn", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``warn`` does not stop an `up`."""

    name: str
    result: Result
    detail: str
    hint: str | None = None


def preflight(profile: Profile, aws: Aws, *, applying: bool) -> list[Finding]:
    """Look at everything; ``applying`` asks that the credentials outlive an apply.

    Raises:
        ToolError: AWS cannot be asked at all: no valid credentials, the wrong account, no network.
    """
    caller = aws.require_account()
    looks: list[Callable[[], list[Finding]]] = [
        lambda: [_credentials(aws, applying=applying)],
        lambda: _zones(aws),
        lambda: [_hosted_zone(profile, aws)],
        lambda: [_service_role(aws)],
        lambda: list(_overlaps(profile, aws)),
        lambda: list(_quotas(profile, aws)),
    ]
    with ThreadPoolExecutor(len(looks), thread_name_prefix="preflight") as pool:
        found = list(pool.map(lambda look: look(), looks))
    first = Finding("account", "ok", f"{caller.account}, as {caller.arn.rpartition(':')[2]}")
    return [first, *(finding for findings in found for finding in findings)]


def require(findings: list[Finding]) -> None:
    """Stop where one failed.

    Raises:
        ToolError: ``aws-preflight``, with every one that failed.
    """
    failed = [finding for finding in findings if finding.result == "failed"]
    if failed:
        first, *others = failed
        raise ToolError(
            "aws-preflight",
            f"{first.name}: {first.detail}",
            hint=first.hint,
            details=tuple(f"also {f.name}: {f.detail} ({f.hint})" for f in others),
        )


def _credentials(aws: Aws, *, applying: bool) -> Finding:
    left = aws.credentials_left()
    if left is None:
        return Finding("credentials", "ok", "valid; how long, nobody says")
    text = f"valid for {format_duration(timedelta(seconds=max(0, int(left.total_seconds()))))}"
    if applying and left < LONGEST_APPLY:
        return Finding(
            "credentials",
            "failed",
            f"{text}; an apply may take {format_duration(LONGEST_APPLY)}",
            "log in again, with a longer session",
        )
    return Finding("credentials", "ok", text)


def _zones(aws: Aws) -> list[Finding]:
    wanted = aws.platform.zone_list
    with told("asking EC2 for the region's zones"):
        answer = aws.client("ec2").describe_availability_zones(
            Filters=[{"Name": "opt-in-status", "Values": ["opt-in-not-required", "opted-in"]}]
        )
    available = {zone["ZoneName"] for zone in answer["AvailabilityZones"] if zone.get("State") == "available"}
    missing = [zone for zone in wanted if zone not in available]
    if missing:
        detail = f"the account has no {', '.join(missing)}; it has {', '.join(sorted(available))}"
        return [Finding("zones", "failed", detail, "name platform.zone_names")]
    return [Finding("zones", "ok", ", ".join(wanted))]


def _hosted_zone(profile: Profile, aws: Aws) -> Finding:
    zone_id, host = aws.platform.hosted_zone, profile.edge.host
    hint = "name the public zone that edge.host is in as platform.hosted_zone"
    try:
        zone = aws.client("route53").get_hosted_zone(Id=zone_id)["HostedZone"]
    except Exception as error:
        if code_of(error) == "NoSuchHostedZone":
            return Finding("hosted zone", "failed", f"the account has no hosted zone {zone_id}", hint)
        with told("asking Route 53 for the hosted zone"):
            raise
    name = str(zone["Name"]).rstrip(".")
    if host != name and not host.endswith(f".{name}"):
        return Finding("hosted zone", "failed", f"{zone_id} is {name}, and edge.host is {host}", hint)
    if zone.get("Config", {}).get("PrivateZone"):
        return Finding("hosted zone", "failed", f"{name} is a private zone: nobody could see the host", hint)
    return Finding("hosted zone", "ok", name)


def service_role_exists(aws: Aws) -> bool:
    """Whether the account has Autoscaling's own role, which the disks' key names."""
    try:
        aws.client("iam").get_role(RoleName=AUTOSCALING_ROLE)
    except Exception as error:
        if code_of(error) in ("NoSuchEntity", "NoSuchEntityException"):
            return False
        with told("asking IAM for a service-linked role"):
            raise
    return True


def _service_role(aws: Aws) -> Finding:
    if service_role_exists(aws):
        return Finding("service-linked roles", "ok", AUTOSCALING_ROLE)
    detail = f"{AUTOSCALING_ROLE} is not there yet; `up` makes it"
    return Finding("service-linked roles", "warn", detail)


def _overlaps(profile: Profile, aws: Aws) -> Iterator[Finding]:
    """Other networks with the same addresses: no harm until the two are to be connected."""
    ours = ipaddress.IPv4Network(aws.platform.vpc_cidr)
    with told("asking EC2 for the region's networks"):
        pages = aws.client("ec2").get_paginator("describe_vpcs").paginate()
        networks = [vpc for page in pages for vpc in page["Vpcs"]]
    found = False
    for vpc in networks:
        tags = {tag["Key"]: tag["Value"] for tag in vpc.get("Tags", [])}
        if tags.get("Name") == values.name(profile):
            continue
        for block in vpc.get("CidrBlockAssociationSet", [{"CidrBlock": vpc["CidrBlock"]}]):
            if ours.overlaps(ipaddress.IPv4Network(block["CidrBlock"])):
                found = True
                other = tags.get("Name", vpc["VpcId"])
                detail = f"{ours} overlaps {block['CidrBlock']} of {other}: the two can never be connected"
                yield Finding(
                    "network", "warn", detail, "choose another platform.vpc_cidr now: it is for ever"
                )
    if not found:
        yield Finding("network", "ok", f"{ours} is free")


def _quotas(profile: Profile, aws: Aws) -> Iterator[Finding]:
    needed = _needed(profile, aws)
    for name, (service, code) in _QUOTAS.items():
        limit = _limit(aws, service, code)
        in_use, more = needed[name]
        text = f"{in_use} in use, {more} more needed"
        if limit is None:
            yield Finding(f"quota: {name}", "warn", f"{text}; the limit cannot be read")
        elif in_use + more > limit:
            hint = f"have it raised: service {service}, quota {code}, in Service Quotas"
            yield Finding(f"quota: {name}", "failed", f"{text}, and the limit is {limit:g}", hint)
        else:
            yield Finding(f"quota: {name}", "ok", f"{text}, of {limit:g}")


def _needed(profile: Profile, aws: Aws) -> dict[str, tuple[int, int]]:
    """For each quota what is in use, and how much more this environment takes than it has."""
    platform, name = aws.platform, values.name(profile)
    ec2 = aws.client("ec2")
    with told("counting what is in use"):
        vpcs = [vpc for page in ec2.get_paginator("describe_vpcs").paginate() for vpc in page["Vpcs"]]
        addresses = ec2.describe_addresses()["Addresses"]
        pages = ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}]
        )
        instances = [
            i for page in pages for reservation in page["Reservations"] for i in reservation["Instances"]
        ]
        pages = aws.client("rds").get_paginator("describe_db_instances").paginate()
        databases = [one["DBInstanceIdentifier"] for page in pages for one in page["DBInstances"]]
    cpus = sum(_cpus(instance) for instance in instances)
    own_cpus = sum(_cpus(instance) for instance in instances if _named(instance, f"{name}-node"))
    node = machine(platform.node_type)
    wanted_databases = {name, *(f"{name}-replica-{n + 1}" for n in range(profile.database.replicas))}
    own_addresses = sum(_named(address, f"{name}-nat", prefix=True) for address in addresses)
    return {
        "VPCs of the region": (len(vpcs), 0 if any(_named(vpc, name) for vpc in vpcs) else 1),
        "elastic addresses of the region": (
            len(addresses),
            max(0, (platform.nat_gateways or platform.zones) - own_addresses),
        ),
        "vCPUs of on-demand instances": (
            cpus,
            max(0, platform.nodes_max * (node.cpus if node else 0) - own_cpus),
        ),
        "database instances": (len(databases), len(wanted_databases - set(databases))),
    }


def _named(thing: dict[str, Any], name: str, *, prefix: bool = False) -> bool:
    given = next((tag["Value"] for tag in thing.get("Tags", []) if tag["Key"] == "Name"), "")
    return bool(given.startswith(name) if prefix else given == name)


def _cpus(instance: dict[str, Any]) -> int:
    options = instance.get("CpuOptions") or {}
    return int(options.get("CoreCount", 1)) * int(options.get("ThreadsPerCore", 2))


def _limit(aws: Aws, service: str, code: str) -> float | None:
    """The account's limit; None where AWS does not say."""
    try:
        answer = aws.client("service-quotas").get_service_quota(ServiceCode=service, QuotaCode=code)
    except Exception as error:
        if code_of(error) in ("NoSuchResourceException", "AccessDeniedException"):
            return None
        with told("asking for quotas"):
            raise
    return float(answer["Quota"]["Value"])
