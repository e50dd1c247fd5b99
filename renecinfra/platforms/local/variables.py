"""The application's environment variables: what it really reads, plain and secret. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from renecinfra.platforms.local import access, encryption
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.workloads import Workload
from renecinfra.secrets.store import ResolvedSecrets

# What needs no quotes in a file of KEY=VALUE lines.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_@%+=:,./?&~-]+")


def plain(
    profile: Profile,
    host: Host,
    workload: Workload,
    *,
    pool: int,
    overflow: int = 0,
    own: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """What is no secret; the profile's own variables win.

    ``pool`` and ``overflow`` are the database connections of one process. Where there is TLS, libpq's own
    variables say once more what the address says, so that another authority restarts the process.
    """
    harvest = profile.harvest
    fake = f"http://127.0.0.1:{profile.local.port('site')}" if harvest.fake_site.enabled else None
    base_url = harvest.base_url or fake
    return {
        "DATABASE_POOL_SIZE": str(pool),
        "DATABASE_MAX_OVERFLOW": str(overflow),
        # The edge limits each client; the application would see the edge as its only one.
        "ENABLE_RATE_LIMITING": "false",
        "MAX_CONCURRENT_REQUESTS": str(harvest.max_concurrent_requests),
        "DOWNLOAD_DELAY": f"{harvest.download_delay.total_seconds():g}",
        "RESPECT_ROBOTS_TXT": "true" if harvest.respect_robots_txt else "false",
        "USER_AGENT": harvest.user_agent,
        "LOG_LEVEL": "INFO",
        "PLAYWRIGHT_HEADLESS": "true",
        "ENVIRONMENT": profile.environment,
        **encryption.libpq(profile, host),
        **({"RENEC_BASE_URL": base_url} if base_url else {}),
        **(own or {}),
        **workload.environment,
    }


def backends(profile: Profile, host: Host, secrets: ResolvedSecrets) -> dict[str, str]:
    """Where PostgreSQL (through the pooler) and both Redis are; the addresses hold passwords."""
    ca = encryption.authority(profile, host)
    dsn = access.database_dsn(profile, host, secrets, "pooler", role="application", ca=ca)
    address = f"{dsn['host']}:{dsn['port']}/{dsn['dbname']}"
    if "sslmode" in dsn:
        address += f"?sslmode={dsn['sslmode']}&sslrootcert={quote(dsn['sslrootcert'])}"
    return {
        "DATABASE_URL": f"postgresql://{dsn['user']}:{quote(dsn['password'], safe='')}@{address}",
        "REDIS_URL": access.redis_url(profile, host, secrets, "broker", ca=ca),
        "CACHE_URL": access.redis_url(profile, host, secrets, "cache", ca=ca),
    }


def env_file(variables: Mapping[str, str], workload: Workload, secrets: ResolvedSecrets) -> str:
    """Variables and the workload's own secret ones as lines that the launcher reads."""
    own = {name: secrets[reference].value.reveal() for name, reference in workload.secret_environment.items()}
    return "".join(f"{name}={_quoted(value)}\n" for name, value in sorted({**variables, **own}.items()))


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else json.dumps(value)
