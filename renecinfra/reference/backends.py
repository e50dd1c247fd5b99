"""PostgreSQL and Redis as the API uses them: every wait is bounded; a lost one is an answer, not a hang."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar, cast

import psycopg
import redis.asyncio
import redis.exceptions
from prometheus_client import Counter, Gauge, Histogram
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from renecinfra.reference.publishing import CACHE_VERSION

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")

QUERY_SECONDS: Final = 2.5
"""How long a request waits for its query, the wait for a connection included."""
PROBE_SECONDS: Final = 1.0
"""How long a readiness check waits for each backend."""
_CONNECTION_SECONDS: Final = 2.0
_CACHE_SECONDS: Final = 0.25
_CACHE_PAUSE: Final = 5.0  # a cache that does not answer is not asked again for so long
_CACHE_TTL: Final = 3600

QUERIES = Counter("renec_db_queries_total", "Queries.", ("operation", "table"))
DURATION = Histogram("renec_db_query_duration_seconds", "Time of a query with the wait for a connection.")
POOL = Gauge("renec_db_connection_pool_size", "Connections.", ("state",), multiprocess_mode="livesum")
HITS = Counter("renec_api_cache_hits_total", "Answers taken from the cache.")
MISSES = Counter("renec_api_cache_misses_total", "Answers that the cache did not have.")


class UnavailableError(Exception):
    """A backend does not answer in time; the client should come back."""


async def bounded(work: Awaitable[_T], seconds: float, name: str) -> _T:
    """The result of ``work``, or UnavailableError after ``seconds``.

    Work that is late is cancelled but not waited for: cancelling a query talks to the server, which may be
    what does not answer.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        _abandon(task)
        raise
    if not done:
        _abandon(task)
        raise UnavailableError(f"{name} did not answer within {seconds:g} s")
    return task.result()


_abandoned: set[asyncio.Future[Any]] = set()


def _abandon(task: asyncio.Future[Any]) -> None:
    _abandoned.add(task)  # the loop itself keeps only a weak reference
    task.add_done_callback(_forget)
    task.cancel()


def _forget(task: asyncio.Future[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # looked at, so that asyncio does not log it as lost


class Database:
    """Reads through a connection pool."""

    def __init__(self, dsn: str, pool_size: int, max_overflow: int) -> None:
        self._pool = AsyncConnectionPool[psycopg.AsyncConnection[DictRow]](
            dsn,
            # PgBouncer before 1.21 does not keep prepared statements across transactions.
            kwargs={
                "row_factory": dict_row,
                "prepare_threshold": None,
                "autocommit": True,
                "connect_timeout": 5,
            },
            min_size=min(2, pool_size),
            max_size=pool_size + max_overflow,
            timeout=_CONNECTION_SECONDS,
            reconnect_timeout=5,
            open=False,
            name="api",
        )

    async def open(self) -> None:
        """Begin to connect; does not wait, because the API starts without a database too."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Give the connections back."""
        await self._pool.close(timeout=2)

    async def fetch(self, table: str, query: bytes, values: Mapping[str, object]) -> list[DictRow]:
        """The rows of a read of ``table``.

        Raises:
            UnavailableError: PostgreSQL does not answer, or all connections are in use.
        """
        QUERIES.labels("select", table).inc()
        start = time.perf_counter()
        try:
            return await bounded(self._fetch(query, values), QUERY_SECONDS, "PostgreSQL")
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise UnavailableError(f"PostgreSQL: {type(error).__name__}") from error
        finally:
            DURATION.observe(time.perf_counter() - start)
            self._observe()

    async def _fetch(self, query: bytes, values: Mapping[str, object]) -> list[DictRow]:
        try:
            return await self._once(query, values)
        except PoolTimeout:
            raise
        except psycopg.OperationalError:
            # The connection was cut, as a restart of PostgreSQL does to all of them. A read may be repeated.
            await self._pool.check()
            return await self._once(query, values)

    async def _once(self, query: bytes, values: Mapping[str, object]) -> list[DictRow]:
        async with self._pool.connection() as connection:
            return await (await connection.execute(query, values)).fetchall()

    async def ping(self) -> None:
        """Whether PostgreSQL answers a query; raises UnavailableError."""
        try:
            await bounded(self._once(b"SELECT 1", {}), PROBE_SECONDS, "PostgreSQL")
        except (psycopg.Error, PoolTimeout) as error:
            raise UnavailableError(f"PostgreSQL: {type(error).__name__}") from error

    def _observe(self) -> None:
        stats = self._pool.get_stats()
        size, available = stats.get("pool_size", 0), stats.get("pool_available", 0)
        POOL.labels("idle").set(available)
        POOL.labels("used").set(size - available)
        POOL.labels("waiting").set(stats.get("requests_waiting", 0))


class Cache:
    """Answers by their request, valid for one state of the register; without Redis, nothing is cached.

    An entry names the harvest that it was made after, which the harvester publishes as ``cache:version``
    once its data can be read. So an entry never outlives the data, and one read asks for both.
    """

    def __init__(self, url: str) -> None:
        self._redis = client(url, _CACHE_SECONDS)
        self._asked_again_at = 0.0

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def get(self, request: str) -> tuple[bytes | None, bytes]:
        """The cached answer, if there is one, and the version to give to ``put``."""
        values = await self._ask(lambda: self._redis.mget(CACHE_VERSION, f"cache:api:{request}"))
        # The client does not decode, but its types cannot say so.
        version, entry = cast("tuple[bytes | None, bytes | None]", values or (None, None))
        version = version or b"0"
        made_after, _, body = (entry or b"").partition(b"\n")
        if entry is not None and made_after == version:
            HITS.inc()
            return body, version
        MISSES.inc()
        return None, version

    async def put(self, request: str, version: bytes, body: bytes) -> None:
        """Keep an answer for an hour at most."""
        entry = version + b"\n" + body
        await self._ask(lambda: self._redis.set(f"cache:api:{request}", entry, ex=_CACHE_TTL))

    async def _ask(self, command: Callable[[], Awaitable[_T]]) -> _T | None:
        """The answer; none from a cache that is away, which is then left alone for a while."""
        if time.monotonic() < self._asked_again_at:
            return None
        try:
            return await bounded(command(), 2 * _CACHE_SECONDS, "the cache")
        except (UnavailableError, redis.exceptions.RedisError, OSError) as error:
            self._asked_again_at = time.monotonic() + _CACHE_PAUSE
            _LOG.warning("the cache is not asked for %g s: %s", _CACHE_PAUSE, type(error).__name__)
            return None


def client(url: str, seconds: float) -> redis.asyncio.Redis:
    """A Redis client each of whose waits ends after ``seconds``; tries once more, at once.

    A restart of Redis cuts every idle connection, which is noticed only at its next use.
    """
    retry = Retry(NoBackoff(), 1)
    made = redis.asyncio.Redis.from_url(
        url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=retry
    )
    pool = made.connection_pool
    if issubclass(pool.connection_class, redis.asyncio.SSLConnection):
        authority = pool.connection_kwargs.get("ssl_ca_certs")
        pool.connection_kwargs["trust"] = ssl.create_default_context(cafile=authority)
        pool.connection_class = _Encrypted
    return made


class _Encrypted(redis.asyncio.SSLConnection):
    """A connection with its pool's TLS settings.

    By itself each one reads all of the system's authorities, which it then trusts beside ours, and holds up
    every other request for 40 ms. Many at once would make all of them late, and so close and open many more.
    """

    def __init__(self, *, trust: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context.context = trust


async def ping(broker: redis.asyncio.Redis) -> None:
    """Whether Redis answers PONG to this user; raises UnavailableError."""
    try:
        answer = await bounded(_ping(broker), PROBE_SECONDS, "Redis")
    except (redis.exceptions.RedisError, OSError) as error:
        raise UnavailableError(f"Redis: {type(error).__name__}") from error
    if answer is not True:
        raise UnavailableError("Redis: not a PONG")


async def _ping(broker: redis.asyncio.Redis) -> object:
    return await broker.execute_command("PING")  # type: ignore[no-untyped-call]
