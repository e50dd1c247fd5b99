"""New passwords beside the old ones, in PostgreSQL, PgBouncer and Redis that go on running."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from renecinfra.errors import SecretsError
from renecinfra.platforms.local import access, databases, rotation, stores
from renecinfra.secrets.store import SecretVersion

pytestmark = pytest.mark.integration


def dsn(platform: Any, target: str = "pooler") -> dict[str, Any]:
    return access.database_dsn(platform.profile, platform.host, platform.secrets, target, role="application")


def log_in(arguments: dict[str, Any]) -> psycopg.Connection[Any]:
    return psycopg.connect(**arguments, connect_timeout=5, autocommit=True, prepare_threshold=None)


def ask(arguments: dict[str, Any], query: str = "select current_user, session_user") -> Any:
    with log_in(arguments) as connection:
        return connection.execute(query).fetchone()


def execute(platform: Any, statement: str) -> None:
    with log_in(dsn(platform)) as connection:
        connection.execute(statement)


def client(platform: Any, target: str = "broker", role: str = "application") -> redis.Redis:
    return redis.Redis.from_url(
        access.redis_url(platform.profile, platform.host, platform.secrets, target, role=role)
    )


def ready(what: Any) -> Any:
    def answer() -> bool:
        try:
            return bool(what())
        except (psycopg.OperationalError, redis.ConnectionError):
            return False

    return answer


@pytest.fixture
def running(platform: Any, pristine: Path) -> Iterator[Any]:
    """A primary, the pooler and both Redis."""
    platform.copy_owned(pristine / databases.PRIMARY, platform.host.paths.data / databases.PRIMARY)
    for name in (databases.PRIMARY, databases.POOLER, stores.BROKER, stores.CACHE):
        platform.start(name)
    platform.wait_for(databases.POOLER, ready(lambda: ask(dsn(platform))))
    platform.wait_for(stores.BROKER, ready(lambda: client(platform).ping()))
    platform.wait_for(stores.CACHE, ready(lambda: client(platform, "cache").ping()))
    return platform


def turn(platform: Any) -> None:
    """Another version of what the application logs in with."""
    before = dict(platform.secrets)
    platform.rotate()
    names = (platform.profile.database.password, platform.profile.cache.password)
    platform.secrets = before | {name: platform.secrets[name] for name in names}


def prepare(platform: Any) -> None:
    rotation.prepare(platform.profile, platform.host, platform.secrets)


def retire(platform: Any) -> None:
    rotation.retire(platform.profile, platform.host, platform.secrets)


def test_both_versions_log_in_as_the_owner_until_the_old_one_is_retired(running: Any) -> None:
    old = dsn(running)
    turn(running)
    with pytest.raises(SecretsError, match="does not let the application in"):
        rotation.prove(running.profile, running.host, running.secrets)
    prepare(running)
    rotation.prove(running.profile, running.host, running.secrets)
    assert ask(old) == ("renec", "renec_b")
    assert ask(dsn(running)) == ("renec", "renec_a")
    retire(running)
    rotation.prove(running.profile, running.host, running.secrets)
    with pytest.raises(psycopg.OperationalError):
        ask(old)
    with pytest.raises(psycopg.OperationalError, match=r"not permitted to log in|authentication failed"):
        ask(old | {"port": dsn(running, "primary")["port"]})


def test_to_prepare_and_retire_again_changes_nothing(running: Any) -> None:
    turn(running)
    for _ in range(2):
        prepare(running)
    for _ in range(2):
        retire(running)
    rotation.prove(running.profile, running.host, running.secrets)


def test_what_one_login_makes_belongs_to_the_other_as_well(running: Any) -> None:
    execute(running, "create table made_before (n int)")
    turn(running)
    prepare(running)
    retire(running)
    execute(running, "alter table made_before add column m int")
    assert ask(dsn(running), "select tableowner from pg_tables where tablename = 'made_before'") == ("renec",)


def test_the_old_password_stored_once_more_is_accepted_as_the_same_login(running: Any) -> None:
    """What undoing a rotation does: the version after the next has the old value, and its login."""
    before = dict(running.secrets)
    turn(running)
    prepare(running)
    running.secrets = {name: SecretVersion(secret.value, 3) for name, secret in before.items()}
    old = dsn(running) | {"user": "renec_b"}
    with log_in(old) as kept:
        prepare(running)
        assert kept.execute("select session_user").fetchone() == ("renec_b",)
        rotation.prove(running.profile, running.host, running.secrets)
        retire(running)
        assert kept.execute("select session_user").fetchone() == ("renec_b",)


def test_a_redis_connection_survives_and_the_old_password_ends_with_its_retirement(running: Any) -> None:
    with client(running) as connected, client(running) as late:
        connected.set("kept", "1")
        turn(running)
        prepare(running)
        assert connected.get("kept") == b"1"
        assert late.ping()
        with client(running) as new:
            assert new.get("kept") == b"1"
        retire(running)
        assert connected.get("kept") == b"1"
        late.connection_pool.disconnect()
        with pytest.raises(redis.AuthenticationError):
            late.ping()


def test_the_operator_sees_no_data(running: Any) -> None:
    with client(running, role="operator") as operator, pytest.raises(redis.exceptions.NoPermissionError):
        operator.get("kept")


def test_nothing_runs_and_nothing_is_wrong(platform: Any) -> None:
    prepare(platform)
    retire(platform)


def test_no_query_fails_at_fifty_a_second_while_clients_change_over(running: Any) -> None:
    execute(running, "create table t as select 1 as n")
    current, failures, done = [dsn(running)], [], threading.Event()
    answered = [0]

    def load(offset: float) -> None:
        due = time.monotonic() + offset
        connection, mine = None, None
        while not done.is_set():
            time.sleep(max(0.0, due - time.monotonic()))
            due += 0.1
            try:
                if mine is not current[0]:  # a consumer that was started again with the new file
                    if connection is not None:
                        connection.close()
                    mine = current[0]
                    connection = log_in(mine)
                assert connection is not None
                assert connection.execute("select n from t").fetchone() == (1,)
                answered[0] += 1
            except psycopg.Error as error:
                failures.append(str(error))
        if connection is not None:
            connection.close()

    threads = [threading.Thread(target=load, args=(n / 50,)) for n in range(5)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    turn(running)
    prepare(running)
    time.sleep(0.5)
    current[0] = dsn(running)
    time.sleep(1)
    retire(running)
    time.sleep(0.5)
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert answered[0] > 100


def test_no_password_and_no_verifier_reaches_a_log(running: Any) -> None:
    turn(running)
    prepare(running)
    retire(running)
    for name in (databases.PRIMARY, databases.POOLER, stores.BROKER):
        text = running.log(name)
        assert "SCRAM-SHA-256$" not in text
        assert "p1-" not in text
        assert "p2-" not in text
