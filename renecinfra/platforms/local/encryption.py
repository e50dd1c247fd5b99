"""TLS between a local environment's own processes: whether there is any, and where its files are. Pure.

There is where the environment has its own OpenBao, whose PKI engine issues the certificates (see
``certificates``). Elsewhere the data services speak plainly, on 127.0.0.1 alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile

SERVICE: Final = "certificates"
"""The service that keeps them fresh."""


def enabled(profile: Profile) -> bool:
    """Whether the data services speak TLS, with certificates from the environment's OpenBao."""
    return profile.secrets.provider == "openbao"


def current(host: Host, consumer: str) -> Path:
    """The link to the newest certificate of ``edge``, ``postgresql``, ``pgbouncer`` or ``redis``."""
    return host.paths.data / SERVICE / consumer / "current"


def material(host: Host, consumer: str) -> str:
    """The file with a consumer's key and chain."""
    return f"{host.paths.data}/{SERVICE}/{consumer}/current/tls.pem"


def authority_name(profile: Profile) -> str:
    """The trusted certificate's file, below ``etc/certificates/``.

    Another host has another authority; as the name changes with it, so do the configurations that name it,
    and whoever trusted the authority before is restarted.
    """
    return f"{profile.edge.host}.ca.crt"


def authority(profile: Profile, host: Host) -> str:
    """The certificate that the services trust."""
    return f"{host.paths.etc}/{SERVICE}/{authority_name(profile)}"


def libpq(profile: Profile, host: Host) -> dict[str, str]:
    """How a service's PostgreSQL clients connect, as libpq's environment variables."""
    if not enabled(profile):
        return {}
    return {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": authority(profile, host)}
