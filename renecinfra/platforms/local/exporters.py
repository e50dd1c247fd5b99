"""The local platform's exporters: for each thing without metrics of its own.

Each logs in as a role that may look and not touch, with a password from a 0600 environment file. Pure, but
for the authority's certificate, which ``secret_files`` reads.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from renecinfra import tls
from renecinfra.platforms.local import encryption
from renecinfra.platforms.local.access import MONITOR_ROLE, MONITORING_PASSWORD, REDIS_MONITOR
from renecinfra.platforms.local.host import Host
from renecinfra.platforms.local.scraping import database_roles
from renecinfra.profiles.model import Profile
from renecinfra.rendering import Renderer
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.services.definition import HealthCheck, Layer, Service

_STORES: Final = ("broker", "cache")


def services(profile: Profile, host: Host, renderer: Renderer) -> list[Service]:
    """One exporter for the machine, the edge and its probes, each PostgreSQL, the pooler, and each Redis.

    Raises:
        ProfileError: a template does not render.
    """
    return [
        _node_exporter(profile, host),
        _blackbox_exporter(profile, host, renderer),
        _nginx_exporter(profile, host),
        *(_postgresql_exporter(profile, host, renderer, role) for role in database_roles(profile)),
        _pgbouncer_exporter(profile, host),
        *(_redis_exporter(profile, host, store) for store in _STORES),
    ]


def secret_files(profile: Profile, host: Host, secrets: ResolvedSecrets) -> dict[str, str]:
    """What the exporters log in with, as environment files, and the authority that the probes trust.

    The authority is no secret, but only known once it has been made, so it is not part of what is rendered.
    The blackbox exporter reads it at every probe: a new one needs no restart.

    Raises:
        ToolError: the local certificates cannot be read or made.
    """
    password = json.dumps(secrets[MONITORING_PASSWORD].value.reveal())
    variables = {
        "pgbouncer": "PGBOUNCER_PASSWORD",
        **{f"postgresql-{role}": "DATA_SOURCE_PASS" for role in database_roles(profile)},
        **{f"redis-{store}": "REDIS_PASSWORD" for store in _STORES},
    }
    files = {
        f"{name}-exporter/secret.env": f"{variable}={password}\n" for name, variable in variables.items()
    }
    if encryption.enabled(profile):
        files["blackbox-exporter/ca.crt"] = tls.authority(host.paths.tls)
    else:
        files["blackbox-exporter/ca.crt"] = tls.ensure(host.paths.tls, profile.edge.host).authority
    return files


def _exporter(
    profile: Profile,
    name: str,
    command: tuple[str, ...],
    *,
    package: str | None,
    layer: Layer = Layer.FOUNDATION,
    **more: Any,
) -> Service:
    port = profile.local.port(name.replace("-", "_"))
    return Service(
        name=name,
        layer=layer,
        command=command,
        health=HealthCheck("http", port, "/metrics"),
        port=port,
        package=package,
        stop_seconds=5,
        **more,
    )


def _listen(profile: Profile, name: str) -> str:
    return f"--web.listen-address=127.0.0.1:{profile.local.port(name.replace('-', '_'))}"


def _node_exporter(profile: Profile, host: Host) -> Service:
    collectors = ("cpu", "diskstats", "filesystem", "loadavg", "meminfo", "netdev", "stat", "uname", "vmstat")
    return _exporter(
        profile,
        "node-exporter",
        (
            host.binaries["prometheus-node-exporter"],
            _listen(profile, "node-exporter"),
            "--collector.disable-defaults",
            *(f"--collector.{name}" for name in collectors),
            # Unlike the default, overlay counts: in a container it is the disk that the data is on.
            "--collector.filesystem.fs-types-exclude="
            r"^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|"
            r"mqueue|nsfs|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tmpfs|tracefs)$",
        ),
        package="prometheus-node-exporter",
    )


def _blackbox_exporter(profile: Profile, host: Host, renderer: Renderer) -> Service:
    etc = host.paths.etc / "blackbox-exporter"
    context = {
        "timeout": timedelta(seconds=5),
        "host_header": f"{profile.edge.host}:{profile.local.port('edge')}",
        "server_name": profile.edge.host,
        "ca_file": str(etc / "ca.crt"),
    }
    return _exporter(
        profile,
        "blackbox-exporter",
        (
            host.binaries["prometheus-blackbox-exporter"],
            f"--config.file={etc}/blackbox.yml",
            _listen(profile, "blackbox-exporter"),
        ),
        package="prometheus-blackbox-exporter",
        reload_files=renderer.directory("monitoring/blackbox", context),
        reload="hup",
    )


def _nginx_exporter(profile: Profile, host: Host) -> Service:
    """In the edge's layer, because it listens only once it has reached nginx.

    Once it listens it stays, with ``nginx_up`` 0 while nginx is down.
    """
    return _exporter(
        profile,
        "nginx-exporter",
        (
            host.binaries["prometheus-nginx-exporter"],
            f"-web.listen-address=127.0.0.1:{profile.local.port('nginx_exporter')}",
            f"-nginx.scrape-uri=http://127.0.0.1:{profile.local.port('edge_status')}/status",
        ),
        package="prometheus-nginx-exporter",
        layer=Layer.EDGE,
        # As variables, because from 1.0 on there is nothing to retry, and the flags are refused.
        environment={"NGINX_RETRIES": "1000000", "NGINX_RETRY_INTERVAL": "200ms"},
    )


def _postgresql_exporter(profile: Profile, host: Host, renderer: Renderer, role: str) -> Service:
    name = f"postgresql-{role}-exporter"
    server = f"127.0.0.1:{profile.local.port(f'postgresql_{role}')}"
    options = f"{_postgresql_trust(profile, host)}&connect_timeout=3"
    return _exporter(
        profile,
        name,
        (
            host.binaries["prometheus-postgres-exporter"],
            f"--extend.query-path={host.paths.etc}/{name}/queries.yaml",
            _listen(profile, name),
        ),
        package="prometheus-postgres-exporter",
        environment={
            "DATA_SOURCE_URI": f"{server}/{profile.database.name}?{options}",
            "DATA_SOURCE_USER": MONITOR_ROLE,
        },
        env_files=("secret.env",),
        secrets=(MONITORING_PASSWORD,),
        files={"queries.yaml": renderer.file("monitoring/postgresql/queries.yaml", "queries.yaml", {})},
    )


def _postgresql_trust(profile: Profile, host: Host) -> str:
    if not encryption.enabled(profile):
        return "sslmode=disable"
    return f"sslmode=verify-full&sslrootcert={quote(encryption.authority(profile, host))}"


def _pgbouncer_exporter(profile: Profile, host: Host) -> Service:
    """Our own: Debian's does not work with its own PgBouncer."""
    return _exporter(
        profile,
        "pgbouncer-exporter",
        (host.python, "-m", "renecinfra.exporters.pgbouncer"),
        package=None,
        environment={
            "EXPORTER_PORT": str(profile.local.port("pgbouncer_exporter")),
            "PGBOUNCER_PORT": str(profile.local.port("pgbouncer")),
            "PGBOUNCER_USER": MONITOR_ROLE,
            **encryption.libpq(profile, host),
        },
        env_files=("secret.env",),
        secrets=(MONITORING_PASSWORD,),
    )


def _redis_exporter(profile: Profile, host: Host, store: str) -> Service:
    name = f"redis-{store}-exporter"
    options: tuple[str, ...] = ()
    if store == "broker":
        database = profile.cache.database
        keys = ",".join(f"db{database}={queue}" for queue in profile.workloads.worker.queues)
        options = (f"-check-single-keys={keys}",)
    scheme = "redis"
    if encryption.enabled(profile):
        scheme = "rediss"
        options += (f"-tls-ca-cert-file={encryption.authority(profile, host)}",)
    return _exporter(
        profile,
        name,
        (
            host.binaries["prometheus-redis-exporter"],
            f"-redis.addr={scheme}://127.0.0.1:{profile.local.port(f'redis_{store}')}",
            f"-redis.user={REDIS_MONITOR}",
            f"-web.listen-address=127.0.0.1:{profile.local.port(f'redis_{store}_exporter')}",
            "-connection-timeout=3s",
            *options,
        ),
        package="prometheus-redis-exporter",
        env_files=("secret.env",),
        secrets=(MONITORING_PASSWORD,),
    )
