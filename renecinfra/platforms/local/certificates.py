"""The service that keeps a local environment's certificates fresh. Pure, but that it reads the authority's.

It runs where the environment has its own OpenBao: it takes a certificate for each consumer from its PKI
engine, and sees to it that the servers which use it serve the newest (see ``agents.certificates``).
"""

from __future__ import annotations

import json
from typing import Any, Final

from renecinfra import tls
from renecinfra.platforms.local import access, databases, edge, encryption, openbao, stores
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import OpenBaoSecrets
from renecinfra.profiles.sizing import Sizing
from renecinfra.rendering import RenderedFile, Renderer
from renecinfra.secrets.openbao import ca_file
from renecinfra.secrets.setup import CERTIFICATES_ROLE_ID, CERTIFICATES_SECRET_ID, PKI_INTERMEDIATE_MOUNT
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.services.definition import HealthCheck, Layer, Service

NAME: Final = encryption.SERVICE

_CREDENTIALS: Final = "approle.json"
_OPENBAO_AUTHORITY: Final = "openbao.ca.crt"
_REDIS_PASSWORD: Final = "redis.password"  # noqa: S105 - a file's name


def services(profile: Profile, host: Host, renderer: Renderer, sizing: Sizing) -> list[Service]:  # noqa: ARG001
    """The service, where there is TLS between the environment's processes; healthy once all may start."""
    if not isinstance(profile.secrets, OpenBaoSecrets):
        return []
    port = profile.local.port("certificates")
    # A line per item, without the slow encoder that indents.
    configuration = json.dumps(_configuration(profile, profile.secrets, host), separators=(",\n", ": "))
    return [
        Service(
            name=NAME,
            layer=Layer.SECRETS,
            command=(host.python, "-P", "-m", "renecinfra.agents.certificates", str(host.paths.home)),
            health=HealthCheck("http", port, "/health"),
            secrets=(CERTIFICATES_SECRET_ID, access.OPERATOR_PASSWORD),
            files={"certificates.json": RenderedFile(f"{configuration}\n")},
            port=port,
            stop_seconds=5,
            start_seconds=int(profile.local.start_timeout.total_seconds()),
        )
    ]


def secret_files(profile: Profile, host: Host, secrets: ResolvedSecrets) -> dict[str, str]:
    """Its login, Redis' operator's password, and the two authorities' certificates.

    The certificates are no secret, but only known once they have been made, so they are not part of what is
    rendered. All services trust the one of them that ``encryption.authority`` names.

    Raises:
        ToolError: OpenBao has made no authority yet.
    """
    if not encryption.enabled(profile):
        return {}
    login = {"role_id": CERTIFICATES_ROLE_ID, "secret_id": secrets[CERTIFICATES_SECRET_ID].value.reveal()}
    return {
        f"{NAME}/{_CREDENTIALS}": json.dumps(login),
        f"{NAME}/{_REDIS_PASSWORD}": secrets[access.OPERATOR_PASSWORD].value.reveal(),
        f"{NAME}/{_OPENBAO_AUTHORITY}": tls.authority(ca_file(host.paths).parent),
        f"{NAME}/{encryption.authority_name(profile)}": tls.authority(host.paths.tls),
    }


def _configuration(profile: Profile, secrets: OpenBaoSecrets, host: Host) -> dict[str, Any]:
    """What ``agents.certificates`` reads."""
    etc = host.paths.etc / NAME
    return {
        "port": profile.local.port("certificates"),
        "authority": encryption.authority(profile, host),
        "issuer": {
            "address": f"https://127.0.0.1:{profile.local.port(openbao.NAME)}",
            "ca_file": str(etc / _OPENBAO_AUTHORITY),
            "credentials": str(etc / _CREDENTIALS),
            "mount": PKI_INTERMEDIATE_MOUNT,
            "timeout": secrets.timeout.total_seconds(),
        },
        "consumers": {
            consumer: {
                "role": consumer,
                "path": encryption.material(host, consumer),
                "names": list(dict.fromkeys([profile.edge.host, "localhost"])),
                "addresses": ["127.0.0.1"],
                "ttl": profile.edge.certificate_ttl.total_seconds(),
                "servers": servers,
            }
            for consumer, servers in _servers(profile, host).items()
        },
    }


def _servers(profile: Profile, host: Host) -> dict[str, list[dict[str, Any]]]:
    """Who serves each certificate, and how it takes a new one."""
    databases_running = [databases.PRIMARY, *([databases.REPLICA] if profile.database.replicas else [])]
    operator = {
        "user": access.REDIS_OPERATOR,
        "password_file": str(host.paths.etc / NAME / _REDIS_PASSWORD),
    }
    return {
        "edge": [_server(profile, edge.NAME, "tls", "none")],
        "postgresql": [_server(profile, name, "postgresql", "hup") for name in databases_running],
        "pgbouncer": [_server(profile, databases.POOLER, "postgresql", "hup")],
        "redis": [
            {**_server(profile, name, "tls", "redis"), **operator} for name in (stores.BROKER, stores.CACHE)
        ],
    }


def _server(profile: Profile, name: str, protocol: str, reload: str) -> dict[str, Any]:
    port = profile.local.port(name.replace("-", "_"))
    return {"name": name, "protocol": protocol, "port": port, "reload": reload}
