"""Backups on the local platform: pgBackRest's files, the service ``backups``, and the WAL receiver. Pure.

What outlives the environment (repository, received WAL, records) is in ``paths.backups``; what does not
(spool, locks, logs, scratch) is the service's data.
"""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Final

from renecinfra.errors import ToolError
from renecinfra.platforms.local import access, databases, encryption
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.operations import DirectoryRepository, S3Repository
from renecinfra.profiles.sizing import Sizing
from renecinfra.recovery.protected import Policy, ProtectedDatabase, RepositoryPlace
from renecinfra.rendering import RenderedFile, Renderer
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.services.access import EXECUTE, reachable
from renecinfra.services.definition import HealthCheck, Layer, Service

NAME: Final = "backups"
RECEIVER: Final = "wal-receiver"
BROKER: Final = "redis-broker"
RECEIVER_SLOT: Final = "wal_receiver"
"""The replication slot through which the primary keeps WAL for the receiver."""

PROGRAMS: Final = (
    "pgbackrest",
    "postgres",
    "psql",
    "pg_ctl",
    "pg_controldata",
    "pg_isready",
    "pg_waldump",
    "pg_amcheck",
    "pg_checksums",
    "pg_basebackup",
)
"""What recovery runs."""
# More take longer on few cores, and memory on many.
_PROCESSES_MOST: Final = 4


def services(profile: Profile, host: Host, renderer: Renderer, sizing: Sizing) -> list[Service]:  # noqa: ARG001
    """The service that takes backups, and the WAL receiver where the profile has one."""
    if not profile.backups.enabled:
        return []
    found = [_backups(profile, host, renderer)]
    if profile.backups.receiver:
        found.append(_receiver(profile, host, renderer))
    return found


def secret_files(profile: Profile, host: Host, secrets: ResolvedSecrets) -> dict[str, str]:  # noqa: ARG001
    """The secret part of pgBackRest's configuration, and the receiver's passfile."""
    if not profile.backups.enabled:
        return {}
    files = {f"{NAME}/secrets/keys.conf": _keys(profile, secrets)}
    if profile.backups.receiver:
        password = secrets[access.REPLICATION_PASSWORD].value.reveal()
        port = profile.local.port("postgresql_primary")
        files[f"{RECEIVER}/primary.pgpass"] = databases.passfile(port, "*", access.REPLICATION_ROLE, password)
    return files


def protected(profile: Profile, host: Host) -> ProtectedDatabase:
    """What recovery is told of this environment."""
    outliving, data = host.paths.backups, host.paths.data / NAME
    etc = host.paths.etc / NAME
    return ProtectedDatabase(
        environment=profile.environment,
        stanza=profile.environment,
        programs={name: host.binaries[name] for name in PROGRAMS},
        config=str(etc / "pgbackrest.conf"),
        secrets=str(etc / "secrets"),
        data=str(databases.data_directory(host, databases.PRIMARY)),
        socket=str(host.paths.run),
        port=profile.local.port("postgresql_primary"),
        database=profile.database.name,
        owner=profile.database.user,
        state=str(outliving / "state"),
        work=str(data),
        receiver=str(outliving / "receiver"),
        uid=host.user.uid,
        gid=host.user.gid,
        repositories=_repositories(profile, host),
        policy=_policy(profile),
        broker=str(host.paths.data / BROKER),
        assertions=dict(profile.backups.assertions),
    )


def repository_directory(profile: Profile, host: Host) -> Path:
    """Where the first repository is."""
    own = profile.backups.directory
    return Path(own) if own else host.paths.backups / "repository"


def require_places(profile: Profile, host: Host) -> None:
    """The directories that the profile names for repositories must be there and the service user's.

    Raises:
        ToolError: one is not, or cannot be reached by that user.
    """
    if not profile.backups.enabled:
        return
    second = profile.backups.second
    named = {"backups.directory": profile.backups.directory}
    if isinstance(second, DirectoryRepository):
        named["backups.second.path"] = second.path
    for setting, name in named.items():
        if name is None:
            continue
        place, user = Path(name), host.user
        reached = reachable(place, user.uid, user.gid, EXECUTE)
        if not place.is_dir() or not reached or place.stat().st_uid != user.uid:
            raise ToolError(
                "backup-directory-unusable",
                f"{setting} is {place}, which is not a directory of {user.name}'s that it can reach",
                hint=f"make it with `install -d -o {user.name} -m 0700 {place}`, on a disk of its own",
            )


def _repositories(profile: Profile, host: Host) -> tuple[RepositoryPlace, ...]:
    found = [RepositoryPlace(1, "posix", str(repository_directory(profile, host)))]
    second = profile.backups.second
    if isinstance(second, S3Repository):
        found.append(RepositoryPlace(2, "s3", f"s3://{second.bucket}{second.prefix}"))
    elif second is not None:
        found.append(RepositoryPlace(2, "posix", second.path))
    return tuple(found)


def _policy(profile: Profile) -> Policy:
    backups = profile.backups
    return Policy(
        rpo=backups.rpo.total_seconds(),
        rto=backups.rto.total_seconds(),
        retention=backups.retention.total_seconds(),
        archive_timeout=backups.archive_timeout.total_seconds(),
        full=backups.schedule,
        incremental=backups.incremental,
        incremental_wal=backups.incremental_wal,
        verify=backups.verify,
        drill=backups.drill,
        drill_max_age=backups.drill_max_age.total_seconds(),
        receiver=backups.receiver,
    )


def _backups(profile: Profile, host: Host, renderer: Renderer) -> Service:
    database = protected(profile, host)
    port = profile.local.port(NAME)
    context = {
        "profile": profile,
        "paths": host.paths,
        "second": profile.backups.second,
        "repository": database.repositories[0].location,
        # Whole days, and at least one: less would expire what a restore within the promise needs.
        "retention_days": max(1, math.ceil(profile.backups.retention / timedelta(days=1))),
        "processes": min(_PROCESSES_MOST, max(1, host.cores)),
        "work": database.work,
        "stanza": database.stanza,
        "data": database.data,
        "port": database.port,
    }
    return Service(
        name=NAME,
        layer=Layer.REPLICATION,
        command=(
            host.python,
            "-P",
            "-m",
            "renecinfra.recovery.service",
            str(host.paths.etc / NAME / "recovery.json"),
            str(port),
        ),
        health=HealthCheck("http", port, "/health"),
        secrets=_secrets(profile),
        files={
            "pgbackrest.conf": renderer.file("pgbackrest/pgbackrest.conf.j2", "pgbackrest.conf", context),
            "recovery.json": RenderedFile(database.to_json()),
        },
        port=port,
        package="pgbackrest",
        # A backup that is under way is ended, and goes on from there at the next one.
        stop_seconds=20,
        start_seconds=int(profile.local.start_timeout.total_seconds()),
    )


def _secrets(profile: Profile) -> tuple[str, ...]:
    second = profile.backups.second
    keys = (second.key, second.key_secret) if isinstance(second, S3Repository) else ()
    return tuple(sorted({profile.backups.passphrase, *keys}))


def _receiver(profile: Profile, host: Host, renderer: Renderer) -> Service:
    return Service(
        name=RECEIVER,
        layer=Layer.REPLICATION,
        command=("/bin/sh", str(host.paths.etc / RECEIVER / "run.sh")),
        health=HealthCheck("running"),
        environment={
            "RECEIVER_BIN": str(Path(host.binaries["postgres"]).parent),
            "RECEIVER_ETC": str(host.paths.etc / RECEIVER),
            "RECEIVER_DIRECTORY": str(host.paths.backups / "receiver"),
            "RECEIVER_SLOT": RECEIVER_SLOT,
            "PRIMARY_PORT": str(profile.local.port("postgresql_primary")),
            **encryption.libpq(profile, host),
        },
        secrets=(access.REPLICATION_PASSWORD,),
        files={"run.sh": renderer.file("postgresql/receiver.sh", "run.sh", {})},
        package="postgresql",
        # It ends at TERM without having told the primary how far it is on disk; INT lets it finish.
        stop_signal="INT",
        start_seconds=int(profile.local.start_timeout.total_seconds()),
    )


def _keys(profile: Profile, secrets: ResolvedSecrets) -> str:
    phrase = secrets[profile.backups.passphrase].value.reveal()
    lines = ["[global]", f"repo1-cipher-pass={phrase}"]
    second = profile.backups.second
    if second is not None:
        lines.append(f"repo2-cipher-pass={phrase}")
    if isinstance(second, S3Repository):
        lines.append(f"repo2-s3-key={secrets[second.key].value.reveal()}")
        lines.append(f"repo2-s3-key-secret={secrets[second.key_secret].value.reveal()}")
    return "\n".join(lines) + "\n"
