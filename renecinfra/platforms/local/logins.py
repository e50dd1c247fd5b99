"""Short-lived logins to a local environment's database: what its OpenBao has to know to make them."""

from __future__ import annotations

import secrets
from typing import Final

from renecinfra.errors import SecretsError
from renecinfra.platforms.local import access, databases, encryption
from renecinfra.platforms.local.host import Host
from renecinfra.platforms.local.rotation import superuser
from renecinfra.profiles.model import Profile
from renecinfra.secrets import dynamic, scram
from renecinfra.secrets.vault import VaultClient
from renecinfra.sensitive import Secret

_BYTES: Final = 24


def server(profile: Profile, host: Host, *, ca: str | None = None) -> dynamic.Server:
    """The primary, as services see it; for the command line's user with ``ca``, the file that it may read."""
    options = {}
    if encryption.enabled(profile):
        options = {"sslmode": "verify-full", "sslrootcert": ca or encryption.authority(profile, host)}
    else:
        options = {"sslmode": "disable"}
    port = profile.local.port("postgresql_primary")
    return dynamic.Server("127.0.0.1", port, profile.database.name, options)


def dsn(
    profile: Profile, host: Host, login: dynamic.Login, rights: dynamic.Rights, ca: str | None = None
) -> str:
    """What psql and other clients take; it holds a password. What a writer makes is the application's."""
    where = server(profile, host, ca=ca)
    if rights == "write":
        options = {**where.options, "options": f"-c role={profile.database.user}"}
        where = dynamic.Server(where.host, where.port, where.database, options)
    return where.dsn(login.user, login.password.reveal())


def ensure(profile: Profile, host: Host, client: VaultClient) -> bool:
    """Have the database engine know the running primary, with a password that only it has.

    Does nothing, quickly, where that is so already; a primary whose data is new is not known any more.
    Returns whether there was anything to do.

    Raises:
        SecretsError: the primary does not run, or OpenBao refuses or cannot log in to it.
    """
    from psycopg import sql

    with superuser(profile, host) as connection:
        if connection is None:
            raise SecretsError(
                "database-not-running",
                f"{databases.PRIMARY} does not run, so nobody can be given a login to it",
                hint=f"run `renecinfra up {profile.environment}`",
            )
        query = "SELECT rolpassword IS NOT NULL FROM pg_authid WHERE rolname = %s"
        known = connection.execute(query, (access.VAULT_ROLE,)).fetchone() == (True,)
        if known and dynamic.is_configured(client, profile.environment):
            return False
        first = Secret(secrets.token_urlsafe(_BYTES))
        verifier = scram.verifier(first, f"{host.paths.home}\0{access.VAULT_ROLE}")
        statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
        connection.execute(statement.format(sql.Identifier(access.VAULT_ROLE), sql.Literal(verifier)))
    where = server(profile, host)
    dynamic.configure(client, profile.environment, where, user=access.VAULT_ROLE, password=first)
    return True
