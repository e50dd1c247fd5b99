"""The application's values: what the profile comes to for the chart renec-harvester. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from renecinfra.kubernetes.backends import Backends
from renecinfra.kubernetes.consumers import consumers
from renecinfra.kubernetes.versions import COLOURED, WORKLOADS, Versions
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import KubernetesPlatform
from renecinfra.profiles.sizing import WORKER_CONNECTIONS, Sizing, size
from renecinfra.profiles.workloads import Resources, Workload, millicores
from renecinfra.rendering import RenderedFile, Renderer

CHART: Final = "renec-harvester"
_TEMPLATE: Final = f"helm/{CHART}.yaml.j2"
_PORTS: Final = {"api": {"http": 8000}, "ui": {"http": 3001}, "flower": {"http": 5555}}
_METRICS_PORT: Final = 9091
EDGE_PORT: Final = 8443
"""Where the edge's pods serve HTTPS."""
_EDGE_PORTS: Final = {"https": EDGE_PORT, "http": 8080, "status": 8081}
# Until a Service's other clients, and the edge by DNS, know that a pod is going.
_PRE_STOP_SECONDS: Final = 15
_HSTS_SECONDS: Final = 31_536_000
_CELERY: Final = ("celery", "-A", "src.scheduler.daily_probe")


def values(
    profile: Profile,
    renderer: Renderer,
    backends: Backends,
    *,
    revision: str = "",
    versions: Versions | None = None,
    service: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
    target_group: str = "",
) -> RenderedFile:
    """The values file. ``revision`` changes when a secret does; ``service`` is how the edge is exposed,
    ``target_group`` where its pods are registered with a load balancer of AWS.

    Raises:
        ProfileError: the template does not render.
    """
    running = versions or Versions()
    sizing = size(profile, 1)
    context: dict[str, Any] = {
        "environment": profile.environment,
        "profile": profile,
        "labels": dict(labels or {}),
        "revision": revision,
        "backends": backends.document(profile),
        "monitoring": profile.releases.monitoring,
        "zones": profile.platform.kind == "aws",
        "deployed": running.document(profile),
        "workloads": {
            name: {**_workload(profile, sizing, running, name), **_direct(backends, name)}
            for name in WORKLOADS
            if getattr(profile.workloads, name).enabled
        },
        "edge": _edge(profile, renderer, sizing, backends, service or exposed(profile)),
        "pooler": _pooler(profile, backends),
        "pooler_server": backends.server,
        "pool_size": sizing.pooler_pool_size,
    }
    if target_group:
        context["edge"]["targetGroup"] = target_group
    return renderer.file(_TEMPLATE, f"{CHART}.yaml", context)


def exposed(profile: Profile) -> dict[str, Any]:
    """The edge's Service on a cluster of one's own; elsewhere one that only the cluster reaches."""
    platform = profile.platform
    if not isinstance(platform, KubernetesPlatform):
        return {"type": "ClusterIP"}
    exposure = platform.exposure
    if exposure.kind == "node-port":
        ports = {"httpsNodePort": exposure.https_port, "httpNodePort": exposure.http_port}
        return {"type": "NodePort", **ports}
    pool = {"metallb.universe.tf/address-pool": exposure.address_pool} if exposure.address_pool else {}
    return {"type": "LoadBalancer", "annotations": pool}


def _workload(profile: Profile, sizing: Sizing, versions: Versions, name: str) -> dict[str, Any]:
    workload: Workload = getattr(profile.workloads, name)
    upstream = math.ceil(profile.edge.upstream_timeout.total_seconds())
    secrets = sorted(consumers(profile).get(name, {}))
    found: dict[str, Any] = {
        "enabled": True,
        "kind": {"beat": "singleton", "migrations": "job"}.get(name, "deployment"),
        "slots": versions.slots(profile, name),
        "command": list(workload.command or _command(profile, sizing, name)),
        "environment": _environment(profile, sizing, name),
        "secrets": secrets,
        "resources": resources(workload.resources),
        "priority": "serving" if name in ("api", "ui") else "background",
        "graceSeconds": _PRE_STOP_SECONDS + upstream + 15 if name in COLOURED else 30,
        "ports": dict(_PORTS.get(name, {})),
        "probes": _probes(workload, name),
        "replicas": workload.replicas,
        "internet": name == "worker",
        "clients": {"api": ["edge", "ui"], "ui": ["edge"]}.get(name, []),
    }
    if name in COLOURED:
        found |= {"active": versions.slot(name), "service": True, "preStopSeconds": _PRE_STOP_SECONDS}
        found["previewClients"] = list(profile.deployment.control_plane)
        if name in versions.preview_replicas:
            found["previewReplicas"] = min(
                versions.preview_replicas[name], workload.replicas_max or versions.preview_replicas[name]
            )
    if workload.replicas_max is not None and workload.replicas_max > workload.replicas:
        found["replicasMax"] = workload.replicas_max
    if workload.metrics_path is not None and name in ("api", "ui", "worker", "flower"):
        if name == "worker":
            found["ports"]["metrics"] = _METRICS_PORT
        port = "metrics" if name == "worker" else "http"
        found["metrics"] = {"port": port, "path": workload.metrics_path}
    found |= _special(profile, name)
    return found


def _direct(backends: Backends, name: str) -> dict[str, Any]:
    """Migrations go past a pooler of the same release: at the first installation it comes after them."""
    server = backends.server
    if name != "migrations" or server is None:
        return {}
    where = {"host": server.host, "port": server.port, "peers": list(server.peers)}
    return {"database": {**where, "options": "?sslmode=require"}}


def _special(profile: Profile, name: str) -> dict[str, Any]:
    """What one workload has and no other."""
    workloads = profile.workloads
    if name == "worker":
        # It may finish a harvest; Celery then needs a moment of its own.
        grace = math.ceil(workloads.worker.termination_grace.total_seconds()) + 30
        return {
            "active": "main",
            "queues": list(workloads.worker.queues),
            "queueLength": 1,
            "graceSeconds": grace,
            "tmpSize": "2Gi",
        }
    if name == "beat":
        return {"dataDirectory": "/var/lib/beat"}
    if name == "migrations":
        return {"timeoutSeconds": math.ceil(workloads.migrations.timeout.total_seconds())}
    return {"service": True, "active": "main"} if name == "flower" else {}


def resources(wanted: Resources) -> dict[str, dict[str, str]]:
    """As Kubernetes takes them."""
    return {
        "requests": {
            "cpu": f"{millicores(wanted.cpu_request)}m",
            "memory": f"{wanted.memory_request >> 20}Mi",
        },
        "limits": {"cpu": f"{millicores(wanted.cpu_limit)}m", "memory": f"{wanted.memory_limit >> 20}Mi"},
    }


def _command(profile: Profile, sizing: Sizing, name: str) -> tuple[str, ...]:
    """How the application's own images are started; the profile's command wins."""
    worker = profile.workloads.worker
    uvicorn = ("uvicorn", "src.api.main:app", "--host=0.0.0.0", f"--port={_PORTS['api']['http']}")
    commands: dict[str, tuple[str, ...]] = {
        "api": (*uvicorn, f"--workers={sizing.api_processes}"),
        "ui": ("next", "start", f"--port={_PORTS['ui']['http']}"),
        "worker": (
            *_CELERY,
            "worker",
            f"--queues={','.join(worker.queues)}",
            f"--concurrency={sizing.worker_concurrency}",
        ),
        "beat": (*_CELERY, "beat", "--schedule=/var/lib/beat/schedule", "--pidfile="),
        "migrations": ("alembic", "upgrade", "head"),
        "flower": (*_CELERY, "flower", f"--port={_PORTS['flower']['http']}"),
    }
    return commands[name]


def _environment(profile: Profile, sizing: Sizing, name: str) -> dict[str, str]:
    """What is no secret; the profile's own variables win."""
    workload, harvest = getattr(profile.workloads, name), profile.harvest
    if name == "ui":
        public = profile.workloads.ui.public_url or f"https://{profile.edge.host}"
        port = _PORTS["api"]["http"]
        own = {"API_URL": f"http://renec-api:{port}", "NEXT_PUBLIC_APP_URL": public}
        return {**own, "ENVIRONMENT": profile.environment, **workload.environment}
    pools = {"api": sizing.api_pool_size, "worker": WORKER_CONNECTIONS}
    return {
        "DATABASE_POOL_SIZE": str(pools.get(name, 1)),
        "DATABASE_MAX_OVERFLOW": str(profile.workloads.api.max_overflow if name == "api" else 0),
        # The edge limits each client; the application would see the edge as its only one.
        "ENABLE_RATE_LIMITING": "false",
        "MAX_CONCURRENT_REQUESTS": str(harvest.max_concurrent_requests),
        "DOWNLOAD_DELAY": f"{harvest.download_delay.total_seconds():g}",
        "RESPECT_ROBOTS_TXT": "true" if harvest.respect_robots_txt else "false",
        "USER_AGENT": harvest.user_agent,
        "LOG_LEVEL": "INFO",
        "PLAYWRIGHT_HEADLESS": "true",
        "ENVIRONMENT": profile.environment,
        **({"RENEC_BASE_URL": harvest.base_url} if harvest.base_url else {}),
        **({"API_PORT": str(_PORTS["api"]["http"])} if name == "api" else {}),
        **({"PROMETHEUS_METRICS_PORT": str(_METRICS_PORT)} if name == "worker" else {}),
        **workload.environment,
    }


def _probes(workload: Workload, name: str) -> dict[str, dict[str, Any]]:
    """Startup and readiness ask the process a question; liveness only whether it listens.

    The API answers nothing while its database is slow. A liveness probe by HTTP would then restart all of its
    pods at once, which mends nothing; readiness takes out the one that hangs. A worker that cannot reach the
    broker is not restarted either, so it has no liveness probe: when its process ends, the kubelet sees that.
    """
    if name in _PORTS:
        path = "/healthcheck" if name == "flower" else workload.health_path
        ask: dict[str, Any] = (
            {"httpGet": {"path": path, "port": "http"}} if path else {"tcpSocket": {"port": "http"}}
        )
        return {
            "startup": {**ask, "periodSeconds": 3, "timeoutSeconds": 5, "failureThreshold": 40},
            "readiness": {**ask, "periodSeconds": 5, "timeoutSeconds": 4, "failureThreshold": 3},
            "liveness": {"tcpSocket": {"port": "http"}, "periodSeconds": 20, "failureThreshold": 6},
        }
    if name == "worker" and workload.command is None:
        ping = [*_CELERY, "inspect", "ping", "--timeout=10"]
        command = ["sh", "-c", f'exec {" ".join(ping)} --destination="celery@$HOSTNAME"']
        # Nearly four seconds of CPU each, so seldom.
        ask = {"exec": {"command": command}, "timeoutSeconds": 30}
        return {
            "startup": {**ask, "periodSeconds": 15, "failureThreshold": 20},
            "readiness": {**ask, "periodSeconds": 120, "failureThreshold": 2},
        }
    return {}


def _edge(
    profile: Profile, renderer: Renderer, sizing: Sizing, backends: Backends, service: Mapping[str, Any]
) -> dict[str, Any]:
    edge = profile.edge
    upstream = math.ceil(edge.upstream_timeout.total_seconds())
    files = renderer.directory("edge", _edge_context(profile, sizing, backends))
    return {
        "host": edge.host,
        "image": edge.image,
        "exporterImage": edge.exporter_image,
        "replicas": edge.replicas,
        "resources": resources(edge.resources),
        "ports": dict(_EDGE_PORTS),
        "preStopSeconds": _PRE_STOP_SECONDS,
        "graceSeconds": _PRE_STOP_SECONDS + upstream + 15,
        "certificateSecret": "renec-edge-tls",
        "selfSigned": edge.tls == "acm",
        "service": dict(service),
        "files": {name: file.text for name, file in files.items()},
    }


def _edge_context(profile: Profile, sizing: Sizing, backends: Backends) -> dict[str, Any]:
    """The shared template's values: pods are found by the cluster's DNS, and counted one by one."""
    edge, api = profile.edge, profile.workloads.api
    private = {"/metrics", api.metrics_path or "/metrics"} - {"/", "/health", "/health/ready"}
    # Each replica of the edge counts for itself, so it gets its share of what one API process stands.
    share = max(1, edge.max_connections_per_api * sizing.api_processes // edge.replicas)
    return {
        "environment": profile.environment,
        "modules": [],
        "data": "/run/edge",
        "access_log": "/dev/stdout",
        "worker_processes": max(1, millicores(edge.resources.cpu_limit) // 1000),
        "worker_connections": 4096,
        "shutdown_seconds": math.ceil(edge.upstream_timeout.total_seconds()) + 5,
        "resolver": "/run/edge/resolver.conf",
        "trusted_proxies": list(backends.proxies),
        "http_listen": str(_EDGE_PORTS["http"]),
        "https_listen": str(_EDGE_PORTS["https"]),
        "status_listen": f"127.0.0.1:{_EDGE_PORTS['status']}",
        "public_port": _public_port(profile),
        "server_names": [edge.host],
        "certificates": "/etc/renec-tls",
        "api": [f"renec-api:{_PORTS['api']['http']}"],
        "api_max_connections": share,
        "ui": [f"renec-ui:{_PORTS['ui']['http']}"] if profile.workloads.ui.enabled else [],
        "upstream_timeout": edge.upstream_timeout,
        "max_body": edge.max_body,
        "gzip": edge.gzip,
        "hsts_seconds": _HSTS_SECONDS,
        "ready_path": api.health_path,
        "private_paths": sorted(private),
        "index": {"service": "RENEC Harvester", "environment": profile.environment, "api": "/api/"},
    }


def _pooler(profile: Profile, backends: Backends) -> dict[str, Any]:
    """PgBouncer in front of a PostgreSQL that is a service; nothing where there is one already."""
    if backends.server is None:
        return {}
    return {
        "enabled": True,
        "image": profile.database.pooler.image,
        "replicas": 2,
        "serverPort": backends.server.port,
        "serverPeers": list(backends.server.peers),
    }


def _public_port(profile: Profile) -> int:
    platform = profile.platform
    if isinstance(platform, KubernetesPlatform) and platform.exposure.kind == "node-port":
        return platform.exposure.https_port
    return 443
