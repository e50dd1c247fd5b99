"""What the monitoring hook asks Prometheus and Alertmanager, as plain values.

Fields are those of https://prometheus.io/docs/prometheus/latest/querying/api/ and of Alertmanager's API v2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from renecinfra.errors import HookError

_TIMEOUT: Final = 2.0


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """How the last reload went; ``loaded_at`` is the Unix time of the last one that succeeded."""

    ok: bool
    loaded_at: float


@dataclass(frozen=True, slots=True)
class LiveTarget:
    """A target as Prometheus has it; ``scraped_at`` is Unix time, below 0 when it never was."""

    job: str
    instance: str
    address: str
    healthy: bool
    error: str
    scraped_at: float


@dataclass(frozen=True, slots=True)
class LiveRule:
    """A rule as Prometheus evaluates it; ``seconds`` is its ``for``, ``error`` of the last evaluation."""

    name: str
    labels: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, str], ...]
    seconds: float
    error: str = ""


class Server:
    """Prometheus or Alertmanager (``name``) on a port of this machine.

    Every method raises HookError when it does not answer, or not with what it should.
    """

    def __init__(self, name: str, port: int) -> None:
        # Here, because importing the hooks' modules must cost nothing.
        import urllib3

        self.name = name
        self.port = port
        self._pool = urllib3.HTTPConnectionPool("127.0.0.1", port, timeout=_TIMEOUT, retries=False)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def loaded_config(self) -> LoadedConfig:
        """From the server's own metrics: the API has whole seconds only."""
        prefix = f"{self.name}_config_last_reload_success"
        found = {}
        for line in self._get("/metrics").splitlines():
            if line.startswith(prefix):
                metric, value = line.rsplit(" ", 1)
                found[metric.removeprefix(prefix)] = float(value)
        try:
            return LoadedConfig(found["ful"] == 1, found["_timestamp_seconds"])
        except KeyError:
            raise self._wrong("its metrics do not say whether its configuration was loaded") from None

    def rules(self) -> dict[str, list[LiveRule]]:
        """Prometheus' rules by group."""
        groups = self._data("/api/v1/rules")["groups"]
        return {group["name"]: [_rule(rule) for rule in group["rules"]] for group in groups}

    def targets(self) -> list[LiveTarget]:
        """Prometheus' active targets."""
        return [_target(item) for item in self._data("/api/v1/targets?state=active")["activeTargets"]]

    def alertmanagers(self) -> list[str]:
        """The Alertmanagers that Prometheus tells."""
        return [item["url"] for item in self._data("/api/v1/alertmanagers")["activeAlertmanagers"]]

    def firing(self) -> list[str]:
        """Names of the alerts that fire in Prometheus, once each, in order."""
        alerts = self._data("/api/v1/alerts")["alerts"]
        return sorted({alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"})

    def received(self, alert: str, environment: str) -> float | None:
        """When Alertmanager last heard of ``alert`` of the environment (Unix time), or None."""
        query = f"/api/v2/alerts?filter=alertname%3D%22{alert}%22"
        times = [
            _unix(item["updatedAt"])
            for item in self._json(query)
            if item["labels"].get("environment") == environment
        ]
        return max(times, default=None)

    def _data(self, path: str) -> Any:
        answer = self._json(path)
        if not isinstance(answer, Mapping) or answer.get("status") != "success":
            raise self._wrong(f"{path} did not succeed")
        return answer["data"]

    def _json(self, path: str) -> Any:
        try:
            return json.loads(self._get(path))
        except ValueError:
            raise self._wrong(f"{path} is not JSON") from None

    def _get(self, path: str) -> str:
        import urllib3

        try:
            response = self._pool.request("GET", path)
        except urllib3.exceptions.HTTPError as error:
            raise self._wrong(f"does not answer: {error}") from None
        if response.status != 200:
            raise self._wrong(f"{path} answered {response.status}")
        return response.data.decode("utf-8")

    def _wrong(self, what: str) -> HookError:
        return HookError(
            "monitoring-unreachable",
            f"{self.name} on port {self.port}: {what}",
            hint=f"look at the log of {self.name} with `renecinfra logs`",
        )


def _rule(item: Mapping[str, Any]) -> LiveRule:
    return LiveRule(
        item["name"],
        tuple(sorted(item.get("labels", {}).items())),
        tuple(sorted(item.get("annotations", {}).items())),
        float(item.get("duration", 0)),
        item.get("lastError", ""),
    )


def _target(item: Mapping[str, Any]) -> LiveTarget:
    return LiveTarget(
        item["labels"]["job"],
        item["labels"]["instance"],
        item["discoveredLabels"]["__address__"],
        item["health"] == "up",
        item["lastError"],
        _unix(item["lastScrape"]),
    )


def _unix(text: str) -> float:
    """RFC 3339 to Unix time; Go's zero time, which means never, is far below 0."""
    return datetime.fromisoformat(text).timestamp()
