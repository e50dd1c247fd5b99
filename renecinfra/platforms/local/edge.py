"""nginx in front of a local environment: TLS, headers, limits. Pure, but that it reads the certificate."""

from __future__ import annotations

from typing import Any, Final

from renecinfra import tls
from renecinfra.platforms.local import encryption
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import Sizing
from renecinfra.rendering import RenderedFile, Renderer
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.services.definition import HealthCheck, Layer, Service

NAME: Final = "edge"
STATUS_PATH: Final = "/status"
"""Where nginx says its counts (stub_status), on the port ``edge_status`` alone."""

_CERTIFICATE: Final = "tls.crt"
_KEY: Final = "tls.key"
# Long enough to prove the header, short enough for a developer who serves plain HTTP on localhost next.
_HSTS_SECONDS: Final = 300
_ADDRESS: Final = "127.0.0.1"
_WORKERS_MAX: Final = 4
_REFERENCE_READY_PATH: Final = "/health/ready"
_METRICS_PATH: Final = "/metrics"
# Places of the edge's own, which the API's paths do not replace.
_OWN_PATHS: Final = ("/", "/health", "/health/ready")


def services(profile: Profile, host: Host, renderer: Renderer, sizing: Sizing) -> list[Service]:
    """The edge.

    Where the environment's OpenBao issues its certificate, nginx reads it at each handshake, and a renewal is
    none of its business. Elsewhere the certificate is part of it as soon as there is one (see
    :func:`renecinfra.tls.ensure`), and nginx takes a renewed one without restart. Anything else restarts it,
    so that a configuration which nginx refuses is seen at once, and not at the next start.
    """
    etc = str(host.paths.etc / NAME)
    port = profile.local.port("edge")
    certificate = None if encryption.enabled(profile) else tls.certificate(host.paths.tls)
    return [
        Service(
            name=NAME,
            layer=Layer.EDGE,
            command=(
                host.binaries["nginx"],
                "-p",
                str(host.paths.data / NAME),
                "-c",
                f"{etc}/nginx.conf",
                "-e",
                "stderr",
            ),
            health=HealthCheck(kind="http", scheme="https", port=port, path="/health"),
            files=renderer.directory("edge", _context(profile, host, sizing)),
            reload_files={_CERTIFICATE: RenderedFile(certificate)} if certificate else {},
            reload="hup",
            port=port,
            package="nginx",
            # QUIT lets requests end; the configuration's worker_shutdown_timeout bounds that.
            stop_signal="QUIT",
            stop_seconds=15,
            start_seconds=int(profile.local.start_timeout.total_seconds()),
        )
    ]


def secret_files(profile: Profile, host: Host, secrets: ResolvedSecrets) -> dict[str, str]:  # noqa: ARG001
    """The key of the edge's certificate, where it is not OpenBao that issues it.

    Raises:
        ToolError: no certificate has been made yet.
    """
    if encryption.enabled(profile):
        return {}
    return {f"{NAME}/{_KEY}": tls.key(host.paths.tls).reveal()}


def _certificate(profile: Profile, host: Host) -> dict[str, Any]:
    """Where the certificate is: two files, or a link to a directory, where it changes while nginx runs."""
    if encryption.enabled(profile):
        return {"certificates": str(encryption.current(host, NAME))}
    etc = host.paths.etc / NAME
    return {"certificates": "", "certificate": str(etc / _CERTIFICATE), "certificate_key": str(etc / _KEY)}


def _context(profile: Profile, host: Host, sizing: Sizing) -> dict[str, Any]:
    """The template's values. The cluster's edge renders the same template with its own."""
    data = host.paths.data / NAME
    local, edge, api = profile.local, profile.edge, profile.workloads.api
    ready = api.health_path if api.command else _REFERENCE_READY_PATH
    private = {_METRICS_PATH, api.metrics_path or _METRICS_PATH} - set(_OWN_PATHS)
    return {
        "environment": profile.environment,
        "modules": [],
        "data": str(data),
        "access_log": "/dev/stdout",
        "worker_processes": min(host.cores, _WORKERS_MAX),
        "worker_connections": 1024,
        "shutdown_seconds": 10,
        "resolver": "",
        "trusted_proxies": [],
        "http_listen": f"{_ADDRESS}:{local.port('edge_http')}",
        "https_listen": f"{_ADDRESS}:{local.port('edge')}",
        "status_listen": f"{_ADDRESS}:{local.port('edge_status')}",
        "public_port": local.port("edge"),
        "server_names": list(dict.fromkeys([edge.host, "localhost", _ADDRESS])),
        **_certificate(profile, host),
        "api": [f"{_ADDRESS}:{local.port('api', index)}" for index in range(sizing.api_replicas)],
        "api_max_connections": edge.max_connections_per_api * sizing.api_processes,
        "ui": [f"{_ADDRESS}:{local.port('ui')}"] if profile.workloads.ui.enabled else [],
        "upstream_timeout": edge.upstream_timeout,
        "max_body": edge.max_body,
        "gzip": edge.gzip,
        "hsts_seconds": _HSTS_SECONDS,
        "ready_path": ready,
        "private_paths": sorted(private),
        "index": {"service": "RENEC Harvester", "environment": profile.environment, "api": "/api/"},
    }
