"""The local platform's monitoring: Prometheus, Alertmanager and the exporters. Pure: no I/O.

A change of scrape jobs, alert rules, consoles or receivers is applied by a reload; only other flags or
another secret restart anything. What is scraped is in ``scraping``, what makes metrics of others in
``exporters``.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from renecinfra.errors import ProfileError
from renecinfra.platforms.local import encryption, exporters
from renecinfra.platforms.local.host import Host
from renecinfra.platforms.local.scraping import scrape_jobs
from renecinfra.profiles.model import Profile
from renecinfra.profiles.operations import Receiver
from renecinfra.profiles.sizing import Sizing
from renecinfra.recovery.protected import READY_MOST
from renecinfra.recovery.schedule import longest_pause
from renecinfra.rendering import Renderer
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.services.definition import HealthCheck, Layer, Service

_RECEIVER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
# Kept by Alertmanager itself; a receiver of that name would be defined twice.
_RESERVED_RECEIVER = "keep"
# Where no service renews it, the edge's certificate is renewed with 30 of its 90 days left.
_UNRENEWED_LOCAL = timedelta(days=20)


def services(profile: Profile, host: Host, renderer: Renderer, sizing: Sizing) -> list[Service]:
    """Prometheus, Alertmanager, and an exporter for everything that has no metrics of its own.

    Raises:
        ProfileError: a template does not render, or a receiver's name cannot be one.
    """
    return [
        _prometheus(profile, host, renderer, sizing),
        _alertmanager(profile, host, renderer),
        *exporters.services(profile, host, renderer),
    ]


def secret_files(profile: Profile, host: Host, secrets: ResolvedSecrets) -> dict[str, str]:
    """What exporters log in with, and the receivers' secrets; 0600, the service user's."""
    found = exporters.secret_files(profile, host, secrets)
    for name, receiver in profile.monitoring.receivers.items():
        if receiver.secret is not None and receiver.kind != "log":
            found[f"alertmanager/{_secret_name(name)}"] = secrets[receiver.secret].value.reveal()
    return found


def _secret_name(receiver: str) -> str:
    return f"receiver-{receiver}.secret"


def rule_context(profile: Profile, sizing: Sizing) -> dict[str, Any]:
    """What the alert rules' templates use; the same on every platform.

    Settings alone, so that environments with the same ones share their rules.
    """
    monitoring = profile.monitoring
    budget = 1 - monitoring.slo.availability
    return {
        "replicas": profile.database.replicas,
        "slo": monitoring.slo,
        "alert_for": monitoring.alert_for,
        # A percentile over five minutes has the slow requests of a start in it for as long.
        "latency_for": max(monitoring.alert_for, timedelta(minutes=5)),
        "runbook_url": monitoring.runbook_url.rstrip("/"),
        # More than everything cannot burn: with a small promise, nine errors in ten are the limit.
        "burn_fast": round(min(14.4 * budget, 0.9), 9),
        "burn_slow": round(min(6 * budget, 0.9), 9),
        # Renewed in time, no certificate gets as old as this: whatever renews them has failed since.
        "certificate_rest": profile.edge.certificate_ttl / 3
        if encryption.enabled(profile)
        else _UNRENEWED_LOCAL,
        "backup_max_age": _backup_max_age(profile),
        "archive_max_age": round(2 * profile.backups.archive_timeout.total_seconds()),
        "archive_waiting": READY_MOST,
        "drill_max_age": round(profile.backups.drill_max_age.total_seconds()),
        "queue_limit": 10 * max(1, sizing.worker_replicas * sizing.worker_concurrency),
    }


def _backup_max_age(profile: Profile) -> int:
    """Seconds: twice the longest pause that the schedules leave, and an hour in which a backup may run."""
    pause = min(longest_pause(profile.backups.schedule), longest_pause(profile.backups.incremental))
    return round(2 * pause.total_seconds()) + 3600


def _prometheus(profile: Profile, host: Host, renderer: Renderer, sizing: Sizing) -> Service:
    monitoring, port = profile.monitoring, profile.local.port("prometheus")
    etc, data = host.paths.etc / "prometheus", host.paths.data / "prometheus"
    context = {
        "environment": profile.environment,
        "interval": monitoring.scrape_interval,
        "timeout": min(monitoring.scrape_interval, timedelta(seconds=10)),
        "alertmanager": f"127.0.0.1:{profile.local.port('alertmanager')}",
        "jobs": scrape_jobs(profile),
    }
    rules = renderer.shared_directory("monitoring/rules", rule_context(profile, sizing))
    # A firing alert is told again this often; an Alertmanager that was restarted has forgotten it.
    resend = min(monitoring.scrape_interval, timedelta(minutes=1))
    return Service(
        name="prometheus",
        layer=Layer.FOUNDATION,
        command=(
            host.binaries["prometheus"],
            f"--config.file={etc}/prometheus.yml",
            f"--storage.tsdb.path={data}",
            f"--storage.tsdb.retention.time={_seconds(monitoring.retention)}s",
            f"--storage.tsdb.retention.size={monitoring.retention_size}B",
            f"--rules.alert.resend-delay={_seconds(resend)}s",
            # Targets are found 5 s after a start, whatever is set; by default they wait up to 5 s more.
            "--scrape.discovery-reload-interval=100ms",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--web.external-url=http://127.0.0.1:{port}/",
            f"--web.console.templates={etc}/consoles",
            f"--web.console.libraries={etc}/console_libraries",
            # The default lets any web page that a person of this machine visits read the metrics.
            rf"--web.cors.origin=https?://127\.0\.0\.1:{port}",
        ),
        health=HealthCheck("http", port, "/-/ready"),
        directory=str(data),
        reload_files={
            **renderer.directory("monitoring/prometheus", context),
            **{f"rules/{name}": file for name, file in rules.items()},
        },
        reload="hup",
        port=port,
        package="prometheus",
        stop_seconds=20,
    )


def _seconds(value: timedelta) -> int:
    return max(1, round(value.total_seconds()))


def _alertmanager(profile: Profile, host: Host, renderer: Renderer) -> Service:
    monitoring, port = profile.monitoring, profile.local.port("alertmanager")
    etc, data = host.paths.etc / "alertmanager", host.paths.data / "alertmanager"
    receivers = monitoring.receivers
    context = {
        "receivers": [_receiver(name, receiver, str(etc)) for name, receiver in receivers.items()],
        "group_wait": monitoring.group_wait,
        # News of a group that was told already may wait longer, but an outage may not wait for minutes.
        "group_interval": max(timedelta(seconds=5), 2 * monitoring.group_wait),
    }
    used = [r.secret for r in receivers.values() if r.secret is not None and r.kind != "log"]
    return Service(
        name="alertmanager",
        layer=Layer.FOUNDATION,
        command=(
            host.binaries["prometheus-alertmanager"],
            f"--config.file={etc}/alertmanager.yml",
            f"--storage.path={data}",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--web.external-url=http://127.0.0.1:{port}/",
            "--cluster.listen-address=",
        ),
        health=HealthCheck("http", port, "/-/ready"),
        directory=str(data),
        secrets=tuple(sorted(set(used))),
        reload_files=renderer.directory("monitoring/alertmanager", context),
        reload="hup",
        port=port,
        package="prometheus-alertmanager",
    )


def _receiver(name: str, receiver: Receiver, etc: str) -> dict[str, Any]:
    if not _RECEIVER_NAME.fullmatch(name) or name == _RESERVED_RECEIVER:
        raise ProfileError(
            "receiver-name-invalid",
            f"monitoring.receivers.{name} cannot be a receiver's name",
            hint=f"use letters, digits, - and _; and not {_RESERVED_RECEIVER}, which is Alertmanager's own",
        )
    return {
        **receiver.model_dump(exclude={"secret"}),
        "name": name,
        "secret_file": f"{etc}/{_secret_name(name)}" if receiver.secret else "",
    }
