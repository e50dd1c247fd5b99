"""PostgreSQL, primary and replica, and PgBouncer on the local platform. Pure: they say what runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from renecinfra.errors import ProfileError
from renecinfra.platforms.local import access, encryption
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import Sizing
from renecinfra.recovery.repository import archive_push_command
from renecinfra.rendering import RenderedFile, Renderer
from renecinfra.secrets import scram
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.services.definition import HealthCheck, Layer, Service

PRIMARY: Final = "postgresql-primary"
REPLICA: Final = "postgresql-replica"
POOLER: Final = "pgbouncer"
SLOT: Final = "postgresql_replica"
"""The replication slot through which the primary keeps WAL for the replica."""

_HEALTH_PASSFILE: Final = "health.pgpass"
# Roles and databases that are PostgreSQL's, PgBouncer's or the platform's own.
_RESERVED_ROLES: Final = (
    "postgres",
    "pgbouncer",
    "public",
    "none",
    access.REPLICATION_ROLE,
    access.POOLER_ROLE,
    access.MONITOR_ROLE,
    access.PEOPLE_ROLE,
    access.VAULT_ROLE,
)
# PostgreSQL's names have 63 bytes, of which the logins' suffixes take two.
_USER_LENGTH: Final = 61
_RESERVED_DATABASES: Final = ("postgres", "template0", "template1", "pgbouncer", "replication", "all")


def data_directory(host: Host, service: str) -> Path:
    """Where a PostgreSQL service keeps its cluster: below its data, so that it can be swapped by a rename."""
    return host.paths.data / service / "cluster"


def services(profile: Profile, host: Host, renderer: Renderer, sizing: Sizing) -> list[Service]:
    """The primary, the replica where the profile has one, and the pooler.

    Raises:
        ProfileError: the profile takes a role's or a database's name that is not free, or more replicas than
            one machine makes sense of.
    """
    _refuse_reserved(profile)
    found = [_primary(profile, host, renderer)]
    if profile.database.replicas > 1:
        raise ProfileError(
            "local-replicas",
            f"database.replicas is {profile.database.replicas}; the local platform has one replica at most",
            hint="set database.replicas to 0 or 1",
        )
    if profile.database.replicas:
        found.append(_replica(profile, host, renderer))
    return [*found, _pooler(profile, host, renderer, sizing)]


def secret_files(profile: Profile, host: Host, secrets: ResolvedSecrets) -> dict[str, str]:
    """The verifiers for the primary, the replica's passfile, the pooler's users and its health passfile."""
    monitor = secrets[access.MONITORING_PASSWORD].value.reveal()
    files = {
        f"{PRIMARY}/roles.sql": _roles(profile, host, secrets),
        f"{POOLER}/userlist.txt": _userlist(secrets),
        f"{POOLER}/{_HEALTH_PASSFILE}": passfile(
            profile.local.port("pgbouncer"), profile.database.name, access.MONITOR_ROLE, monitor
        ),
    }
    if profile.database.replicas:
        password = secrets[access.REPLICATION_PASSWORD].value.reveal()
        port = profile.local.port("postgresql_primary")
        files[f"{REPLICA}/primary.pgpass"] = passfile(port, "*", access.REPLICATION_ROLE, password)
    return files


def _refuse_reserved(profile: Profile) -> None:
    database = profile.database
    for field, value, reserved in (
        ("user", database.user, database.user in _RESERVED_ROLES or database.user.startswith("pg_")),
        ("name", database.name, database.name in _RESERVED_DATABASES),
    ):
        if reserved:
            raise ProfileError(
                "database-name-reserved",
                f"database.{field} must not be {value}, which the platform or PostgreSQL itself uses",
                hint=f"choose another database.{field}",
            )
    if len(database.user) > _USER_LENGTH:
        raise ProfileError(
            "database-user-long",
            f"database.user has {len(database.user)} characters; the roles that log in for it take two more, "
            "and PostgreSQL's names have 63",
            hint=f"choose a database.user of at most {_USER_LENGTH} characters",
        )


def _primary(profile: Profile, host: Host, renderer: Renderer) -> Service:
    context = _context(profile, host, PRIMARY, "primary")
    bootstrap = renderer.file(
        "postgresql/bootstrap.sql.j2",
        "bootstrap.sql",
        {
            "application": profile.database.user,
            "logins": access.database_logins(profile),
            "database": profile.database.name,
            "statement_timeout": profile.database.statement_timeout,
            "replicas": profile.database.replicas,
            "slot": SLOT,
        },
    )
    return Service(
        name=PRIMARY,
        layer=Layer.FOUNDATION,
        command=("/bin/sh", str(host.paths.etc / PRIMARY / "run.sh")),
        health=_health(profile, host, "primary"),
        environment=cluster_environment(profile, host, PRIMARY, "primary"),
        # No secret restarts it: a running primary is told its roles' new passwords (see rotation.prepare).
        files={**_cluster_files(renderer, "primary", context), "bootstrap.sql": bootstrap},
        reload_files=_access_files(renderer, context),
        reload="hup",
        port=profile.local.port("postgresql_primary"),
        package="postgresql",
        stop_signal="INT",
        stop_seconds=30,
        start_seconds=int(profile.local.start_timeout.total_seconds()),
    )


def _replica(profile: Profile, host: Host, renderer: Renderer) -> Service:
    context = _context(profile, host, REPLICA, "replica") | {
        "primary_conninfo": _primary_conninfo(profile, host),
        "slot": SLOT,
    }
    compare = renderer.file("postgresql/compare.sql", "compare.sql", {})
    return Service(
        name=REPLICA,
        layer=Layer.REPLICATION,
        command=("/bin/sh", str(host.paths.etc / REPLICA / "run.sh")),
        health=_health(profile, host, "replica"),
        environment={
            **cluster_environment(profile, host, REPLICA, "replica"),
            "CLUSTER_CONNECTIONS": str(profile.database.max_connections),
            "PRIMARY_PORT": str(profile.local.port("postgresql_primary")),
            "PRIMARY_SLOT": SLOT,
            **encryption.libpq(profile, host),
        },
        secrets=(access.REPLICATION_PASSWORD,),
        files={**_cluster_files(renderer, "replica", context), "compare.sql": compare},
        reload_files=_access_files(renderer, context),
        reload="hup",
        port=profile.local.port("postgresql_replica"),
        package="postgresql",
        stop_signal="INT",
        stop_seconds=30,
        start_seconds=int(profile.local.start_timeout.total_seconds()),
    )


def _pooler(profile: Profile, host: Host, renderer: Renderer, sizing: Sizing) -> Service:
    etc = str(host.paths.etc / POOLER)
    port = profile.local.port("pgbouncer")
    context = {
        "profile": profile,
        "host": host,
        "paths": host.paths,
        "sizing": sizing,
        "etc": etc,
        "port": port,
        "primary_port": profile.local.port("postgresql_primary"),
        **_tls(profile, host, POOLER),
    }
    return Service(
        name=POOLER,
        layer=Layer.DATABASE,
        command=(host.binaries["pgbouncer"], f"{etc}/pgbouncer.ini"),
        # Through the pooler to the primary: listening with no server behind it is not health.
        health=HealthCheck(
            kind="postgresql",
            port=port,
            program=host.binaries["psql"],
            user=access.MONITOR_ROLE,
            database=profile.database.name,
            password_file=_HEALTH_PASSFILE,
            ca_file=encryption.authority(profile, host) if encryption.enabled(profile) else "",
        ),
        # It reads userlist.txt again at SIGHUP, without losing a client.
        reload_secrets=(access.POOLER_PASSWORD, access.MONITORING_PASSWORD),
        files={"pgbouncer.ini": renderer.file("pgbouncer/pgbouncer.ini.j2", "pgbouncer.ini", context)},
        reload_files={"pools.ini": renderer.file("pgbouncer/pools.ini.j2", "pools.ini", context)},
        reload="hup",
        port=port,
        package="pgbouncer",
        # INT waits for transactions to end; TERM drops them.
        stop_signal="INT",
        start_seconds=int(profile.local.start_timeout.total_seconds()),
    )


def _context(profile: Profile, host: Host, service: str, role: str) -> dict[str, Any]:
    # Started by root, the command line runs as root while the server runs as the service user.
    operators = [host.user.name, "root"] if host.user.switched else [host.user.name]
    return {
        "profile": profile,
        "host": host,
        "paths": host.paths,
        "etc": str(host.paths.etc / service),
        "role": role,
        "port": profile.local.port(f"postgresql_{role}"),
        "operators": operators,
        "archive_command": archive_command(profile, host, service),
        **_tls(profile, host, "postgresql"),
    }


def archive_command(profile: Profile, host: Host, service: str) -> str:
    """How a server archives its WAL once it is the primary; empty without backups."""
    if not profile.backups.enabled:
        return ""
    from renecinfra.platforms.local import backups  # it in turn asks here for the primary's directory

    return archive_push_command(backups.protected(profile, host), str(data_directory(host, service)))


def _tls(profile: Profile, host: Host, consumer: str) -> dict[str, Any]:
    return {
        "tls": encryption.enabled(profile),
        "material": encryption.material(host, consumer),
        "authority": encryption.authority(profile, host),
    }


def _cluster_files(renderer: Renderer, role: str, context: Mapping[str, Any]) -> dict[str, RenderedFile]:
    return {
        "cluster.sh": renderer.file("postgresql/cluster.sh", "cluster.sh", context),
        "run.sh": renderer.file(f"postgresql/{role}.sh", "run.sh", context),
        "postgresql.conf": renderer.file("postgresql/postgresql.conf.j2", "postgresql.conf", context),
    }


def _access_files(renderer: Renderer, context: Mapping[str, Any]) -> dict[str, RenderedFile]:
    names = ("pg_hba.conf", "pg_ident.conf")
    return {name: renderer.file(f"postgresql/{name}.j2", name, context) for name in names}


def cluster_environment(profile: Profile, host: Host, service: str, role: str) -> dict[str, str]:
    """What the scripts of a PostgreSQL service are told (see templates/postgresql/cluster.sh)."""
    return {
        "CLUSTER_DATA": str(data_directory(host, service)),
        "CLUSTER_BIN": str(Path(host.binaries["postgres"]).parent),
        "CLUSTER_ETC": str(host.paths.etc / service),
        "CLUSTER_RUN": str(host.paths.run),
        "CLUSTER_PORT": str(profile.local.port(f"postgresql_{role}")),
    }


def _health(profile: Profile, host: Host, role: Any) -> HealthCheck:
    return HealthCheck(
        kind="postgresql",
        port=profile.local.port(f"postgresql_{role}"),
        role=role,
        program=host.binaries["psql"],
        socket=str(host.paths.run),
        user="postgres",
        database="postgres",
    )


def _primary_conninfo(profile: Profile, host: Host) -> str:
    passfile = str(host.paths.etc / REPLICA / "primary.pgpass")
    trust = ""
    if encryption.enabled(profile):
        trust = f" sslmode=verify-full sslrootcert={_conninfo_quoted(encryption.authority(profile, host))}"
    return (
        f"host=127.0.0.1 port={profile.local.port('postgresql_primary')} user={access.REPLICATION_ROLE} "
        f"passfile={_conninfo_quoted(passfile)} application_name={SLOT} connect_timeout=5{trust}"
    )


def _conninfo_quoted(value: str) -> str:
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{quoted}'"


def verifiers(profile: Profile, host: Host, secrets: ResolvedSecrets) -> dict[str, str]:
    """The stored form of each role's password. Of the application's logins, the one whose turn it is."""
    application = access.database_login(profile, secrets[profile.database.password].version)
    references = {
        application: profile.database.password,
        access.REPLICATION_ROLE: access.REPLICATION_PASSWORD,
        access.POOLER_ROLE: access.POOLER_PASSWORD,
        access.MONITOR_ROLE: access.MONITORING_PASSWORD,
    }
    # Not of the version: a password that is stored once more is no other, and PgBouncer's server logins go
    # on with the salt that they began with.
    return {
        role: scram.verifier(secrets[reference].value, f"{host.paths.home}\0{role}")
        for role, reference in references.items()
    }


def _roles(profile: Profile, host: Host, secrets: ResolvedSecrets) -> str:
    found = verifiers(profile, host, secrets)
    return "".join(f"ALTER ROLE \"{role}\" LOGIN PASSWORD '{found[role]}';\n" for role in found)


def _userlist(secrets: ResolvedSecrets) -> str:
    """Users whose password the pooler must know itself; all others it looks up through auth_query."""
    lines = []
    for role, reference in (
        (access.POOLER_ROLE, access.POOLER_PASSWORD),
        (access.MONITOR_ROLE, access.MONITORING_PASSWORD),
    ):
        quoted = secrets[reference].value.reveal().replace('"', '""')
        lines.append(f'"{role}" "{quoted}"\n')
    return "".join(lines)


def passfile(port: int, database: str, user: str, password: str) -> str:
    """A line of libpq's password file, where ``:`` and ``\\`` take a backslash.

    The host is ``*``, because over the unix socket it is the socket's directory.
    """
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"*:{port}:{database}:{user}:{escaped}\n"
