"""What is true of a local environment right now: services, database roles and lag, queues, last harvest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from renecinfra.errors import RestoreError
from renecinfra.platforms.local import backups
from renecinfra.platforms.local.access import connect, redis_url
from renecinfra.platforms.local.environment import LocalEnvironment
from renecinfra.platforms.local.verification import edge_url
from renecinfra.platforms.local.versions import Versions
from renecinfra.recovery.engine.state import StateFile, Step
from renecinfra.recovery.records import OBSERVATION, read_document
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.services.definition import Service
from renecinfra.services.supervision import Supervision

_TIMEOUT: Final = 3
_OBSERVATION_SECONDS: Final = 180.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service; ``state`` is healthy, unhealthy, starting, restarting, failed, stopped, done (a job)."""

    name: str
    layer: str
    state: str
    detail: str
    uptime: float | None
    version: str | None
    port: int | None
    pid: int | None

    @property
    def ok(self) -> bool:
        """Whether it is as it should be."""
        return self.state in ("healthy", "done")


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """A PostgreSQL server. ``lag_bytes`` and ``lag_seconds`` are a replica's, as the primary sees it."""

    service: str
    role: str
    lag_bytes: int | None = None
    lag_seconds: float | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class HarvestStatus:
    """The newest harvest run. ``age`` is seconds since it started."""

    status: str
    started: datetime
    age: float
    items: int | None


@dataclass(frozen=True, slots=True)
class RecoveryStatus:
    """How recovery stood when the service ``backups`` last looked; ``document`` is all that it wrote."""

    document: dict[str, Any]

    @property
    def wrong(self) -> tuple[str, ...]:
        """What is not as it should be."""
        found = [f"{one['name']}: {one['detail']}" for one in self.document["findings"] if not one["ok"]]
        for name in ("verified", "drill"):
            last = self.document[name]
            if last is not None and not last["ok"]:
                found.append(f"the last {'verification' if name == 'verified' else 'drill'} failed")
        return (*found, *self.document["problems"])

    @property
    def ok(self) -> bool:
        """Whether all is as it should be."""
        return not self.wrong


@dataclass(frozen=True, slots=True)
class EnvironmentStatus:
    """An environment, whole. ``problems`` says what could not be asked, and why."""

    environment: str
    services: tuple[ServiceStatus, ...]
    databases: tuple[DatabaseStatus, ...]
    queues: dict[str, int]
    harvest: HarvestStatus | None
    urls: dict[str, str]
    problems: tuple[str, ...]
    recovery: RecoveryStatus | None = None

    @property
    def ok(self) -> bool:
        """Whether every service is as it should be and everything could be asked."""
        recoverable = self.recovery is None or self.recovery.ok
        return not self.problems and recoverable and all(service.ok for service in self.services)

    def document(self) -> dict[str, Any]:
        """The status for machines; documented in docs/reference/json.md."""
        document = dataclasses.asdict(self)
        for written, service in zip(document["services"], self.services, strict=True):
            written["ok"] = service.ok
        document["recovery"] = None if self.recovery is None else self.recovery.document
        return document | {"ok": self.ok}


def read_status(
    environment: LocalEnvironment, supervision: Supervision, secrets: ResolvedSecrets
) -> EnvironmentStatus:
    """Look at everything; a part that does not answer becomes a problem, never an exception."""
    services = _services(environment, supervision)
    problems: list[str] = []
    databases: tuple[DatabaseStatus, ...] = ()
    queues: dict[str, int] = {}
    harvest = None
    recovery = None
    running = any(service.pid for service in services)
    if running and set(environment.references()) - set(secrets):
        problems.append("databases and queues were not asked: their passwords cannot be had")
    elif running:
        databases = _ask(problems, "database", lambda: _databases(environment, secrets)) or ()
        queues = _ask(problems, "queues", lambda: _queues(environment, secrets)) or {}
        harvest = _ask(problems, "last harvest", lambda: _harvest(environment, secrets))
    if running:
        recovery = _recovery(environment, problems)
    _restore(environment, problems)
    return EnvironmentStatus(
        environment.profile.environment,
        services,
        databases,
        queues,
        harvest,
        _urls(environment),
        tuple(problems),
        recovery,
    )


def _recovery(environment: LocalEnvironment, problems: list[str]) -> RecoveryStatus | None:
    """What the service last saw; it looks every half minute, so that this costs a read of a file."""
    if not environment.profile.backups.enabled:
        return None
    found = read_document(environment.host.paths.data / backups.NAME / OBSERVATION)
    if not isinstance(found, dict):
        problems.append("backups: the service has not looked at them yet")
        return None
    age = (datetime.now(UTC) - datetime.fromisoformat(found["at"])).total_seconds()
    if age > _OBSERVATION_SECONDS:
        problems.append(f"backups: the service has not looked at them for {age:.0f} s")
    return RecoveryStatus(found)


def _restore(environment: LocalEnvironment, problems: list[str]) -> None:
    """A restore that was cut off is a problem; one that can still be undone is none."""
    try:
        state = StateFile(environment.host.paths.state / "restore.json").read()
    except RestoreError as error:
        problems.append(error.message)
        return
    if state is not None and not state.is_done(Step.DONE):
        name = environment.profile.environment
        problems.append(
            f"a {state.kind} was begun and is not done: `renecinfra restore {name} --resume`, or `--undo`"
        )


def _ask(problems: list[str], what: str, question: Callable[[], T]) -> T | None:
    import psycopg
    import redis

    try:
        return question()
    except (psycopg.Error, redis.RedisError, OSError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        problems.append(f"{what}: {lines[0]}")
        return None


def _services(environment: LocalEnvironment, supervision: Supervision) -> tuple[ServiceStatus, ...]:
    processes = supervision.processes()
    health = supervision.health_all([s.name for s in environment.services if s.name in processes])
    versions = Versions(environment.host)
    found = []
    for service in environment.services:
        process = processes.get(service.name)
        check = health.get(service.name)
        state, detail = "stopped", "not started"
        if process is not None:
            ok = check.ok if check is not None else False
            state = _state(service, process.state, ok=ok)
            detail = check.detail if check is not None else ""
        found.append(
            ServiceStatus(
                service.name,
                service.layer.value,
                state,
                detail,
                process.uptime if process is not None and process.pid else None,
                versions.of(service),
                service.port,
                process.pid if process is not None else None,
            )
        )
    return tuple(found)


def _state(service: Service, process: str, *, ok: bool) -> str:
    """The supervisor's word and the health check's answer as one word."""
    if service.kind == "job":
        return {"done": "done", "running": "starting", "starting": "starting"}.get(process, "failed")
    if process in ("running", "starting") and ok:
        return "healthy"
    words = {"running": "unhealthy", "starting": "starting", "backoff": "restarting", "done": "restarting"}
    return words.get(process, "failed" if process == "failed" else "stopped")


def _databases(environment: LocalEnvironment, secrets: ResolvedSecrets) -> tuple[DatabaseStatus, ...]:
    import psycopg

    found = []
    profile, host = environment.profile, environment.host
    with connect(profile, host, secrets, "primary", seconds=_TIMEOUT) as connection:
        row = connection.execute(
            "select pg_is_in_recovery(), pg_database_size(current_database())"
        ).fetchone()
        if row is None:
            raise psycopg.OperationalError("no answer")
        found.append(
            DatabaseStatus("postgresql-primary", "replica" if row[0] else "primary", size=int(row[1]))
        )
        lag = connection.execute(
            "select pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint,"
            " coalesce(extract(epoch from replay_lag), 0)::float8"
            " from pg_stat_replication where state = 'streaming' and application_name <> 'wal_receiver'"
        ).fetchone()
    if profile.database.replicas:
        with connect(profile, host, secrets, "replica", seconds=_TIMEOUT) as connection:
            row = connection.execute("select pg_is_in_recovery()").fetchone()
        role = "replica" if row and row[0] else "primary"
        found.append(
            DatabaseStatus(
                "postgresql-replica", role, int(lag[0]) if lag else None, float(lag[1]) if lag else None
            )
        )
    return tuple(found)


def _queues(environment: LocalEnvironment, secrets: ResolvedSecrets) -> dict[str, int]:
    import redis

    url = redis_url(environment.profile, environment.host, secrets, "broker")
    with redis.Redis.from_url(url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT) as client:
        return {name: int(client.llen(name)) for name in environment.profile.workloads.worker.queues}


def _harvest(environment: LocalEnvironment, secrets: ResolvedSecrets) -> HarvestStatus | None:
    """The newest row of harvest_runs; None where there is no such table or no run yet."""
    profile, host = environment.profile, environment.host
    with connect(profile, host, secrets, "primary", seconds=_TIMEOUT) as connection:
        there = connection.execute("select to_regclass('public.harvest_runs')").fetchone()
        if there is None or there[0] is None:
            return None
        cursor = connection.execute(
            "select to_jsonb(r) from harvest_runs r where started_at is not null"
            " order by started_at desc limit 1"
        )
        row = cursor.fetchone()
    if row is None:
        return None
    run: dict[str, Any] = row[0]
    started = datetime.fromisoformat(run["started_at"])
    started = started if started.tzinfo else started.replace(tzinfo=UTC)
    age = (datetime.now(UTC) - started).total_seconds()
    # The real application counts in items_extracted, the reference workload by what it stored.
    stored = [run[key] for key in ("standards", "certifiers", "centres") if run.get(key) is not None]
    items = run.get("items_extracted", sum(stored) if stored else None)
    return HarvestStatus(str(run.get("status", "unknown")), started, age, items)


def _urls(environment: LocalEnvironment) -> dict[str, str]:
    local = environment.profile.local
    return {
        "api": edge_url(environment, "/api/v1/ec-standards"),
        "prometheus": f"http://127.0.0.1:{local.port('prometheus')}/",
        "status page": f"http://127.0.0.1:{local.port('prometheus')}/consoles/index.html",
        "alertmanager": f"http://127.0.0.1:{local.port('alertmanager')}/",
    }
