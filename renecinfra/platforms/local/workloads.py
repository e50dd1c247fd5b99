"""The application's processes on the local platform, and the site they harvest. Pure: they say what runs.

A workload that the profile gives a command runs that command, as it is, in the profile's directory. Where
it names none, the reference workload stands in (see docs/reference/workload.md). What one section of a
profile must not say beside another is for ``profiles.policy`` to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from renecinfra.errors import ProfileError
from renecinfra.platforms.local import variables
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import WORKER_CONNECTIONS, Sizing
from renecinfra.profiles.workloads import Workload
from renecinfra.rendering import Renderer
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.services.definition import HealthCheck, Layer, Service

SITE: Final = "site"
MIGRATIONS: Final = "migrations"
UI: Final = "ui"
BEAT: Final = "beat"

_SECRETS: Final = "secret.env"
_PLACEHOLDER: Final = re.compile(r"\{(port|concurrency|queues|data)\}")
_GRACE_SECONDS: Final = 10
# Without these a worker would wait for others at its start, and talk to them for as long as it runs.
_QUIET: Final = ("--without-gossip", "--without-mingle", "--without-heartbeat")


def services(
    profile: Profile,
    host: Host,
    renderer: Renderer,  # noqa: ARG001 - no workload has files
    sizing: Sizing,
) -> list[Service]:
    """The fake site, the migrations, and every enabled workload's replicas.

    Raises:
        ProfileError: some of api, worker, beat and migrations have a command and others have none.
    """
    _refuse_mixture(profile)
    workloads = profile.workloads
    found = []
    if profile.harvest.fake_site.enabled:
        found.append(_site(profile, host))
    if _migrates(profile):
        found.append(_migrations(profile, host))
    if workloads.api.enabled:
        found += [_api(profile, host, sizing, number) for number in range(1, sizing.api_replicas + 1)]
    if workloads.ui.enabled:
        found.append(_ui(profile, host))
    if workloads.worker.enabled:
        found += [_worker(profile, host, sizing, number) for number in range(1, sizing.worker_replicas + 1)]
    if workloads.beat.enabled:
        found.append(_beat(profile, host))
    return found


def secret_files(profile: Profile, host: Host, secrets: ResolvedSecrets) -> dict[str, str]:
    """Each workload's variables that hold a secret, per service."""
    workloads = profile.workloads
    addresses = variables.backends(profile, host, secrets)
    own: dict[str, tuple[Workload, Mapping[str, str]]] = {}
    if _migrates(profile):
        own[MIGRATIONS] = workloads.migrations, addresses
    if workloads.api.enabled:
        key = secrets[workloads.api.key]
        accepted = dict.fromkeys(one.reveal() for one in (key.value, key.previous) if one is not None)
        keys = {"RENEC_API_KEY": key.value.reveal(), "RENEC_API_KEYS": ",".join(accepted)}
        own |= {f"api-{n + 1}": (workloads.api, {**addresses, **keys}) for n in range(workloads.api.replicas)}
    if workloads.ui.enabled:
        own[UI] = workloads.ui, {}
    if workloads.worker.enabled:
        own |= {f"worker-{n + 1}": (workloads.worker, addresses) for n in range(workloads.worker.replicas)}
    if workloads.beat.enabled:
        own[BEAT] = workloads.beat, addresses
    return {
        f"{name}/{_SECRETS}": variables.env_file(known, workload, secrets)
        for name, (workload, known) in own.items()
    }


def _migrates(profile: Profile) -> bool:
    """Another application without a command for its migrations brings its schema up by itself."""
    workloads = profile.workloads
    return workloads.migrations.enabled and bool(workloads.migrations.command or not workloads.api.command)


def _refuse_mixture(profile: Profile) -> None:
    workloads = profile.workloads
    parts = {"api": workloads.api, "worker": workloads.worker, "beat": workloads.beat}
    own = [name for name, part in parts.items() if part.enabled and part.command]
    own += ["migrations"] if workloads.migrations.command else []
    reference = [name for name, part in parts.items() if part.enabled and not part.command]
    if own and reference:
        one, other = f"workloads.{own[0]}", f"workloads.{reference[0]}"
        raise ProfileError(
            "workloads-mixed",
            f"{one} has a command and {other} has none, but the reference workload that stands in for it"
            " shares neither tables nor tasks with another application",
            hint=f"set {other}.command too, or {other}.enabled to false",
        )


def _site(profile: Profile, host: Host) -> Service:
    site, port = profile.harvest.fake_site, profile.local.port("site")
    options = {
        "port": port,
        "latency-scale": site.latency_scale,
        "standards": site.standards,
        "certifiers": site.certifiers,
        "centres": site.centres,
        "error-rate": site.error_rate,
    }
    return Service(
        name=SITE,
        layer=Layer.FOUNDATION,
        command=_module(
            host, "renecinfra.reference.site", *(f"--{name}={value}" for name, value in options.items())
        ),
        health=HealthCheck("http", port=port, path="/robots.txt"),
        port=port,
        start_seconds=_start_seconds(profile),
    )


def _migrations(profile: Profile, host: Host) -> Service:
    workload = profile.workloads.migrations
    return Service(
        name=MIGRATIONS,
        layer=Layer.MIGRATION,
        kind="job",
        command=_command(workload, host, MIGRATIONS) or _module(host, "renecinfra.reference.migrate"),
        health=HealthCheck("running"),
        directory=_directory(workload, host),
        environment=variables.plain(profile, host, workload, pool=1),
        env_files=(_SECRETS,),
        secrets=_references(workload, *_backend_references(profile)),
        start_seconds=int(workload.timeout.total_seconds()),
    )


def _api(profile: Profile, host: Host, sizing: Sizing, number: int) -> Service:
    workload, name = profile.workloads.api, f"api-{number}"
    port = profile.local.port("api", number - 1)
    command = _command(workload, host, name, port=str(port))
    own = {"API_PORT": str(port)}
    if not command and sizing.api_processes > 1:
        own["RENEC_METRICS_DIR"] = f"{host.paths.data / name}/metrics"
    return Service(
        name=name,
        layer=Layer.WORKLOAD,
        command=command or _reference_api(host, port, sizing.api_processes),
        health=_http(port, workload.health_path if command else "/health/ready"),
        directory=_directory(workload, host),
        environment=variables.plain(
            profile, host, workload, pool=sizing.api_pool_size, overflow=workload.max_overflow, own=own
        ),
        env_files=(_SECRETS,),
        secrets=_references(workload, *_backend_references(profile), workload.key),
        port=port,
        stop_seconds=_GRACE_SECONDS + 5,
        start_seconds=_start_seconds(profile),
    )


def _reference_api(host: Host, port: int, processes: int) -> tuple[str, ...]:
    options = ("--host=127.0.0.1", f"--port={port}", "--no-access-log", "--no-server-header")
    grace = f"--timeout-graceful-shutdown={_GRACE_SECONDS}"
    several = (f"--workers={processes}",) if processes > 1 else ()
    return _module(host, "uvicorn", "renecinfra.reference.api:app", *options, grace, *several)


def _ui(profile: Profile, host: Host) -> Service:
    workload, port = profile.workloads.ui, profile.local.port("ui")
    public = workload.public_url or f"https://{profile.edge.host}:{profile.local.port('edge')}"
    own = {"API_URL": f"http://127.0.0.1:{profile.local.port('api')}", "NEXT_PUBLIC_APP_URL": public}
    return Service(
        name=UI,
        layer=Layer.WORKLOAD,
        command=_command(workload, host, UI, port=str(port)),
        health=_http(port, workload.health_path),
        directory=_directory(workload, host),
        environment={**own, "ENVIRONMENT": profile.environment, "PORT": str(port), **workload.environment},
        env_files=(_SECRETS,),
        secrets=_references(workload),
        port=port,
        start_seconds=_start_seconds(profile),
    )


def _worker(profile: Profile, host: Host, sizing: Sizing, number: int) -> Service:
    workload, name = profile.workloads.worker, f"worker-{number}"
    port = profile.local.port("worker_metrics", number - 1)
    concurrency, queues = str(sizing.worker_concurrency), ",".join(workload.queues)
    command = _command(workload, host, name, port=str(port), concurrency=concurrency, queues=queues)
    own = {"PROMETHEUS_METRICS_PORT": str(port)}
    if not command:
        own["RENEC_METRICS_DIR"] = f"{host.paths.data / name}/metrics"
        own["RENEC_FIRST_HARVEST"] = "1" if profile.harvest.first_run else "0"
    options = (
        f"--hostname={name}@%h",
        f"--queues={queues}",
        f"--concurrency={concurrency}",
        "--loglevel=INFO",
    )
    return Service(
        name=name,
        layer=Layer.WORKLOAD,
        command=command or _celery(host, "worker", *options, *_QUIET),
        health=HealthCheck("running") if command else HealthCheck("http", port=port, path="/metrics"),
        directory=_directory(workload, host),
        environment=variables.plain(profile, host, workload, pool=WORKER_CONNECTIONS, own=own),
        env_files=(_SECRETS,),
        secrets=_references(workload, *_backend_references(profile)),
        port=port,
        # Celery's TERM waits for the harvest that runs. The reference worker's tasks may be ended and queued
        # again, which QUIT does at once; of a profile's command that is not known.
        stop_signal="TERM" if command else "QUIT",
        stop_seconds=int(workload.termination_grace.total_seconds()),
        start_seconds=_start_seconds(profile),
    )


def _beat(profile: Profile, host: Host) -> Service:
    workload = profile.workloads.beat
    schedule = f"{host.paths.data / BEAT}/schedule"
    reference = _celery(host, "beat", f"--schedule={schedule}", "--pidfile=", "--loglevel=INFO")
    return Service(
        name=BEAT,
        layer=Layer.WORKLOAD,
        command=_command(workload, host, BEAT) or reference,
        health=HealthCheck("running"),
        directory=_directory(workload, host),
        environment=variables.plain(profile, host, workload, pool=1),
        env_files=(_SECRETS,),
        secrets=_references(workload, *_backend_references(profile)),
        start_seconds=_start_seconds(profile),
    )


def _module(host: Host, module: str, *arguments: str) -> tuple[str, ...]:
    """A module by the services' interpreter; -P keeps the working directory out of its imports."""
    return (host.python, "-P", "-m", module, *arguments)


def _celery(host: Host, *arguments: str) -> tuple[str, ...]:
    return _module(host, "celery", "--app=renecinfra.reference.schedule", "--quiet", *arguments)


def _command(workload: Workload, host: Host, name: str, **values: str) -> tuple[str, ...]:
    """The profile's command with its placeholders filled in; empty where it names none.

    A placeholder that this workload has no value for stays as it is: braces mean other things to others.
    """
    known = {"data": str(host.paths.data / name), **values}
    return tuple(
        _PLACEHOLDER.sub(lambda match: known.get(match[1], match[0]), word) for word in workload.command or ()
    )


def _directory(workload: Workload, host: Host) -> str:
    if not workload.command:
        return "/"
    return str(host.workspace / Path(workload.directory or ".").expanduser())


def _http(port: int, path: str | None) -> HealthCheck:
    return HealthCheck("http", port=port, path=path) if path else HealthCheck("tcp", port=port)


def _backend_references(profile: Profile) -> tuple[str, ...]:
    return profile.database.password, profile.cache.password


def _references(workload: Workload, *others: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*others, *workload.secret_environment.values()]))


def _start_seconds(profile: Profile) -> int:
    return max(1, round(profile.local.start_timeout.total_seconds()))
