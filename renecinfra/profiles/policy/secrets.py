"""Where secrets come from, and that none is written out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from renecinfra.profiles.model import Profile
from renecinfra.profiles.operations import S3Repository
from renecinfra.profiles.platform import KubernetesPlatform, VaultSecrets
from renecinfra.profiles.policy.rule import Rule, Violation, is_cluster, is_loopback

_WORKLOADS = ("api", "ui", "worker", "beat", "migrations", "flower")
_SECRET_NAME = re.compile(
    r"(^|_)(PASSWORD|PASSWD|SECRET|TOKEN|API_KEYS?|PRIVATE_KEY|SECRET_KEY|CREDENTIALS?)(_|$)"
)
# Set by the platform from the database, cache and api sections.
_RESERVED = {
    "DATABASE_URL": "database",
    "REDIS_URL": "cache",
    "CACHE_URL": "cache",
    "RENEC_API_KEY": "workloads.api.key",
    "RENEC_API_KEYS": "workloads.api.key",
}


def references(profile: Profile) -> dict[tuple[str, ...], str]:
    """Every secret reference of the profile by its path."""
    found: dict[tuple[str, ...], str] = {
        ("database", "password"): profile.database.password,
        ("cache", "password"): profile.cache.password,
    }
    if profile.workloads.api.enabled:
        found["workloads", "api", "key"] = profile.workloads.api.key
    for name in _WORKLOADS:
        for variable, reference in getattr(profile.workloads, name).secret_environment.items():
            found["workloads", name, "secret_environment", variable] = reference
    if isinstance(profile.platform, KubernetesPlatform) and profile.platform.object_store is not None:
        store = profile.platform.object_store
        found["platform", "object_store", "access_key"] = store.access_key
        found["platform", "object_store", "secret_key"] = store.secret_key
    for name, receiver in profile.monitoring.receivers.items():
        if receiver.secret is not None:
            found["monitoring", "receivers", name, "secret"] = receiver.secret
    return found | _backup_references(profile)


def _backup_references(profile: Profile) -> dict[tuple[str, ...], str]:
    backups = profile.backups
    if profile.platform.kind != "local" or not backups.enabled:
        return {}  # elsewhere the platform's own keys encrypt them
    found: dict[tuple[str, ...], str] = {("backups", "passphrase"): backups.passphrase}
    if isinstance(backups.second, S3Repository):
        found["backups", "second", "key"] = backups.second.key
        found["backups", "second", "key_secret"] = backups.second.key_secret
    return found


def provider(profile: Profile) -> Iterator[Violation]:
    """Generated secrets for an environment that more than one machine runs."""
    if is_cluster(profile) and profile.secrets.provider != "vault":
        kind, generated = profile.platform.kind, profile.secrets.provider == "generated"
        what = "generated secrets stay" if generated else "an environment's own OpenBao stays"
        message = f"secrets.provider must be vault on {kind}: {what} on one machine"
        yield Violation(
            "profile-secrets", ("secrets", "provider"), message, "write `provider: vault` and address"
        )


def scheme(profile: Profile) -> Iterator[Violation]:
    """A reference that the provider cannot resolve, or that makes no sense."""
    if profile.secrets.provider == "openbao":
        return  # it makes what is generated, and reads the rest like any Vault
    expected = profile.secrets.provider
    for path, reference in references(profile).items():
        name, where = reference.partition(":")[0], ".".join(path)
        if path[0] == "monitoring" and name == "generated":
            message = f"{where} must be a vault: reference: a receiver's address or key cannot be generated"
            yield Violation("profile-secrets", path, message, "write vault:PATH#KEY, or use another kind")
        elif name != expected:
            message = f"{where} must be a {expected}: reference, as secrets.provider is {expected}"
            example = "generated:NAME" if expected == "generated" else "vault:PATH#KEY"
            yield Violation("profile-secrets", path, message, f"write {example}")


def vault(profile: Profile) -> Iterator[Violation]:
    """A Vault whose traffic anyone can read, or that the cluster cannot reach."""
    secrets = profile.secrets
    if not isinstance(secrets, VaultSecrets):
        return
    path = ("secrets", "address")
    loopback = is_loopback(secrets.address)
    if secrets.address.startswith("http:") and (profile.protection.protected or not loopback):
        message = "secrets.address must be https: secrets would cross the network in clear text"
        yield Violation("profile-secrets", path, message, "use https://")
    elif loopback and is_cluster(profile):
        message = f"secrets.address points to this machine, which {profile.platform.kind} does not reach"
        yield Violation("profile-unreachable", path, message, "name the Vault's public host")
    if secrets.auth in ("approle", "jwt", "kubernetes", "aws") and secrets.role is None:
        message = f"secrets.role is missing: the auth method {secrets.auth} needs it"
        yield Violation("profile-secrets", ("secrets", "role"), message, "name the role")


def environment(profile: Profile) -> Iterator[Violation]:
    """Secrets written into a profile, and variables that the platform sets itself."""
    for name in _WORKLOADS:
        workload = getattr(profile.workloads, name)
        for section in ("environment", "secret_environment"):
            for variable in getattr(workload, section):
                path = ("workloads", name, section, variable)
                if variable in _RESERVED:
                    message = f"{'.'.join(path)} is set by renecinfra from {_RESERVED[variable]}"
                    yield Violation("profile-reserved", path, message, "take it away")
                elif section == "environment" and _SECRET_NAME.search(variable):
                    message = f"{'.'.join(path)} looks like a secret, which a profile must not hold"
                    hint = f"put a reference to it in workloads.{name}.secret_environment"
                    yield Violation("profile-secret-exposed", path, message, hint)
                elif section == "secret_environment" and variable in workload.environment:
                    message = f"{'.'.join(path)} is in workloads.{name}.environment too"
                    yield Violation("profile-contradiction", path, message, "keep one of the two")


RULES: tuple[Rule, ...] = (provider, scheme, vault, environment)
