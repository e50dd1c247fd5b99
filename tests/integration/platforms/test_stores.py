"""The broker and the cache as the local platform runs them: who may do what, and what survives."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from renecinfra.platforms.local import stores
from renecinfra.platforms.local.access import redis_url

pytestmark = pytest.mark.integration

TARGETS = {stores.BROKER: "broker", stores.CACHE: "cache"}


@contextlib.contextmanager
def client(platform: Any, name: str, role: str = "application") -> Iterator[Any]:
    url = redis_url(platform.profile, platform.host, platform.secrets, TARGETS[name], role=role)
    with redis.Redis.from_url(url, socket_timeout=5, decode_responses=True) as connection:
        yield connection


def pings(platform: Any, name: str) -> Callable[[], bool]:
    def ask() -> bool:
        with contextlib.suppress(redis.ConnectionError), client(platform, name, "monitor") as connection:
            return bool(connection.ping())
        return False

    return ask


def start(platform: Any, name: str) -> None:
    platform.start(name)
    platform.wait_for(name, pings(platform, name))


def test_nobody_gets_in_without_a_password(platform: Any) -> None:
    start(platform, stores.BROKER)
    port = platform.profile.local.port("redis_broker")
    once = Retry(NoBackoff(), 0)
    for wrong in ({}, {"username": "renec", "password": "wrong"}, {"username": "default"}):
        anybody = redis.Redis(port=port, retry=once, **wrong)
        with anybody, pytest.raises(redis.AuthenticationError):
            anybody.ping()


def test_the_application_uses_its_data_and_does_not_administer(platform: Any) -> None:
    start(platform, stores.BROKER)
    with client(platform, stores.BROKER) as broker:
        broker.lpush("harvest", "task")
        assert broker.llen("harvest") == 1
        assert broker.keys("harv*") == ["harvest"]
        assert broker.info("server")["redis_mode"] == "standalone"
        with broker.pubsub() as channel:
            channel.subscribe("celery.pidbox")
        for forbidden in (
            "CONFIG GET maxmemory",
            "SHUTDOWN",
            "FLUSHALL",
            "FLUSHDB",
            "ACL LIST",
            "REPLICAOF x 1",
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                broker.execute_command(*forbidden.split())


def test_the_cache_may_be_emptied_by_the_application(platform: Any) -> None:
    start(platform, stores.CACHE)
    with client(platform, stores.CACHE) as cache:
        cache.set("cache:a", "1", ex=3600)
        assert cache.flushdb()
        assert cache.dbsize() == 0


def test_the_monitor_looks_and_neither_reads_values_nor_writes(platform: Any) -> None:
    start(platform, stores.BROKER)
    with client(platform, stores.BROKER) as broker:
        broker.lpush("harvest", "task")
        broker.set("cache:a", "private")
    with client(platform, stores.BROKER, "monitor") as monitor:
        assert monitor.llen("harvest") == 1
        assert monitor.type("harvest") == "list"
        assert monitor.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert monitor.info()["maxmemory"] == platform.profile.cache.broker.max_memory
        for forbidden in ("GET cache:a", "LPUSH harvest x", "CONFIG SET maxmemory 1", "KEYS *"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                monitor.execute_command(*forbidden.split())


def test_the_broker_keeps_its_queue_through_a_kill(platform: Any) -> None:
    start(platform, stores.BROKER)
    with client(platform, stores.BROKER) as broker:
        broker.lpush("harvest", "task")
    platform.wait_until(lambda: synced(platform))
    platform.kill(stores.BROKER)
    start(platform, stores.BROKER)
    with client(platform, stores.BROKER) as broker:
        assert broker.lrange("harvest", 0, -1) == ["task"]


def synced(platform: Any) -> bool:
    with client(platform, stores.BROKER) as broker:
        persistence = broker.info("persistence")
    return persistence["aof_enabled"] == 1 and persistence["aof_buffer_length"] == 0


def test_the_broker_refuses_when_full_and_the_cache_makes_room(platform: Any) -> None:
    small = platform.profile.cache.broker.model_copy(update={"max_memory": 3 << 20})
    platform.change(cache=platform.profile.cache.model_copy(update={"broker": small, "cache": small}))
    value = "x" * 100_000
    for name in TARGETS:
        start(platform, name)
    with client(platform, stores.BROKER) as broker:
        broker.set("first", "1")
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            for number in range(50):
                broker.set(f"k{number}", value)
        assert broker.get("first") == "1"
    with client(platform, stores.CACHE) as cache:
        for number in range(50):
            cache.set(f"k{number}", value)
        assert cache.info("stats")["evicted_keys"] > 0


def test_the_cache_forgets(platform: Any) -> None:
    start(platform, stores.CACHE)
    with client(platform, stores.CACHE) as cache:
        cache.set("cache:a", "1")
    assert platform.stop(stores.CACHE) == 0
    assert list((platform.host.paths.data / stores.CACHE).iterdir()) == []


def test_a_new_password_is_the_only_one(platform: Any) -> None:
    start(platform, stores.CACHE)
    old = redis_url(platform.profile, platform.host, platform.secrets, "cache")
    platform.stop(stores.CACHE)
    platform.rotate()
    start(platform, stores.CACHE)
    with redis.Redis.from_url(old) as connection, pytest.raises(redis.AuthenticationError):
        connection.ping()


def test_the_password_is_in_no_file_but_the_health_checks(platform: Any) -> None:
    start(platform, stores.BROKER)
    password = platform.secrets[platform.profile.cache.password].value.reveal()
    etc = platform.host.paths.etc / stores.BROKER
    assert all(password not in path.read_text() for path in etc.iterdir())
    assert hashlib.sha256(password.encode()).hexdigest() in (etc / "users.acl").read_text()
    assert password not in platform.log(stores.BROKER)
