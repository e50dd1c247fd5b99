"""How the command line itself reaches the data services: addresses with passwords, never to be printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from renecinfra.platforms.local import encryption
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.secrets.store import ResolvedSecrets

if TYPE_CHECKING:
    import psycopg

REPLICATION_PASSWORD: Final = "generated:replication_password"  # noqa: S105 - a reference
POOLER_PASSWORD: Final = "generated:pooler_password"  # noqa: S105 - a reference
MONITORING_PASSWORD: Final = "generated:monitoring_password"  # noqa: S105 - a reference
OPERATOR_PASSWORD: Final = "generated:redis_operator_password"  # noqa: S105 - a reference

REPLICATION_ROLE: Final = "renec_replication"
POOLER_ROLE: Final = "renec_pooler"
MONITOR_ROLE: Final = "renec_monitor"
PEOPLE_ROLE: Final = "renec_people"
VAULT_ROLE: Final = "renec_vault"
REDIS_USER: Final = "renec"
REDIS_MONITOR: Final = "monitor"
REDIS_OPERATOR: Final = "operator"

_ADDRESS: Final = "127.0.0.1"
_DATABASE_PORTS: Final = {
    "primary": "postgresql_primary",
    "replica": "postgresql_replica",
    "pooler": "pgbouncer",
}
_REDIS_PORTS: Final = {"broker": "redis_broker", "cache": "redis_cache"}


def database_logins(profile: Profile) -> tuple[str, str]:
    """The roles that the application logs in as by turns: with even versions of its password, with odd."""
    return f"{profile.database.user}_a", f"{profile.database.user}_b"


def database_login(profile: Profile, version: int) -> str:
    """The role that has this version of the application's password."""
    return database_logins(profile)[version % 2]


def database_dsn(
    profile: Profile,
    host: Host,
    secrets: ResolvedSecrets,
    target: Literal["primary", "replica", "pooler"],
    *,
    role: Literal["monitor", "application"] = "monitor",
    database: str | None = None,
    ca: str | None = None,
) -> dict[str, str]:
    """Arguments for ``psycopg.connect(**…)``; they hold a password.

    As ``monitor`` (the role ``renec_monitor``) everything may be read and nothing changed. ``database`` is
    the application's unless named: ``postgres``, or ``pgbouncer``, the pooler's console, where ``monitor``
    may use SHOW. Through a pooler in transaction mode, pass ``prepare_threshold=None`` as well. ``ca`` is the
    trusted certificate's file, where there is TLS: the one that the command line may read unless named.
    """
    monitor = role == "monitor"
    secret = secrets[MONITORING_PASSWORD if monitor else profile.database.password]
    trust = {"sslmode": "verify-full", "sslrootcert": ca or str(host.paths.ca)}
    return {
        "host": _ADDRESS,
        "port": str(profile.local.port(_DATABASE_PORTS[target])),
        "dbname": database or profile.database.name,
        "user": MONITOR_ROLE if monitor else database_login(profile, secret.version),
        "password": secret.value.reveal(),
        "application_name": "renecinfra",
        **(trust if encryption.enabled(profile) else {}),
    }


def connect(
    profile: Profile,
    host: Host,
    secrets: ResolvedSecrets,
    target: Literal["primary", "replica", "pooler"],
    *,
    seconds: int,
    database: str | None = None,
) -> psycopg.Connection:
    """A connection as ``monitor``, in autocommit mode; ``seconds`` bounds connecting and every statement.

    Raises:
        psycopg.Error: it cannot be had.
    """
    import psycopg

    arguments: dict[str, Any] = database_dsn(profile, host, secrets, target, database=database)
    if target != "pooler":
        arguments["options"] = f"-c statement_timeout={seconds * 1000}"
    return psycopg.connect(**arguments, connect_timeout=seconds, autocommit=True, prepare_threshold=None)


def redis_url(
    profile: Profile,
    host: Host,
    secrets: ResolvedSecrets,
    target: Literal["broker", "cache"],
    *,
    role: Literal["monitor", "application", "operator"] = "application",
    ca: str | None = None,
) -> str:
    """A ``redis://`` or ``rediss://`` address; it holds a password. ``ca`` as for :func:`database_dsn`.

    ``monitor`` may look (INFO, lengths, types) and change nothing; ``operator`` sees no data, and sets the
    passwords of the others.
    """
    user, reference = {
        "monitor": (REDIS_MONITOR, MONITORING_PASSWORD),
        "application": (REDIS_USER, profile.cache.password),
        "operator": (REDIS_OPERATOR, OPERATOR_PASSWORD),
    }[role]
    password = secrets[reference].value
    port = profile.local.port(_REDIS_PORTS[target])
    rest = f"{user}:{quote(password.reveal(), safe='')}@{_ADDRESS}:{port}/{profile.cache.database}"
    if not encryption.enabled(profile):
        return f"redis://{rest}"
    trust = quote(ca or str(host.paths.ca))
    return f"rediss://{rest}?ssl_cert_reqs=required&ssl_check_hostname=true&ssl_ca_certs={trust}"
