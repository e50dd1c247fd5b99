"""How an environment is watched, backed up, provisioned after apply, and protected."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from renecinfra.profiles.base import (
    Count,
    Duration,
    HttpUrl,
    Image,
    Name,
    Port,
    PositiveDuration,
    ProfileModel,
    Seconds,
    SecretRef,
    Size,
    Text,
    UrlPath,
    blame,
    matching,
)

_CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_CRON_PART = re.compile(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([0-9]{1,2}))?")


def _cron(value: str) -> str:
    for field, (low, high) in zip(value.split(), _CRON_RANGES, strict=True):
        for part in field.split(","):
            match = _CRON_PART.fullmatch(part)
            numbers = [int(number) for number in match.groups()[:2] if number] if match else [-1]
            step = match is None or match[3] is None or int(match[3]) > 0
            if not step or numbers != sorted(numbers) or any(not low <= n <= high for n in numbers):
                raise ValueError("must be a cron schedule of five fields such as 30 1 * * *")
    return value


Schedule = Annotated[
    str,
    Field(
        pattern=matching(
            r"^[0-9*,/-]+( [0-9*,/-]+){4}$", "a cron schedule of five fields such as 30 1 * * *, in numbers"
        )
    ),
    AfterValidator(_cron),
]


AbsolutePath = Annotated[
    str,
    Field(
        max_length=200,
        pattern=matching(r"^(/[A-Za-z0-9._+@-]+)+$", "an absolute path of letters, digits and ._+@-"),
    ),
]


class Receiver(ProfileModel):
    """Where alerts go. ``log`` keeps them in Alertmanager only."""

    kind: Literal["log", "webhook", "slack", "pagerduty", "email"]
    url: HttpUrl | None = Field(default=None, description="Of a webhook: what is posted to.")
    secret: SecretRef | None = Field(
        default=None, description="Of slack its webhook address, of pagerduty its routing key."
    )
    address: (
        Annotated[
            str,
            Field(pattern=matching(r"^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+$", "an address such as a@b.org")),
        ]
        | None
    ) = Field(default=None, description="Of email: whom to write to.")
    smarthost: (
        Annotated[str, Field(pattern=matching(r"^[A-Za-z0-9.-]+:[0-9]{1,5}$", "a mail server as HOST:PORT"))]
        | None
    ) = Field(default=None, description="Of email: the mail server.")
    severities: Annotated[list[Literal["info", "warning", "critical"]], Field(min_length=1)] = [
        "warning",
        "critical",
    ]

    @model_validator(mode="after")
    def _needs(self) -> Self:
        if self.kind == "webhook" and self.url is None:
            raise blame("url", "is missing: a webhook receiver needs it")
        if self.kind in ("slack", "pagerduty") and self.secret is None:
            raise blame("secret", f"is missing: a {self.kind} receiver needs it")
        if self.kind == "email":
            for field in ("address", "smarthost"):
                if getattr(self, field) is None:
                    raise blame(field, "is missing: an email receiver needs it")
        return self


class Slo(ProfileModel):
    """What the environment promises; alert thresholds follow from it."""

    availability: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.999, description="The share of requests that succeed; 1 would leave no error budget."
    )
    latency_p95: PositiveDuration = "50ms"  # type: ignore[assignment]
    harvest_duration: PositiveDuration = "20m"  # type: ignore[assignment]
    harvest_max_age: PositiveDuration = "26h"  # type: ignore[assignment]
    replication_lag: PositiveDuration = "30s"  # type: ignore[assignment]


class Monitoring(ProfileModel):
    """Prometheus, Alertmanager, the exporters, and who is told."""

    scrape_interval: PositiveDuration = "15s"  # type: ignore[assignment]
    retention: PositiveDuration = "15d"  # type: ignore[assignment]
    retention_size: Size = "2Gi"  # type: ignore[assignment]
    alert_for: PositiveDuration = "5m"  # type: ignore[assignment]
    group_wait: Duration = "30s"  # type: ignore[assignment]
    runbook_url: HttpUrl = "https://github.com/madfam-io/renecinfra/blob/main/docs/runbooks"
    receivers: dict[Name, Receiver] = Field(default_factory=dict)
    slo: Slo = Slo()


class DirectoryRepository(ProfileModel):
    """Backups in a directory, best on another disk or a mount of another machine."""

    kind: Literal["posix"]
    path: AbsolutePath = Field(description="The directory; the services' user must be able to write there.")


class S3Repository(ProfileModel):
    """Backups in a bucket, over TLS."""

    kind: Literal["s3"]
    bucket: Text
    region: Text
    endpoint: Annotated[
        str,
        Field(
            max_length=253,
            pattern=matching(r"^[A-Za-z][A-Za-z0-9.-]*$", "a host name such as s3.us-west-2.amazonaws.com"),
        ),
    ] = Field(description="The bucket's server by name: an address in numbers has no certificate.")
    port: Port = 443
    ca_file: AbsolutePath | None = Field(
        default=None,
        description="The authority that signed the server's certificate, where no system trusts it.",
    )
    prefix: UrlPath = Field(default="/", description="Where in the bucket the backups are.")
    key: SecretRef = Field(description="The access key's id.")
    key_secret: SecretRef = Field(description="The access key's secret.")


SecondRepository = Annotated[DirectoryRepository | S3Repository, Field(discriminator="kind")]


class Backups(ProfileModel):
    """What is kept for how long, and how much may be lost (RPO) and how long it may take (RTO)."""

    enabled: bool = True
    rpo: PositiveDuration = "5m"  # type: ignore[assignment]
    rto: PositiveDuration = "1h"  # type: ignore[assignment]
    retention: PositiveDuration = Field(
        default="7d",  # type: ignore[assignment]
        description="How far back a restore can go; pgBackRest counts in days, rounded up.",
    )
    schedule: Schedule = Field(default="30 1 * * *", description="When a full backup begins, in UTC.")
    incremental: Schedule = Field(
        default="15 * * * *", description="When what changed since the last backup is backed up, in UTC."
    )
    incremental_wal: Size = Field(
        default="512Mi",  # type: ignore[assignment]
        description="How much WAL makes an incremental backup due before its time, as replay takes time.",
    )
    verify: Schedule = Field(
        default="0 3 * * *", description="When everything in the repositories is checked, in UTC."
    )
    drill: Schedule | None = Field(
        default="0 4 * * 0", description="When a restore is rehearsed, in UTC; none for never."
    )
    drill_max_age: PositiveDuration = Field(
        default="8d",  # type: ignore[assignment]
        description="How old the last good drill may be before an alert.",
    )
    archive_timeout: Seconds = Field(
        default="60s",  # type: ignore[assignment]
        description="How long a commit may wait for the archive: what losing primary and receiver can cost.",
    )
    receiver: bool = Field(
        default=True,
        description="On local, whether WAL is streamed, too: losing the primary then loses nothing.",
    )
    directory: AbsolutePath | None = Field(
        default=None,
        description="On local, the first repository's directory; none is beside the environment.",
    )
    second: SecondRepository | None = Field(
        default=None, description="On local, another repository in another place, with the same backups."
    )
    passphrase: SecretRef = Field(
        default="generated:backup_passphrase",
        description="On local, what the repositories are encrypted with; as long as they are kept it stays.",
    )
    assertions: dict[Name, Text] = Field(
        default_factory=dict,
        description="Queries by name, whose one value must be true in a restored database.",
    )


class HookSettings(ProfileModel):
    """How often and how long a hook is tried."""

    enabled: bool = True
    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    timeout: Seconds = "60s"  # type: ignore[assignment]


class BackupsHookSettings(HookSettings):
    """How often and how long a first backup is waited for."""

    timeout: Seconds = "10m"  # type: ignore[assignment]


class Hooks(ProfileModel):
    """The post-provision steps."""

    monitoring: HookSettings = HookSettings()
    workers: HookSettings = HookSettings()
    database: HookSettings = Field(
        default=HookSettings(), description="On AWS: whether the database is set as the profile says."
    )
    backups: BackupsHookSettings = BackupsHookSettings()


class Releases(ProfileModel):
    """What is installed into a cluster beside the application, and where its charts come from."""

    mirror: Text | None = Field(
        default=None,
        description="For sites without internet: a directory (relative to the workspace), an https:// chart "
        "repository or an oci:// registry that has every chart; each chart's own repository if none.",
    )
    timeout: Seconds = Field(
        default="10m",  # type: ignore[assignment]  # validated like a value
        description="How long one release may take until all of it is ready; then it is rolled back.",
    )
    monitoring: bool = Field(default=True, description="Prometheus, Alertmanager and Grafana.")
    logging: bool = Field(default=True, description="Elasticsearch, Kibana and log shipping by ECK.")
    tracing: bool = Field(
        default=True, description="The OpenTelemetry collector and Jaeger, which keeps traces in memory."
    )
    heartbeat_image: Image = Field(
        default="public.ecr.aws/aws-cli/aws-cli:2.31.0",
        description="On AWS: an image with sh, curl and AWS's command line, which sends the sign of life.",
    )
    provided: list[Name] = Field(
        default_factory=list,
        description="Releases that the cluster has already, by name: they are neither installed nor changed.",
    )


class Deployment(ProfileModel):
    """How `deploy` brings a new version to the clients."""

    strategy: Literal["rolling", "blue-green"] = Field(
        default="rolling", description="Replace replicas one by one, or start all anew and switch."
    )
    bake: Seconds = Field(
        default="5m",  # type: ignore[assignment]  # validated like a value
        description="How long a new version is watched against the SLO before the old one is retired.",
    )
    control_plane: list[Text] = Field(
        default_factory=list,
        description="Networks (CIDR) that the cluster's API server reaches pods from: where network policies "
        "hold for it too, the smoke test of a new version needs them.",
    )
    latency_factor: Annotated[float, Field(ge=1, le=20)] = Field(
        default=2.0, description="How many times monitoring.slo.latency_p95 the new version may take."
    )


def _date(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise ValueError("must be a date such as 2027-03-31, quoted") from None


Day = Annotated[
    str,
    Field(
        pattern=matching(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "a date such as 2027-03-31, quoted"),
    ),
    AfterValidator(_date),
]


class Waiver(ProfileModel):
    """A finding of `audit` that is accepted for a while."""

    rule: Annotated[
        str, Field(pattern=matching(r"^[A-Za-z0-9:_-]{1,80}$", "a rule's id, as `audit` prints it"))
    ]
    target: Text = Field(default="*", description="What it is accepted for; * stands for any text.")
    reason: Text = Field(description="Why, and who decided it.")
    until: Day = Field(description="The last day on which it holds.")


class Protection(ProfileModel):
    """What guards an environment against its operators."""

    protected: bool = Field(
        default=False, description="Whether it matters: stricter rules, and a typed confirmation before harm."
    )
    keep_releases: Count = 5
    waivers: list[Waiver] = Field(
        default_factory=list, description="Findings of `renecinfra audit` that are accepted for a while."
    )
