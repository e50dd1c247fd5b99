"""Short-lived database logins for people and jobs, from the database engine of a Vault.

The engine makes and ends them through functions of the database's schema ``renec_vault`` (see
templates/postgresql/bootstrap.sql.j2), as a role that has no other rights. Its own password is one that Vault
made and nobody else knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

from renecinfra.errors import SecretsError, UsageError
from renecinfra.profiles.base import format_duration
from renecinfra.secrets.opening import require_life
from renecinfra.secrets.vault import VaultClient
from renecinfra.sensitive import Secret

MOUNT: Final = "database"
Rights = Literal["read", "write"]
RIGHTS: Final[tuple[Rights, ...]] = ("read", "write")
DEFAULT_TTL: Final = timedelta(hours=1)
LONGEST_TTL: Final = timedelta(hours=24)

# What a role may differ by from what was asked for: the time that the requests took.
_SLACK: Final = timedelta(seconds=5)
_SCHEMA: Final = "renec_vault"


@dataclass(frozen=True, slots=True)
class Server:
    """Where Vault finds the database; ``options`` are libpq's, such as ``sslmode``."""

    host: str
    port: int
    database: str
    options: Mapping[str, str]

    def dsn(self, user: str, password: str) -> str:
        """An address with a login in it, as libpq, psql and Vault take it."""
        options = f"?{urlencode(self.options, quote_via=quote)}" if self.options else ""
        return f"postgresql://{user}:{password}@{self.host}:{self.port}/{quote(self.database)}{options}"


@dataclass(frozen=True, slots=True)
class Login:
    """A login and the moment it ends by itself; ``lease_id`` is what ends it before."""

    user: str
    password: Secret
    lease_id: str
    expires: datetime


def is_configured(client: VaultClient, environment: str) -> bool:
    """Whether :func:`configure` was done to its end: what it writes last is there.

    Raises:
        SecretsError: Vault cannot be asked.
    """
    path = f"{MOUNT}/roles/{_role(environment, RIGHTS[-1])}"
    try:
        client.request("GET", path, subject="the database's logins")
    except SecretsError as error:
        if error.id == "vault-path-missing":
            return False
        raise
    return True


def configure(client: VaultClient, environment: str, server: Server, *, user: str, password: Secret) -> None:
    """Tell Vault of the database, have it take a password of its own, and define who can be logged in.

    ``password`` is good for the first connection only. Safe to repeat with another one that was just set.

    Raises:
        SecretsError: Vault refuses, or cannot log in to the database.
    """
    name, subject = _connection(environment), "the database's logins"
    roles = [_role(environment, rights) for rights in RIGHTS]
    client.request(
        "POST",
        f"{MOUNT}/config/{name}",
        {
            "plugin_name": "postgresql-database-plugin",
            "connection_url": server.dsn("{{username}}", "{{password}}"),
            "username": user,
            "password": password,
            "allowed_roles": roles,
            # Verifiers are made by Vault: no password is in a statement that the server executes.
            "password_authentication": "scram-sha-256",
            "max_open_connections": 4,
            "max_idle_connections": 1,
            "max_connection_lifetime": "5m",
        },
        subject=subject,
    )
    client.request("POST", f"{MOUNT}/rotate-root/{name}", subject=subject)
    for rights, role in zip(RIGHTS, roles, strict=True):
        client.request("POST", f"{MOUNT}/roles/{role}", _definition(name, rights), subject=subject)


def log_in(client: VaultClient, environment: str, rights: Rights, ttl: timedelta) -> Login:
    """A new login that ends after ``ttl``, or after less where Vault grants no more.

    Raises:
        UsageError: ``ttl`` is not between a minute and 24 hours.
        SecretsError: Vault refuses, or cannot reach the database.
    """
    if not timedelta(minutes=1) <= ttl <= LONGEST_TTL:
        raise UsageError(
            "login-ttl",
            f"a login of {format_duration(ttl)} cannot be had",
            hint=f"ask for one minute to {format_duration(LONGEST_TTL)}",
        )
    # A login ends with the token that made it.
    require_life(client, ttl - _SLACK)
    made = client.database_credentials(MOUNT, _role(environment, rights))
    granted = timedelta(seconds=made.lease_seconds)
    if abs(granted - ttl) > _SLACK:
        try:
            granted = _extend(client, made.lease_id, ttl)
        except SecretsError:
            with suppress(SecretsError):  # it ends by itself, too
                end(client, made.lease_id)
            raise
    return Login(made.user, made.password, made.lease_id, datetime.now(UTC) + granted)


def end(client: VaultClient, lease_id: str) -> None:
    """End a login and its sessions now.

    Raises:
        SecretsError: Vault refuses, or cannot reach the database.
    """
    body = {"lease_id": lease_id, "sync": True}
    client.request("PUT", "sys/leases/revoke", body, subject="ending the login")


def _extend(client: VaultClient, lease_id: str, ttl: timedelta) -> timedelta:
    body = {"lease_id": lease_id, "increment": int(ttl.total_seconds())}
    answer = client.request("PUT", "sys/leases/renew", body, subject="the login's time")
    return timedelta(seconds=int(answer["lease_duration"]))


def _definition(connection: str, rights: Rights) -> dict[str, Any]:
    """A role of the engine, as its API takes it. Vault fills in what is in double braces."""
    call = f"SELECT {_SCHEMA}"
    return {
        "db_name": connection,
        "creation_statements": [
            f"{call}.create_login('{{{{name}}}}', '{{{{password}}}}', '{{{{expiration}}}}', '{rights}')"
        ],
        "renew_statements": [f"{call}.extend_login('{{{{name}}}}', '{{{{expiration}}}}')"],
        "revocation_statements": [f"{call}.drop_login('{{{{name}}}}')"],
        "default_ttl": f"{int(DEFAULT_TTL.total_seconds())}s",
        "max_ttl": f"{int(LONGEST_TTL.total_seconds())}s",
    }


def _connection(environment: str) -> str:
    return f"renec-{environment}"


def _role(environment: str, rights: Rights) -> str:
    return f"renec-{environment}-{rights}"
