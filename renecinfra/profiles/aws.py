"""The platform section of an environment in AWS."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from renecinfra.profiles.base import (
    EnvironmentValue,
    HttpUrl,
    Name,
    ProfileModel,
    Size,
    Text,
    blame,
    matching,
)

Account = Annotated[str, Field(pattern=matching(r"^[0-9]{12}$", "an AWS account of 12 digits, quoted"))]
Region = Annotated[
    str, Field(pattern=matching(r"^[a-z]{2}(-[a-z]+)+-[0-9]$", "an AWS region such as us-east-1"))
]
KubernetesVersion = Annotated[
    str, Field(pattern=matching(r"^1\.[0-9]{2}$", 'a Kubernetes version such as "1.33", quoted'))
]
Zone = Annotated[
    str,
    Field(pattern=matching(r"^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$", "an availability zone such as us-east-1a")),
]
RoleArn = Annotated[
    str,
    Field(
        pattern=matching(
            r"^arn:aws(-cn|-us-gov)?:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$",
            "an IAM role such as arn:aws:iam::123456789012:role/platform",
        )
    ),
]
Email = Annotated[
    str,
    Field(pattern=matching(r"^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+$", "an address such as a@b.org")),
]
HostedZone = Annotated[
    str, Field(pattern=matching(r"^[A-Z0-9]{6,32}$", "a hosted zone's id such as Z0123456789EXAMPLE"))
]
Repository = Annotated[
    str,
    Field(
        pattern=matching(
            r"^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$", "a repository as OWNER/NAME, without a star"
        )
    ),
]
_DAY = "(mon|tue|wed|thu|fri|sat|sun)"
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]"
Window = Annotated[
    str,
    Field(
        pattern=matching(
            f"^{_DAY}:{_CLOCK}-{_DAY}:{_CLOCK}$", "a weekly window in UTC such as sun:05:00-sun:06:00"
        )
    ),
]
EndpointService = Annotated[
    str, Field(pattern=matching(r"^[a-z][a-z0-9.-]{1,60}$", "the last part of an endpoint's name: ecr.api"))
]
_VPC_PREFIXES = range(16, 25)
_API_PREFIXES = range(16, 33)


def _network(value: str) -> str:
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError:
        network = None
    if network is None or network.prefixlen not in _API_PREFIXES:
        raise ValueError("must be a network of /16 to /32 such as 203.0.113.0/24: never everybody")
    return value


class GitHub(ProfileModel):
    """The repository whose jobs plan and apply, by roles instead of keys."""

    repository: Repository = Field(description="Whose jobs may log in, as OWNER/NAME.")
    create_provider: bool = Field(
        default=True,
        description="Whether this environment makes GitHub known to the account; one of an account does.",
    )


class AwsPlatform(ProfileModel):
    """Amazon Web Services: EKS, RDS, ElastiCache, S3, CloudFront."""

    kind: Literal["aws"]
    account: Account
    region: Region
    backup_region: Region
    vpc_cidr: Text = "10.40.0.0/16"
    zones: Annotated[int, Field(ge=2, le=6)] = 3
    zone_names: list[Zone] = Field(
        default_factory=list,
        description="The zones by name, where they are not the region's a, b, c …; add new ones at the end.",
    )
    nat_gateways: Annotated[int, Field(ge=1, le=6)] | None = Field(
        default=None, description="NAT gateways; one for each zone if none is said."
    )
    interface_endpoints: list[EndpointService] = Field(
        default=["ecr.api", "ecr.dkr", "logs", "sts"],
        description="AWS services that are reached without the internet, beside S3.",
    )
    node_type: Text = "m7i.large"
    node_disk: Size = "50Gi"  # type: ignore[assignment]  # validated like a value
    nodes_min: Annotated[int, Field(ge=1, le=100)] = 3
    nodes_max: Annotated[int, Field(ge=1, le=100)] = 6
    kubernetes_version: KubernetesVersion = "1.33"
    api_allowed_cidrs: list[Annotated[str, AfterValidator(_network)]] = Field(
        default_factory=list,
        description="Networks that reach the cluster's API over the internet; with none, it is private.",
    )
    administrators: dict[Name, RoleArn] = Field(
        default_factory=dict, description="IAM roles that administer the cluster, by a name of your own."
    )
    multi_az: bool = Field(default=True, description="Whether the database has a standby in another zone.")
    storage_max: Size | None = Field(
        default=None, description="How far the database's storage grows; five times database.storage if none."
    )
    cache_nodes: Annotated[int, Field(ge=1, le=6)] = Field(
        default=2, description="Nodes of each of the two caches: a primary and its replicas."
    )
    hosted_zone: HostedZone | None = Field(
        default=None, description="The Route 53 hosted zone that edge.host is in."
    )
    web_rate_limit: Annotated[int, Field(ge=10, le=2_000_000_000)] = Field(
        default=2000, description="Requests that one address may make in five minutes."
    )
    log_retention_days: Literal[7, 14, 30, 60, 90, 180, 365] = 30
    maintenance_window: Window = Field(
        default="sun:05:00-sun:06:00", description="When minor versions are installed, in UTC."
    )
    alarm_emails: list[Email] = Field(
        default_factory=list,
        description="Who is told by AWS itself when the monitoring cannot; a pager's address wakes somebody.",
    )
    monthly_budget: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        default=None, description="What a month may cost, in US dollars."
    )
    github: GitHub | None = None
    endpoint_url: HttpUrl | None = Field(
        default=None, description="Where AWS's API is, for an AWS-compatible one; AWS itself if none."
    )
    tags: dict[Text, EnvironmentValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.nodes_max < self.nodes_min:
            raise blame("nodes_max", f"must be at least nodes_min ({self.nodes_min})")
        if self.backup_region == self.region:
            raise blame("backup_region", "must differ from region: one region's loss must not take both")
        if not _is_vpc_network(self.vpc_cidr):
            raise blame("vpc_cidr", "must be a private network between /16 and /24 such as 10.40.0.0/16")
        if self.zone_names and len(set(self.zone_names)) != self.zones:
            raise blame("zone_names", f"must be {self.zones} different zones, as many as zones says")
        if any(not zone.startswith(self.region) for zone in self.zone_names):
            raise blame("zone_names", f"must be zones of the region {self.region}")
        if self.nat_gateways is not None and self.nat_gateways > self.zones:
            raise blame("nat_gateways", f"must be at most zones ({self.zones})")
        return self

    @property
    def zone_list(self) -> list[str]:
        """The zones by name."""
        return self.zone_names or [f"{self.region}{letter}" for letter in "abcdef"[: self.zones]]


def _is_vpc_network(text: str) -> bool:
    # AWS takes /16 to /28; what subnets of the zones need is checked across sections.
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        return False
    return network.is_private and network.prefixlen in _VPC_PREFIXES
