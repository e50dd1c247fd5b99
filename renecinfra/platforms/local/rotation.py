"""Passwords of running services: a new version beside the one before, proof of it, the end of the old one.

The data services are never restarted for a password. PostgreSQL has two roles that log in for the application
by turns (``access.database_login``), and a Redis user may have several passwords, so that both versions work
while the consumers go from one to the other.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from renecinfra.errors import SecretsError
from renecinfra.platforms.local import access, databases, stores
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.secrets.store import ResolvedSecrets

if TYPE_CHECKING:
    import psycopg
    import redis

_SECONDS: Final = 5
_POLL_SECONDS: Final = 0.1
_STORES: Final[tuple[Literal["broker", "cache"], ...]] = ("broker", "cache")


def prepare(profile: Profile, host: Host, secrets: ResolvedSecrets) -> None:
    """Have whatever runs accept these versions of the passwords; what was accepted before still is.

    Nothing happens to a service that does not run: it starts with the passwords that are installed. Safe to
    repeat, and to be interrupted.

    Raises:
        SecretsError: a service runs and cannot be told.
    """
    with superuser(profile, host) as connection:
        if connection is not None:
            _set_passwords(connection, databases.verifiers(profile, host, secrets))
    for target in _STORES:
        with _operator(profile, host, secrets, target) as client:
            if client is not None:
                _change_hashes(client, stores.hashes(profile, secrets), keep_others=True)


def prove(profile: Profile, host: Host, secrets: ResolvedSecrets) -> None:
    """Log in as the application does: through the pooler, and to both Redis.

    Raises:
        SecretsError: one of them does not let it in.
    """
    import psycopg
    import redis

    dsn: dict[str, Any] = access.database_dsn(profile, host, secrets, "pooler", role="application")
    try:
        with psycopg.connect(**dsn, connect_timeout=_SECONDS, prepare_threshold=None) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        raise _failed("the pooler does not let the application in", error) from None
    for target in _STORES:
        url = access.redis_url(profile, host, secrets, target)
        try:
            with redis.Redis.from_url(url, socket_timeout=_SECONDS) as client:
                client.ping()
        except redis.RedisError as error:
            raise _failed(f"the {target} does not let the application in", error) from None


def retire(profile: Profile, host: Host, secrets: ResolvedSecrets) -> None:
    """Have nothing accepted but these versions of the passwords, and end the sessions of the one before.

    Raises:
        SecretsError: a service runs and cannot be told.
    """
    current = access.database_login(profile, secrets[profile.database.password].version)
    with superuser(profile, host) as connection:
        if connection is not None:
            for login in set(access.database_logins(profile)) - {current}:
                _disable(connection, login)
    for target in _STORES:
        with _operator(profile, host, secrets, target) as client:
            if client is not None:
                _change_hashes(client, stores.hashes(profile, secrets), keep_others=False)


def _set_passwords(connection: psycopg.Connection, verifiers: dict[str, str]) -> None:
    from psycopg import sql

    query = "SELECT rolname, rolpassword, rolcanlogin FROM pg_authid WHERE rolname = ANY(%s)"
    # A role that is not there yet is made, and given its password, by the restart that is due.
    for role, password, login in connection.execute(query, (list(verifiers),)).fetchall():
        if password != verifiers[role] or not login:
            statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
            connection.execute(statement.format(sql.Identifier(role), sql.Literal(verifiers[role])))


def _disable(connection: psycopg.Connection, login: str) -> None:
    from psycopg import sql

    row = connection.execute("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", (login,)).fetchone()
    if row == (True,):
        connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(sql.Identifier(login)))
    # The pooler keeps its server connections for minutes.
    connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (login,))


@contextlib.contextmanager
def superuser(profile: Profile, host: Host) -> Iterator[psycopg.Connection | None]:
    """The running primary as an operator of this machine, over its socket; None where none runs."""
    import psycopg

    port = profile.local.port("postgresql_primary")
    deadline = time.monotonic() + _SECONDS
    try:
        while True:
            if not (host.paths.run / f".s.PGSQL.{port}").exists():
                yield None
                return
            try:
                connection = psycopg.connect(
                    host=str(host.paths.run),
                    port=port,
                    user="postgres",
                    dbname="postgres",
                    application_name="renecinfra",
                    connect_timeout=_SECONDS,
                    autocommit=True,
                    # What is executed holds verifiers: nothing of it reaches the log.
                    options="-c log_min_error_statement=panic -c log_min_duration_statement=-1 "
                    f"-c statement_timeout={_SECONDS * 1000}",
                )
                break
            except psycopg.OperationalError as error:
                if "Connection refused" in str(error):  # a socket that a crash left behind
                    yield None
                    return
                if time.monotonic() > deadline:
                    raise
            time.sleep(_POLL_SECONDS)
        with connection:
            yield connection
    except psycopg.Error as error:
        raise _failed(f"{databases.PRIMARY} cannot be told its passwords", error) from None


@contextlib.contextmanager
def _operator(
    profile: Profile, host: Host, secrets: ResolvedSecrets, target: Literal["broker", "cache"]
) -> Iterator[redis.Redis | None]:
    """A running Redis as the user that may set passwords; None where none runs."""
    import redis

    url = access.redis_url(profile, host, secrets, target, role="operator")
    try:
        with redis.Redis.from_url(url, socket_timeout=_SECONDS, decode_responses=True) as client:
            try:
                client.ping()
            except redis.AuthenticationError:
                # Its own password is another, for which it is restarted: it reads the others then, too.
                yield None
                return
            except redis.ConnectionError:
                yield None
                return
            yield client
    except redis.RedisError as error:
        raise _failed(f"redis-{target} cannot be told its passwords", error) from None


def _change_hashes(client: redis.Redis, wanted: Mapping[str, str], *, keep_others: bool) -> None:
    """Give each user its password, known by its SHA-256, and take the others away unless they are kept."""
    for user, digest in wanted.items():
        found: Any = client.acl_getuser(user)
        known = set(found["passwords"]) if found else set()
        changes = [f"#{digest}"] if digest not in known else []
        changes += [] if keep_others else [f"!{old}" for old in known - {digest}]
        if changes:
            client.execute_command("ACL SETUSER", user, *changes)  # type: ignore[no-untyped-call]


def _failed(what: str, error: Exception) -> SecretsError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return SecretsError(
        "password-not-applied",
        f"{what}: {reason}",
        hint="see the service's log (`renecinfra logs ENV SERVICE`), then run the command again",
    )
