"""The workers hook: the sizing holds against what runs, not only against what was rendered.

PostgreSQL and PgBouncer are asked for their limits, because a changed limit may want a restart that has not
happened. Then the processes are counted, and the broker is asked whether anybody takes from the queues.
"""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, LiteralString, cast

from renecinfra.errors import HookError
from renecinfra.hooks.protocol import Check, HookContext
from renecinfra.hooks.runner import poll
from renecinfra.platforms.local.access import database_dsn, redis_url
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import OTHER_CLIENTS, WORKER_CONNECTIONS, Sizing
from renecinfra.profiles.workloads import Workload
from renecinfra.rendering import write_atomically
from renecinfra.services.supervision import ProcessState, Supervision

REPORT: Final = "sizing.json"
"""The report's name in the environment's state directory."""
_TIMEOUT: Final = 3
_VERIFY_SECONDS: Final = 10.0
# Helpers of Python's multiprocessing, which do no work of ours.
_TRACKERS: Final = (b"resource_tracker", b"semaphore_tracker")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the running servers allow."""

    max_connections: int
    max_client_connections: int
    pool_size: int


class WorkersHook:
    """See the module; ``run`` holds the sums against the live limits, ``verify`` counts what works."""

    name = "workers"
    needs: tuple[str, ...] = ()

    def run(self, context: HookContext) -> str:
        """Check that the sums fit and write the report; says how much of what is used.

        Raises:
            HookError: a server does not answer, or a sum does not fit; the sum is spelled out.
        """
        limits = live_limits(context)
        require_fit(context.profile, context.sizing, limits)
        report = sizing_report(context.profile, context.sizing, limits, context.host.cores)
        write_atomically(context.host.paths.state / REPORT, json.dumps(report, indent=2) + "\n")
        sizing = context.sizing
        return (
            f"{sizing.api_replicas * sizing.api_processes} api processes, "
            f"{sizing.worker_replicas * sizing.worker_concurrency} worker processes, "
            f"{limits.pool_size + context.profile.database.reserved_connections} of "
            f"{limits.max_connections} connections"
        )

    def verify(self, context: HookContext) -> list[Check]:
        """Count the processes, and look for a consumer of each queue; waits a little for both."""
        deadline = time.monotonic() + min(
            _VERIFY_SECONDS, context.profile.hooks.workers.timeout.total_seconds()
        )
        return poll(lambda: [*_check_processes(context), *_check_queues(context)], deadline)


def live_limits(context: HookContext) -> Limits:
    """Ask PostgreSQL's primary and PgBouncer's console.

    Raises:
        HookError: one does not answer.
    """
    import psycopg

    asked = "postgresql-primary"
    try:
        dsn = database_dsn(context.profile, context.host, context.secrets, "primary")
        [[allowed]] = _ask(dsn, "SHOW max_connections")
        asked = "pgbouncer"
        dsn = database_dsn(context.profile, context.host, context.secrets, "pooler", database="pgbouncer")
        config, databases = _ask(dsn, "SHOW CONFIG", "SHOW DATABASES")
        settings = {row["key"]: row["value"] for row in config}
        pools = {row["name"]: row["pool_size"] for row in databases}
        return Limits(
            int(allowed["max_connections"]),
            int(settings["max_client_conn"]),
            int(pools[context.profile.database.name]),
        )
    except (psycopg.Error, KeyError) as error:
        # psycopg's messages name host, port and role, never the password.
        lines = str(error).strip().splitlines()
        raise HookError(
            "workers-unreachable",
            f"{asked} does not say what it allows: {lines[0] if lines else type(error).__name__}",
            hint=f"look at `renecinfra logs {context.profile.environment} {asked}`",
        ) from None


def _ask(dsn: dict[str, str], *statements: LiteralString) -> list[list[dict[str, Any]]]:
    """Each statement's rows. PgBouncer's console knows neither transactions nor prepared statements."""
    import psycopg
    from psycopg.rows import dict_row

    arguments: dict[str, Any] = {**dsn, "connect_timeout": _TIMEOUT}
    connection = psycopg.connect(**arguments, autocommit=True, prepare_threshold=None)
    with closing(connection), connection.cursor(row_factory=dict_row) as cursor:
        return [cursor.execute(statement).fetchall() for statement in statements]


def require_fit(profile: Profile, sizing: Sizing, limits: Limits) -> None:
    """Hold the sums against the limits.

    Raises:
        HookError: one does not fit, or PgBouncer has another pool than was rendered.
    """
    reserved = profile.database.reserved_connections
    if limits.pool_size != sizing.pooler_pool_size:
        raise HookError(
            "workers-sizing",
            f"PgBouncer's pool has {limits.pool_size} connections instead of {sizing.pooler_pool_size}",
            hint=f"run `renecinfra restart {profile.environment} pgbouncer`",
        )
    if limits.pool_size + reserved > limits.max_connections:
        raise HookError(
            "workers-sizing",
            f"PostgreSQL allows {limits.max_connections} connections, but PgBouncer's {limits.pool_size} and "
            f"the {reserved} reserved make {limits.pool_size + reserved}",
            hint="raise database.max_connections or lower database.pooler.pool_size; PostgreSQL takes a new "
            "max_connections only when it restarts",
        )
    clients = client_connections(profile, sizing)
    if clients > limits.max_client_connections:
        raise HookError(
            "workers-sizing",
            f"PgBouncer allows {limits.max_client_connections} clients, but {_client_sum(profile, sizing)} "
            f"make {clients}",
            hint="raise database.pooler.max_client_connections or lower the workloads' numbers",
        )


def client_connections(profile: Profile, sizing: Sizing) -> int:
    """The most connections to PgBouncer that the workloads and everybody else can open."""
    pool = sizing.api_pool_size + profile.workloads.api.max_overflow
    api = sizing.api_replicas * sizing.api_processes * pool
    workers = sizing.worker_replicas * (sizing.worker_concurrency + 1) * WORKER_CONNECTIONS
    return api + workers + OTHER_CLIENTS


def _client_sum(profile: Profile, sizing: Sizing) -> str:
    pool = sizing.api_pool_size + profile.workloads.api.max_overflow
    return (
        f"{sizing.api_replicas} api × {sizing.api_processes} processes × {pool}, "
        f"{sizing.worker_replicas} workers × {sizing.worker_concurrency + 1} processes × "
        f"{WORKER_CONNECTIONS} and {OTHER_CLIENTS} others"
    )


def sizing_report(profile: Profile, sizing: Sizing, limits: Limits, cores: int) -> dict[str, Any]:
    """The report: what was decided, what the servers allow, and what that leaves."""
    reserved = profile.database.reserved_connections
    clients = client_connections(profile, sizing)
    return {
        "environment": profile.environment,
        "cores": cores,
        "sizing": asdict(sizing),
        "limits": asdict(limits),
        "server_connections": {
            "pool": limits.pool_size,
            "reserved": reserved,
            "free": limits.max_connections - limits.pool_size - reserved,
        },
        "client_connections": {"needed": clients, "free": limits.max_client_connections - clients},
    }


def _check_processes(context: HookContext) -> list[Check]:
    workloads, sizing = context.profile.workloads, context.sizing
    states = Supervision(context.host.paths).processes()
    children = _children()
    checks = []
    if workloads.api.enabled:
        # uvicorn forks only when there are several.
        forked = sizing.api_processes if sizing.api_processes > 1 else 0
        counted = forked if workloads.api.command is None else None
        checks += [_count(f"api-{n + 1}", counted, states, children) for n in range(workloads.api.replicas)]
    if workloads.worker.enabled:
        counted = sizing.worker_concurrency if _says_concurrency(workloads.worker) else None
        checks += [
            _count(f"worker-{n + 1}", counted, states, children) for n in range(workloads.worker.replicas)
        ]
    return checks


def _says_concurrency(worker: Workload) -> bool:
    """Whether the number of processes is ours to say; a profile's own command may have its own."""
    return worker.command is None or any("{concurrency}" in word for word in worker.command)


def _count(
    name: str, wanted: int | None, states: dict[str, ProcessState], children: dict[int, list[int]]
) -> Check:
    state = states.get(name)
    if state is None or state.pid is None:
        return Check(name, False, "does not run")
    if wanted is None:
        return Check(name, True, "runs")
    found = sum(1 for pid in children.get(state.pid, []) if not _is_tracker(pid))
    return Check(name, found == wanted, f"{found} of {wanted} child processes" if wanted else "one process")


def _children() -> dict[int, list[int]]:
    """Live processes by their parent (zombies do not count); field 4 of /proc/PID/stat, see proc(5)."""
    found: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The second field, the command in brackets, may hold anything.
            fields = path.read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields and fields[0] != b"Z":
            found.setdefault(int(fields[1]), []).append(int(path.parent.name))
    return found


def _is_tracker(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True
    return any(tracker in command for tracker in _TRACKERS)


def _check_queues(context: HookContext) -> list[Check]:
    """Whether workers take from the broker now.

    A worker with room waits in BRPOP on its queues; one without has unacknowledged messages, which Kombu
    keeps in the hash ``unacked``. (Bindings say nothing: they outlive the worker that made them.)
    """
    worker = context.profile.workloads.worker
    if not worker.enabled or not worker.replicas:
        return []
    import redis

    url = redis_url(context.profile, context.host, context.secrets, "broker")
    monitor = redis_url(context.profile, context.host, context.secrets, "broker", role="monitor")
    timeouts = {"socket_timeout": _TIMEOUT, "socket_connect_timeout": _TIMEOUT}
    try:
        with redis.Redis.from_url(monitor, **timeouts) as broker:
            waiting = sum(1 for client in broker.client_list() if client["cmd"] == "brpop")
        with redis.Redis.from_url(url, **timeouts) as broker:
            under_way = int(cast(int, broker.hlen("unacked")))
    except redis.RedisError as error:
        return [Check("queues", False, str(error))]
    seen = f"{waiting} workers wait for work, {under_way} messages are being worked on"
    return [Check("queues", waiting + under_way > 0, seen)]
