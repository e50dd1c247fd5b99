"""The application's login in a database that a cloud runs: a role, its password, its limits, its database.

RDS makes a database and an administrator, and nobody else. From outside of the network neither is reached,
so a job in the cluster makes the rest. The server never sees the password, only what it keeps of one; and it
is done again only where something of it has changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from renecinfra.errors import ClusterError
from renecinfra.kubernetes import jobs
from renecinfra.kubernetes.cluster import Cluster
from renecinfra.kubernetes.jobs import MESSAGE, Job
from renecinfra.kubernetes.secrets import labels
from renecinfra.profiles.model import Profile
from renecinfra.secrets import policy, scram
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.sensitive import Secret

COMPONENT: Final = "database-login"
NAME: Final = "renec-database-login"
_SECONDS: Final = 600
_DONE: Final = "done"
SCRIPT: Final = r"""
set -u
if said=$(psql --no-psqlrc -qAt --set=ON_ERROR_STOP=1 2>&1 <<'SQL'
\getenv app APP_USER
\getenv verifier APP_VERIFIER
\getenv timeout APP_STATEMENT_TIMEOUT
SELECT format('CREATE ROLE %I LOGIN', :'app')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'app') \gexec
ALTER ROLE :"app" LOGIN PASSWORD :'verifier';
ALTER ROLE :"app" SET statement_timeout = :'timeout';
GRANT :"app" TO CURRENT_USER;
SELECT format('ALTER DATABASE %I OWNER TO %I', current_database(), :'app') \gexec
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
CREATE EXTENSION IF NOT EXISTS pg_trgm;
SQL
); then printf done >"$MESSAGE"; else printf '%s' "$said" | tail -c 500 >"$MESSAGE"; exit 1; fi
"""
"""Run by sh, with psql's variables for where and who; says ``done``, or what was refused. Safe to repeat."""


class Administrator(Protocol):
    """Who may make roles in the database."""

    @property
    def of(self) -> str:
        """Which database it is of; another one after a restore."""
        ...

    def login(self) -> tuple[str, Secret]:
        """Name and password."""
        ...


@dataclass(frozen=True, slots=True)
class Login:
    """What the application logs in as; ``verifier`` is what the server keeps of its password."""

    profile: Profile
    address: str
    verifier: str

    @classmethod
    def of(cls, profile: Profile, address: str, secrets: ResolvedSecrets) -> Login:
        """The profile's login.

        Raises:
            SecretsError: the password cannot be one of a database.
        """
        password = secrets[profile.database.password].value
        return cls(
            profile, address, scram.verifier(password, f"{profile.environment}\0{profile.database.user}")
        )

    @property
    def timeout(self) -> str:
        """How long a statement may take, as PostgreSQL writes it."""
        return f"{round(self.profile.database.statement_timeout.total_seconds() * 1000)}ms"

    def mark(self, database: str) -> str:
        """The same as long as nothing has to be done again."""
        parts = (
            database,
            self.profile.database.user,
            self.profile.database.name,
            self.timeout,
            self.verifier,
            SCRIPT,
        )
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def variables(self, message: str) -> dict[str, str]:
        """What the script is told, beside the administrator's login and the verifier."""
        database = self.profile.database
        return {
            "PGHOST": self.address,
            "PGDATABASE": database.name,
            "PGSSLMODE": "require",
            "PGCONNECT_TIMEOUT": "10",
            "APP_USER": database.user,
            "APP_STATEMENT_TIMEOUT": self.timeout,
            "MESSAGE": message,
        }


def ensure(
    cluster: Cluster,
    login: Login,
    administrator: Administrator,
    peers: Sequence[Mapping[str, Any]],
    note: Callable[[str], None] = lambda _text: None,
) -> bool:
    """Make the login as it is wanted, where it is not; whether anything was done.

    ``peers`` are where the database is, for the policy that lets the job reach it.

    Raises:
        ClusterError: the job does not run, or the database refuses.
        ToolError: the administrator's password cannot be read.
    """
    profile, namespace = login.profile, policy.namespace_of(login.profile)
    mark = login.mark(administrator.of)
    if _recorded(cluster, namespace) == mark:
        return False
    job = _job(login, administrator, peers)
    said = jobs.run(cluster, namespace, job, note).strip()
    if said != _DONE:
        lines = said.splitlines() or ["it said nothing"]
        raise ClusterError(
            "database-login",
            f"the application's login could not be made in {login.address}: {lines[0]}",
            hint="the next `up` tries again; database.user must not be the administrator",
            details=tuple(lines[1:]),
        )
    metadata = {"name": NAME, "namespace": namespace, "labels": labels(profile)}
    record = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mark": mark}}
    cluster.apply(json.dumps(record), namespace)
    return True


def _recorded(cluster: Cluster, namespace: str) -> str:
    for one in cluster.objects("configmaps", namespace):
        if one["metadata"]["name"] == NAME:
            return str(one.get("data", {}).get("mark", ""))
    return ""


def _job(login: Login, administrator: Administrator, peers: Sequence[Mapping[str, Any]]) -> Job:
    profile, namespace = login.profile, policy.namespace_of(login.profile)
    access = jobs.Access.of(administrator.login(), peers, verifier=login.verifier)
    return Job(
        NAME,
        COMPONENT,
        jobs.image(profile.database.version),
        SCRIPT,
        login.variables(MESSAGE),
        {"PGUSER": (NAME, "user"), "PGPASSWORD": (NAME, "password"), "APP_VERIFIER": (NAME, "verifier")},
        labels(profile),
        seconds=_SECONDS,
        with_it=access.objects(NAME, COMPONENT, namespace, labels(profile)),
    )
