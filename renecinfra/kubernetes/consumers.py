"""Which process on a cluster gets which secrets, and under which names. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import KubernetesPlatform

_DATABASE: Final = "DATABASE_PASSWORD"
_REDIS: Final = "REDIS_PASSWORD"


def consumers(profile: Profile) -> Mapping[str, Mapping[str, str]]:
    """References by their variable, by consumer; one that needs no secret is left out.

    A consumer's Secret is ``renec-CONSUMER``. Passwords are there by themselves: where the database and Redis
    are is no secret, and known to the cluster only.
    """
    workloads = profile.workloads
    backends = {_DATABASE: profile.database.password, _REDIS: profile.cache.password}
    found: dict[str, Mapping[str, str]] = {
        "api": {**backends, "RENEC_API_KEY": workloads.api.key},
        "worker": backends,
        "beat": backends,
        "migrations": {_DATABASE: profile.database.password},
        "ui": {},
        # Flower talks to the broker alone.
        "flower": {_REDIS: profile.cache.password},
    }
    wanted = {
        name: {**keys, **getattr(workloads, name).secret_environment}
        for name, keys in found.items()
        if getattr(workloads, name).enabled
    }
    wanted["alerting"] = {
        name: receiver.secret
        for name, receiver in profile.monitoring.receivers.items()
        if receiver.secret is not None
    }
    wanted["pooler"] = {_DATABASE: profile.database.password}
    platform = profile.platform
    if isinstance(platform, KubernetesPlatform) and platform.object_store is not None:
        store = platform.object_store
        wanted["backups"] = {"ACCESS_KEY_ID": store.access_key, "SECRET_ACCESS_KEY": store.secret_key}
    wanted["redis"] = {_REDIS: profile.cache.password}
    return {name: dict(sorted(keys.items())) for name, keys in sorted(wanted.items()) if keys}
