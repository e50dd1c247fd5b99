"""How the application's release changes versions, and whether a version is fit for clients.

Answers come through the API server's proxy: those of the new version's own Service, and of Prometheus.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from renecinfra.errors import ClusterError
from renecinfra.kubernetes.cluster import Cluster
from renecinfra.profiles.model import Profile

_SMOKE_SECONDS: Final = 60.0
_WATCH_EVERY: Final = 5.0
_PROMETHEUS: Final = "monitoring", "prometheus-operated", 9090
# A breach must be seen twice in a row: one bad look may be of the switch itself.
_BREACHES: Final = 2
_STANDARDS: Final = "/api/v1/ec-standards"


@dataclass(frozen=True, slots=True)
class Look:
    """What clients got lately: the share of errors, and the p95 in seconds; None without requests."""

    errors: float | None
    latency: float | None


@dataclass(frozen=True, slots=True)
class Objectives:
    """The most that a new version may have of each."""

    errors: float
    latency: float

    @classmethod
    def of(cls, profile: Profile) -> Objectives:
        """Ten times the error budget's rate burns a month's budget in three days: no version may do that."""
        slo = profile.monitoring.slo
        latency = slo.latency_p95.total_seconds() * profile.deployment.latency_factor
        return cls((1 - slo.availability) * 10, latency)

    def breach(self, look: Look) -> str | None:
        """What is too much, in words."""
        if look.errors is not None and look.errors > self.errors:
            return f"{look.errors:.1%} of the requests end in a server error, more than {self.errors:.1%}"
        if look.latency is not None and look.latency > self.latency:
            return f"p95 is {look.latency * 1000:.0f} ms, more than {self.latency * 1000:.0f} ms"
        return None


def proxied(namespace: str, service: str, port: int | str, path: str) -> str:
    """The path of the API server through which a Service answers."""
    return f"/api/v1/namespaces/{namespace}/services/http:{service}:{port}/proxy{path}"


def smoke(cluster: Cluster, profile: Profile, namespace: str, workload: str, service: str) -> str:
    """Ask a version what a client would, until it answers as it should; says what it answered.

    Raises:
        ClusterError: it does not within a minute.
    """
    health = getattr(profile.workloads, workload).health_path or "/"
    paths = [health, _STANDARDS] if workload == "api" else [health]
    deadline = time.monotonic() + _SMOKE_SECONDS
    for path in paths:
        while True:
            try:
                answer = cluster.read(cluster.kubectl.raw(proxied(namespace, service, "http", path)))
                break
            except ClusterError as error:
                if time.monotonic() > deadline or error.id in ("cluster-forbidden", "cluster-credentials"):
                    raise ClusterError(
                        "smoke-failed",
                        f"{service} does not answer {path} as it should",
                        hint="read its log; where the namespace's policies keep the API server out, name its "
                        "networks in deployment.control_plane",
                        details=error.details[-3:],
                    ) from None
                time.sleep(1)
        if path == _STANDARDS and not _has_items(answer):
            raise ClusterError(
                "smoke-failed",
                f"{service} answers {path} without the register's standards",
                hint="has anything been harvested? The first deployment of an empty environment is `up`",
            )
    return f"{service} answers {' and '.join(paths)}"


def _has_items(answer: str) -> bool:
    try:
        found: Any = json.loads(answer)
    except ValueError:
        return False
    return bool(found.get("items")) if isinstance(found, dict) else bool(found)


def look(cluster: Cluster, seconds: float) -> Look:
    """What Prometheus measured of the last ``seconds``.

    Raises:
        ClusterError: it does not answer: a version that cannot be watched must not stay.
    """
    window = f"{max(30, math.ceil(seconds))}s"
    total = f"sum(rate(renec_api_requests_total[{window}]))"
    errors = f'sum(rate(renec_api_requests_total{{status=~"5.."}}[{window}])) or vector(0)'
    buckets = f"sum by (le) (rate(renec_api_request_duration_seconds_bucket[{window}]))"
    return Look(
        _query(cluster, f"(({errors}) / ({total} > 0))"),
        _query(cluster, f"histogram_quantile(0.95, {buckets})"),
    )


def _query(cluster: Cluster, expression: str) -> float | None:
    namespace, service, port = _PROMETHEUS
    path = proxied(namespace, service, port, f"/api/v1/query?query={quote(expression)}")
    try:
        answer = json.loads(cluster.read(cluster.kubectl.raw(path)))
        result = answer["data"]["result"]
        value = float(result[0]["value"][1]) if result else None
    except ClusterError as error:
        raise ClusterError(
            "watch-failed",
            "Prometheus does not answer, so the new version cannot be watched",
            hint="mend it, or deploy with --bake 0s to watch it yourself",
            details=error.details[-3:],
        ) from None
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ClusterError(
            "watch-failed", f"Prometheus' answer is not one: {error}", hint="is it a Prometheus?"
        ) from None
    return None if value is None or math.isnan(value) else value


def bake(
    watch: Callable[[float], Look],
    objectives: Objectives,
    seconds: float,
    tell: Callable[[str], None],
    *,
    every: float = _WATCH_EVERY,
) -> None:
    """Watch a version that has the clients, for its bake time.

    Raises:
        ClusterError: it breaks an objective twice in a row, or cannot be watched.
    """
    started, breaches = time.monotonic(), 0
    while (elapsed := time.monotonic() - started) < seconds:
        time.sleep(min(every, seconds - elapsed))
        seen = watch(time.monotonic() - started)
        breach = objectives.breach(seen)
        breaches = breaches + 1 if breach else 0
        tell(breach or _told(seen))
        if breaches >= _BREACHES:
            raise ClusterError(
                "slo-breached",
                f"the new version breaks the SLO: {breach}",
                hint="its log and traces of the last minutes say why",
            )


def _told(seen: Look) -> str:
    if seen.errors is None:
        return "no requests yet"
    latency = "" if seen.latency is None else f", p95 {seen.latency * 1000:.0f} ms"
    return f"errors {seen.errors:.2%}{latency}"
