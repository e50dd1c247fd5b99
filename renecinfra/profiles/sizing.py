"""How many processes and connections an environment gets, from its profile and the machine's cores.

The chain is workloads -> PgBouncer -> PostgreSQL. Every api process keeps a pool of connections to PgBouncer,
and so does every worker child; PgBouncer accepts ``max_client_connections`` of them and lends each, for a
transaction, one of its ``pool_size`` connections to PostgreSQL; PostgreSQL accepts ``max_connections``, of
which ``reserved_connections`` are for replication's starts, monitoring, migrations and people. In session
mode a client keeps its server connection, so that ``pool_size`` must be as large as the number of clients.

Numbers that the profile gives are kept; ``auto`` is made to fit beside them. Whether that is possible does
not depend on the machine: :func:`problems` decides it with every ``auto`` at its least.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from renecinfra.errors import ProfileError
from renecinfra.profiles.model import Profile
from renecinfra.profiles.workloads import Workload, millicores

WORKER_CONNECTIONS: Final = 2
"""Database connections of one worker process, child or parent: its job's and one for its bookkeeping."""
OTHER_CLIENTS: Final = 6
"""Clients of PgBouncer besides api and workers: migrations, beat, the exporter, status and people."""
POOL_SPARE: Final = 4
"""What an api process's pool has beyond the requests let through to it: readiness checks and metrics."""
REDIS_CONNECTIONS: Final = 10
"""Connections of one process to the broker: Celery's broker_pool_limit (its documented default)."""
_PROCESSES_MAX: Final = 4
_CONCURRENCY_MAX: Final = 4


@dataclass(frozen=True, slots=True)
class Sizing:
    """The numbers behind ``auto``, checked to fit together.

    Replicas of a cluster's workloads are the most that autoscaling makes of them; disabled ones have none.
    ``connections_needed`` is what workloads and reserve can take of PostgreSQL at most, through the pooler;
    ``connections_available`` is ``max_connections``.
    """

    api_replicas: int
    api_processes: int
    api_pool_size: int
    worker_replicas: int
    worker_concurrency: int
    pooler_pool_size: int
    connections_needed: int
    connections_available: int


@dataclass(frozen=True, slots=True)
class Misfit:
    """A number that does not fit, with the sum spelled out."""

    path: tuple[str, ...]
    message: str
    hint: str


def size(profile: Profile, cores: int) -> Sizing:
    """The numbers for a machine of ``cores`` cores; on a cluster the workloads' CPU limits count instead.

    Raises:
        ProfileError: numbers that the profile gives do not fit together. Loaded profiles always fit.
    """
    misfit = next(problems(profile), None)
    if misfit is not None:
        raise ProfileError("profile-sizing", misfit.message, hint=misfit.hint)
    demand = _Demand.least(profile)
    workloads = profile.workloads
    if workloads.worker.concurrency == "auto":
        wanted = min(_CONCURRENCY_MAX, _cores(profile, workloads.worker, cores))
        demand = _grow(profile, demand, "concurrency", wanted)
    # The reference API, which stands in on local, has one process.
    if workloads.api.processes == "auto" and (profile.platform.kind != "local" or workloads.api.command):
        wanted = min(_PROCESSES_MAX, _cores(profile, workloads.api, cores))
        demand = _grow(profile, demand, "processes", wanted)
    if workloads.api.pool_size == "auto":
        demand = _grow(profile, demand, "pool", profile.edge.max_connections_per_api + POOL_SPARE)
    given = profile.database.pooler.pool_size
    pooler = given if given != "auto" else min(_available(profile), demand.clients)
    return Sizing(
        api_replicas=demand.api_replicas,
        api_processes=demand.processes,
        api_pool_size=demand.pool,
        worker_replicas=demand.worker_replicas,
        worker_concurrency=demand.concurrency,
        pooler_pool_size=pooler,
        connections_needed=pooler + profile.database.reserved_connections,
        connections_available=profile.database.max_connections,
    )


def problems(profile: Profile) -> Iterator[Misfit]:
    """What cannot fit on any machine, even with every ``auto`` at its least."""
    yield from _misfits(profile, _Demand.least(profile))


@dataclass(frozen=True, slots=True)
class _Demand:
    """What the workloads ask for. Replicas are the most that autoscaling makes of them."""

    api_replicas: int
    processes: int
    pool: int
    overflow: int
    worker_replicas: int
    concurrency: int

    @classmethod
    def least(cls, profile: Profile) -> _Demand:
        """The profile's numbers, with every ``auto`` at the least that works."""
        api, worker = profile.workloads.api, profile.workloads.worker
        # A pool smaller than the requests let through hangs the application's event loop.
        least_pool = max(1, profile.edge.max_connections_per_api - api.max_overflow)
        return cls(
            api_replicas=_replicas(profile, api),
            processes=1 if api.processes == "auto" else api.processes,
            pool=least_pool if api.pool_size == "auto" else api.pool_size,
            overflow=api.max_overflow,
            worker_replicas=_replicas(profile, worker),
            concurrency=1 if worker.concurrency == "auto" else worker.concurrency,
        )

    @property
    def clients(self) -> int:
        """Connections to PgBouncer."""
        api = self.api_replicas * self.processes * (self.pool + self.overflow)
        return api + self.worker_replicas * (self.concurrency + 1) * WORKER_CONNECTIONS + OTHER_CLIENTS

    @property
    def broker_clients(self) -> int:
        """Connections to the broker, with two processes' worth for beat and for people."""
        processes = self.api_replicas * self.processes + self.worker_replicas * (self.concurrency + 1) + 2
        return processes * REDIS_CONNECTIONS

    def sum(self) -> str:
        """How ``clients`` comes about."""
        return (
            f"{self.api_replicas} api replicas x {self.processes} processes x ({self.pool} pooled + "
            f"{self.overflow} overflow) + {self.worker_replicas} workers x ({self.concurrency} jobs + 1) x "
            f"{WORKER_CONNECTIONS} + {OTHER_CLIENTS} others = {self.clients}"
        )


def _grow(profile: Profile, demand: _Demand, field: str, wanted: int) -> _Demand:
    """``demand`` with ``field`` as large as wanted, or as large as fits."""
    best = demand
    for value in range(getattr(demand, field) + 1, wanted + 1):
        larger = replace(demand, **{field: value})
        if any(True for _ in _misfits(profile, larger)):
            break
        best = larger
    return best


def _misfits(profile: Profile, demand: _Demand) -> Iterator[Misfit]:
    yield from _database_misfits(profile, demand)
    api, limit = profile.workloads.api, profile.edge.max_connections_per_api
    if api.enabled and demand.pool + demand.overflow < limit:
        yield Misfit(
            ("workloads", "api", "pool_size"),
            f"workloads.api.pool_size is too small: {demand.pool} pooled + {demand.overflow} overflow = "
            f"{demand.pool + demand.overflow} connections for the {limit} concurrent requests of "
            "edge.max_connections_per_api",
            "raise the pool or lower edge.max_connections_per_api: the API hangs when its pool is empty",
        )
    broker = profile.cache.broker.max_clients
    if demand.broker_clients > broker:
        yield Misfit(
            ("cache", "broker", "max_clients"),
            f"cache.broker.max_clients is too small: ({demand.api_replicas} x {demand.processes} api "
            f"processes + {demand.worker_replicas} x ({demand.concurrency} + 1) worker processes + 2 others) "
            f"x {REDIS_CONNECTIONS} = {demand.broker_clients} connections, more than {broker}",
            "raise it, or run fewer processes",
        )


def _database_misfits(profile: Profile, demand: _Demand) -> Iterator[Misfit]:
    database, pooler = profile.database, profile.database.pooler
    available = _available(profile)
    given, reserved = database.max_connections, database.reserved_connections
    room = f"max_connections {given} - reserved {reserved} = {available}"
    if available < 1:
        yield Misfit(
            ("database", "reserved_connections"),
            f"database.reserved_connections leaves no connection for the workloads: {room}",
            "raise database.max_connections or reserve fewer",
        )
        return
    explicit = pooler.pool_size != "auto"
    servers = available if pooler.pool_size == "auto" else pooler.pool_size
    blamed = ("database", "pooler", "pool_size") if explicit else ("database", "max_connections")
    if servers > available:
        yield Misfit(
            blamed,
            f"database.pooler.pool_size {servers} does not fit: {room}",
            "lower it or raise database.max_connections",
        )
    if demand.clients > pooler.max_client_connections:
        yield Misfit(
            ("database", "pooler", "max_client_connections"),
            f"database.pooler.max_client_connections {pooler.max_client_connections} is too small: "
            f"{demand.sum()}",
            "raise it, or lower the replicas, processes or pools of the workloads",
        )
    if pooler.mode == "session" and demand.clients > servers:
        yield Misfit(
            blamed,
            f"{'.'.join(blamed)} is too small for database.pooler.mode session, in which every client keeps "
            f"a connection: {demand.sum()}, and there are {servers}",
            "use the transaction mode, or raise it",
        )
    jobs = demand.worker_replicas * demand.concurrency
    if pooler.mode == "transaction" and jobs >= servers:
        yield Misfit(
            blamed,
            f"{'.'.join(blamed)} is too small: {demand.worker_replicas} workers x {demand.concurrency} jobs "
            f"= {jobs} can hold all {servers} server connections, and the API none",
            "raise it, or lower the workers' replicas or concurrency",
        )


def _available(profile: Profile) -> int:
    return profile.database.max_connections - profile.database.reserved_connections


def _replicas(profile: Profile, workload: Workload) -> int:
    if not workload.enabled:
        return 0
    most = None if profile.platform.kind == "local" else workload.replicas_max
    return workload.replicas if most is None else most


def _cores(profile: Profile, workload: Workload, cores: int) -> int:
    """The cores that one replica has: a share of this machine's, or its CPU limit on a cluster."""
    if profile.platform.kind == "local":
        return max(1, cores // max(1, workload.replicas))
    return max(1, millicores(workload.resources.cpu_limit) // 1000)
