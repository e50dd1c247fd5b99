"""`secrets login`: a database login for a person or a job, that ends by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from renecinfra.errors import UsageError
from renecinfra.profiles.platform import OpenBaoSecrets
from renecinfra.provision.secrets import SecretsWork
from renecinfra.secrets import dynamic
from renecinfra.sensitive import Secret


@dataclass(frozen=True, slots=True)
class IssuedLogin:
    """A login as it is handed over. ``dsn`` is None where the profile does not say where the database is."""

    environment: str
    login: dynamic.Login
    rights: dynamic.Rights
    dsn: Secret | None

    def revealed(self) -> dict[str, Any]:
        """The login with its password, for standard output alone; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            "user": self.login.user,
            "password": self.login.password.reveal(),
            "role": self.rights,
            "expires": self.login.expires.isoformat(timespec="seconds"),
            "lease": self.login.lease_id,
            "dsn": None if self.dsn is None else self.dsn.reveal(),
        }


def log_in(work: SecretsWork, what: str, rights: str, ttl: timedelta, argv: Sequence[str]) -> IssuedLogin:
    """A new login to the environment's database; who asked for it is in the journal.

    A local environment's OpenBao is told of the primary first where it does not know it yet.

    Raises:
        UsageError: there is nothing of that name to log in to, or no such role or time.
        SecretsError: the environment has no Vault, or it refuses.
    """
    if what != "database":
        raise UsageError("login-unknown", f"there is no login to {what}", hint="the one there is: database")
    known = {one: one for one in dynamic.RIGHTS}
    if rights not in known:
        raise UsageError(
            "login-role", f"there is no role {rights}", hint=f"roles: {', '.join(dynamic.RIGHTS)}"
        )
    session, client = work.session, work.vault.client
    local = session.profile.platform.kind == "local"
    with session.locked("secrets login", argv) as run, run.step(f"log in to {what} to {rights}"):
        if not local:
            login = dynamic.log_in(client, session.name, known[rights], ttl)
            return IssuedLogin(session.name, login, known[rights], None)
        from renecinfra.platforms.local import logins

        host = session.environment.host
        if isinstance(session.profile.secrets, OpenBaoSecrets):
            logins.ensure(session.profile, host, client)
        login = dynamic.log_in(client, session.name, known[rights], ttl)
        dsn = logins.dsn(session.profile, host, login, known[rights], str(session.paths.ca))
        return IssuedLogin(session.name, login, known[rights], Secret(dsn))
