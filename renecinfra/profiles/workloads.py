"""What runs: the edge, the workloads, and how the harvest is done."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from renecinfra.profiles.base import (
    Count,
    Duration,
    EnvironmentValue,
    HttpUrl,
    Image,
    Name,
    Positive,
    ProfileModel,
    Seconds,
    SecretRef,
    Size,
    Text,
    UrlPath,
    blame,
    format_size,
    matching,
)

EnvironmentName = Annotated[
    str,
    Field(
        max_length=200,
        pattern=matching(r"^[A-Z_][A-Z0-9_]*$", "a variable's name in capital letters, digits and _"),
    ),
]
Millicores = Annotated[
    str,
    Field(pattern=matching(r"^[1-9][0-9]{0,6}m?$", 'a number of CPUs such as 250m or "2", quoted')),
]


def millicores(value: str) -> int:
    """``250m`` or ``2`` (CPUs) in thousandths of a CPU."""
    return int(value.removesuffix("m")) * (1 if value.endswith("m") else 1000)


class Resources(ProfileModel):
    """What one replica asks for and may use."""

    cpu_request: Millicores = "250m"
    cpu_limit: Millicores = "1"
    memory_request: Size = "512Mi"  # type: ignore[assignment]
    memory_limit: Size = "1Gi"  # type: ignore[assignment]

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.memory_limit < self.memory_request:
            raise blame(
                "memory_limit", f"must be at least memory_request ({format_size(self.memory_request)})"
            )
        if millicores(self.cpu_limit) < millicores(self.cpu_request):
            raise blame("cpu_limit", f"must be at least cpu_request ({self.cpu_request})")
        return self


class Workload(ProfileModel):
    """A process of the application. Without a command (local) the reference workload stands in."""

    enabled: bool = True
    image: Image | None = None
    command: Annotated[list[Text], Field(min_length=1)] | None = None
    directory: Text | None = Field(
        default=None, description="Where the command runs on the local platform; relative to the workspace."
    )
    health_path: UrlPath | None = None
    metrics_path: UrlPath | None = None
    environment: dict[EnvironmentName, EnvironmentValue] = Field(default_factory=dict)
    secret_environment: dict[EnvironmentName, SecretRef] = Field(default_factory=dict)
    replicas: Annotated[int, Field(ge=0, le=100)] = 1
    replicas_max: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None, description="On a cluster, how far autoscaling goes; none means it does not scale."
    )
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.replicas_max is not None and self.replicas_max < self.replicas:
            raise blame("replicas_max", f"must be at least replicas ({self.replicas})")
        return self


class Api(Workload):
    """The HTTP API behind the edge."""

    health_path: UrlPath | None = "/health"
    metrics_path: UrlPath | None = None
    replicas: Annotated[int, Field(ge=1, le=20)] = 2
    processes: Positive | Literal["auto"] = Field(
        default="auto", description="uvicorn processes per replica; the reference API has one."
    )
    pool_size: Positive | Literal["auto"] = Field(
        default="auto", description="Database connections of one process, kept open."
    )
    max_overflow: Count = Field(default=0, description="Database connections of one process beyond those.")
    key: SecretRef = "generated:api_key"  # the API's own default key is public, so there is always one


class Ui(Workload):
    """The web UI behind the edge."""

    health_path: UrlPath | None = "/"
    public_url: Text | None = None


class Worker(Workload):
    """Celery workers."""

    concurrency: Positive | Literal["auto"] = Field(
        default="auto", description="Jobs that one worker does at a time."
    )
    queues: Annotated[list[Name], Field(min_length=1)] = ["harvest", "monitoring"]
    termination_grace: Seconds = Field(
        default="60s",  # type: ignore[assignment]  # validated like a value
        description="How long a worker may finish its job when it is stopped; then the job is queued again.",
    )


class Beat(Workload):
    """Celery beat: exactly one, because two double every job."""

    replicas: Annotated[int, Field(ge=1, le=1)] = 1


class Migrations(Workload):
    """The one job that brings the schema up before the workloads start."""

    timeout: Seconds = "5m"  # type: ignore[assignment]


class Flower(Workload):
    """Celery's own view of its queues and workers; on a cluster, for the cluster's inside only."""

    enabled: bool = False
    replicas: Annotated[int, Field(ge=1, le=1)] = 1


class Workloads(ProfileModel):
    """The processes of the application."""

    api: Api = Api()
    ui: Ui = Ui(enabled=False)
    worker: Worker = Worker()
    beat: Beat = Beat()
    migrations: Migrations = Migrations()
    flower: Flower = Flower()


def _certificate_life(value: timedelta) -> timedelta:
    # The authority that issues them is replaced with a year of its own life left.
    if not timedelta(seconds=10) <= value <= timedelta(days=365):
        raise ValueError("must be between 10s and 365d")
    return value


CertificateLife = Annotated[Seconds, AfterValidator(_certificate_life)]


class Edge(ProfileModel):
    """nginx and what guards the application behind it."""

    host: Annotated[
        str,
        Field(
            max_length=253,
            pattern=matching(r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", "a host name in lower case"),
        ),
    ] = "localhost"
    tls: Literal["local-ca", "cert-manager", "acm"] = "local-ca"
    certificate_ttl: CertificateLife = Field(
        default="30d",  # type: ignore[assignment]  # validated like a value
        description="How long a certificate from the environment's PKI is valid; renewed at 60 % of it.",
    )
    max_body: Size = "1Mi"  # type: ignore[assignment]
    upstream_timeout: Seconds = "30s"  # type: ignore[assignment]
    max_connections_per_api: Positive = Field(
        default=16,
        description="Concurrent requests let through to one API process: 22 hang the real one (pool of 20).",
    )
    gzip: bool = True
    image: Image = Field(
        default="docker.io/nginxinc/nginx-unprivileged:1.29.3-alpine",
        description="On a cluster, nginx 1.27.3 or newer; pin it by digest where you mirror it.",
    )
    exporter_image: Image = Field(
        default="docker.io/nginx/nginx-prometheus-exporter:1.5.1",
        description="On a cluster, what tells Prometheus of nginx.",
    )
    replicas: Annotated[int, Field(ge=1, le=20)] = Field(default=2, description="On a cluster.")
    resources: Resources = Resources(
        cpu_request="100m", cpu_limit="1", memory_request=64 << 20, memory_limit=256 << 20
    )


class FakeSite(ProfileModel):
    """A stand-in for the RENEC site on the local platform, with its measured response times."""

    enabled: bool = False
    latency_scale: Annotated[float, Field(ge=0, le=10)] = Field(
        default=1.0, description="1.0 is as slow as the real site (1.2 s a response on average)."
    )
    standards: Positive = 60
    certifiers: Positive = 20
    centres: Positive = 40
    error_rate: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Harvest(ProfileModel):
    """How the register is harvested: politely, it is a government site."""

    base_url: HttpUrl | None = Field(
        default=None, description="The site; none on local with fake_site means the fake one."
    )
    max_concurrent_requests: Annotated[int, Field(ge=1, le=10)] = 5
    download_delay: Duration = Field(
        default="500ms",  # type: ignore[assignment]
        description="The pause between two requests to the site; at least 500ms for a site that is not ours.",
    )
    respect_robots_txt: bool = True
    user_agent: Text = "renec-harvester (+https://github.com/madfam-io)"
    first_run: bool = Field(
        default=False, description="Harvest once when the tables have never been harvested."
    )
    fake_site: FakeSite = FakeSite()
