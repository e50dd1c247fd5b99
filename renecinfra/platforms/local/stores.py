"""The two Redis of the local platform: a broker that loses nothing, and a cache that may forget."""

from __future__ import annotations

import hashlib
from typing import Final

from renecinfra.errors import SecretsError
from renecinfra.platforms.local import access, encryption
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import Sizing
from renecinfra.rendering import Renderer
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.services.definition import HealthCheck, Layer, Service

BROKER: Final = "redis-broker"
CACHE: Final = "redis-cache"

_HEALTH_PASSWORD: Final = "monitor.password"  # noqa: S105 - a file's name
# Whatever Celery and the application do with their own data, INFO and KEYS included, but nothing that
# reaches beyond it: no CONFIG, DEBUG, SHUTDOWN, REPLICAOF, ACL, FLUSHALL.
_APPLICATION_RULES: Final = "~* &* +@all -@admin -@dangerous +info +keys +sort"
# What Prometheus' exporter and the health check ask, and nothing that returns a value or changes one.
_MONITOR_RULES: Final = (
    "resetchannels %R~* -@all +ping +hello +auth +select +info +dbsize +config|get +client|list "
    "+client|setname +latency|latest +latency|histogram +slowlog|len +slowlog|get "
    "+memory|usage +scan +type +strlen +llen +hlen +scard +zcard +xlen +pfcount"
)
# What may set passwords, and give certificates, while Redis runs; it sees no data.
_OPERATOR_RULES: Final = (
    "resetchannels -@all +ping +hello +auth +select +acl|setuser +acl|getuser +config|set"
)


def services(profile: Profile, host: Host, renderer: Renderer, sizing: Sizing) -> list[Service]:  # noqa: ARG001
    """The broker and the cache."""
    return [_redis(profile, host, renderer, name) for name in (BROKER, CACHE)]


def secret_files(profile: Profile, host: Host, secrets: ResolvedSecrets) -> dict[str, str]:  # noqa: ARG001
    """Each instance's users with hashes of their passwords, and the health check's password.

    Raises:
        SecretsError: a password is empty.
    """
    files = {}
    for name in (BROKER, CACHE):
        files[f"{name}/users.acl"] = _users(profile, secrets, durable=name == BROKER)
        files[f"{name}/{_HEALTH_PASSWORD}"] = secrets[access.MONITORING_PASSWORD].value.reveal()
    return files


def _redis(profile: Profile, host: Host, renderer: Renderer, name: str) -> Service:
    durable = name == BROKER
    port = profile.local.port(name.replace("-", "_"))
    etc = str(host.paths.etc / name)
    context = {
        "profile": profile,
        "paths": host.paths,
        "instance": profile.cache.broker if durable else profile.cache.cache,
        "durable": durable,
        "purpose": "Celery's broker, never evicts, on disk"
        if durable
        else "the cache, evicts, in memory only",
        "port": port,
        "etc": etc,
        "data": str(host.paths.data / name),
        "tls": encryption.enabled(profile),
        "material": encryption.material(host, "redis"),
        "authority": encryption.authority(profile, host),
    }
    return Service(
        name=name,
        layer=Layer.FOUNDATION,
        command=(host.binaries["redis-server"], f"{etc}/redis.conf"),
        health=HealthCheck(
            kind="redis",
            port=port,
            user=access.REDIS_MONITOR,
            password_file=_HEALTH_PASSWORD,
            ca_file=encryption.authority(profile, host) if encryption.enabled(profile) else "",
        ),
        # The other passwords are set while it runs (see rotation.prepare).
        secrets=(access.OPERATOR_PASSWORD,),
        files={"redis.conf": renderer.file("redis/redis.conf.j2", "redis.conf", context)},
        port=port,
        package="redis-server",
        start_seconds=int(profile.local.start_timeout.total_seconds()),
    )


def hashes(profile: Profile, secrets: ResolvedSecrets) -> dict[str, str]:
    """What Redis keeps of the password of each user whose password can change while it runs.

    Raises:
        SecretsError: a password is empty.
    """
    return {
        access.REDIS_USER: _hash(secrets, profile.cache.password),
        access.REDIS_MONITOR: _hash(secrets, access.MONITORING_PASSWORD),
    }


def _users(profile: Profile, secrets: ResolvedSecrets, *, durable: bool) -> str:
    found = hashes(profile, secrets)
    # Emptying a cache is a use of it; emptying the broker would lose tasks.
    rules = _APPLICATION_RULES if durable else f"{_APPLICATION_RULES} +flushdb"
    return (
        "user default off\n"
        f"user {access.REDIS_USER} on #{found[access.REDIS_USER]} {rules}\n"
        f"user {access.REDIS_MONITOR} on #{found[access.REDIS_MONITOR]} {_MONITOR_RULES}\n"
        f"user {access.REDIS_OPERATOR} on #{_hash(secrets, access.OPERATOR_PASSWORD)} {_OPERATOR_RULES}\n"
    )


def _hash(secrets: ResolvedSecrets, reference: str) -> str:
    """SHA-256 of a password, as Redis keeps it: unsalted, so its file is as secret as the password."""
    password = secrets[reference].value.reveal()
    if not password:
        raise SecretsError(
            "password-unusable",
            f"the password {reference} is empty",
            hint="store another version of the password",
        )
    return hashlib.sha256(password.encode()).hexdigest()
