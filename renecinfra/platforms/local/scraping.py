"""What Prometheus scrapes on the local platform: one list of jobs and targets. Pure: no I/O.

``prometheus.yml`` is rendered from it, and the monitoring hook holds Prometheus' targets against it. The
labels that alert rules select by (``job``, ``role``, ``store``, ``check``) are set here, so that the rules
know nothing of ports or of the local platform.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from renecinfra.platforms.local import encryption
from renecinfra.profiles.model import Profile

_NO_LABELS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Target:
    """One thing that is scraped: ``service`` names the process whose start makes older samples stale."""

    instance: str
    address: str
    service: str
    extra: Mapping[str, str] = field(default_factory=lambda: _NO_LABELS)

    @property
    def labels(self) -> dict[str, str]:
        """The labels that the target gets in Prometheus (and ``__param_*`` for probes)."""
        return {"instance": self.instance, **self.extra}


@dataclass(frozen=True, slots=True)
class ScrapeJob:
    """A job of Prometheus; ``module`` is the blackbox exporter's, for probes."""

    name: str
    targets: tuple[Target, ...]
    path: str = "/metrics"
    module: str = ""


def scrape_jobs(profile: Profile) -> tuple[ScrapeJob, ...]:
    """Everything that Prometheus watches in this environment, in a fixed order."""
    own = [
        ScrapeJob(name, (_target(profile, service),))
        for name, service in (
            ("prometheus", "prometheus"),
            ("alertmanager", "alertmanager"),
            ("node", "node-exporter"),
            ("blackbox", "blackbox-exporter"),
            ("edge", "nginx-exporter"),
            ("pgbouncer", "pgbouncer-exporter"),
        )
    ]
    if encryption.enabled(profile):
        own.append(ScrapeJob(encryption.SERVICE, (_target(profile, encryption.SERVICE),)))
    if profile.backups.enabled:
        own.append(ScrapeJob("backups", (_target(profile, "backups"),)))
    stores = tuple(_target(profile, f"redis-{store}-exporter", store=store) for store in ("broker", "cache"))
    databases = tuple(
        _target(profile, f"postgresql-{role}-exporter", role=role) for role in database_roles(profile)
    )
    return (
        *_workload_jobs(profile),
        *own,
        ScrapeJob("postgresql", databases),
        ScrapeJob("redis", stores),
        _probes(profile),
    )


def _target(profile: Profile, service: str, **labels: str) -> Target:
    port = profile.local.port(service.replace("-", "_"))
    return Target(service.removesuffix("-exporter"), f"127.0.0.1:{port}", service, labels)


def database_roles(profile: Profile) -> tuple[str, ...]:
    """Which PostgreSQL servers there are."""
    return ("primary", "replica") if profile.database.replicas else ("primary",)


def _workload_jobs(profile: Profile) -> list[ScrapeJob]:
    """The reference workload has metrics; a profile's command has them where the profile says so."""
    workloads = profile.workloads
    jobs = []
    for name, port, workload in (
        ("api", "api", workloads.api),
        ("worker", "worker_metrics", workloads.worker),
    ):
        path = workload.metrics_path or (None if workload.command else "/metrics")
        if not workload.enabled or path is None:
            continue
        targets = tuple(
            Target(f"{name}-{n + 1}", f"127.0.0.1:{profile.local.port(port, n)}", f"{name}-{n + 1}")
            for n in range(workload.replicas)
        )
        if targets:
            jobs.append(ScrapeJob(name, targets, path))
    return jobs


def _probes(profile: Profile) -> ScrapeJob:
    """The edge as a client sees it: its own health, and a list that comes out of the database."""
    edge = f"https://127.0.0.1:{profile.local.port('edge')}"
    blackbox = f"127.0.0.1:{profile.local.port('blackbox_exporter')}"
    checks = [("edge-health", "/health")]
    if profile.workloads.api.enabled:
        checks.append(("api-standards", "/api/v1/ec-standards"))
    targets = tuple(
        Target(check, blackbox, "blackbox-exporter", {"check": check, "__param_target": edge + path})
        for check, path in checks
    )
    return ScrapeJob("probe", targets, "/probe", module="edge")
