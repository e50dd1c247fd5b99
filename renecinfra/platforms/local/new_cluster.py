"""The files of a new PostgreSQL cluster, made while OpenBao is set up: a job that needs no secret.

Without it a first `up` would wait a second longer: the primary, whose roles need the secrets, takes what the
job has made. Where a database is or was, the job makes nothing.
"""

from __future__ import annotations

from typing import Final

from renecinfra.platforms.local import databases
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import OpenBaoSecrets
from renecinfra.profiles.sizing import Sizing
from renecinfra.rendering import Renderer
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.services.definition import HealthCheck, Layer, Service

NAME: Final = "new-cluster"


def services(profile: Profile, host: Host, renderer: Renderer, sizing: Sizing) -> list[Service]:  # noqa: ARG001
    """The job, where the environment has an OpenBao of its own."""
    if not isinstance(profile.secrets, OpenBaoSecrets):
        return []
    environment = databases.cluster_environment(profile, host, databases.PRIMARY, "primary")
    return [
        Service(
            name=NAME,
            kind="job",
            layer=Layer.SECRETS,
            command=("/bin/sh", str(host.paths.etc / NAME / "run.sh")),
            health=HealthCheck(kind="running"),
            environment={**environment, "CLUSTER_ETC": str(host.paths.etc / NAME)},
            files={
                "cluster.sh": renderer.file("postgresql/cluster.sh", "cluster.sh", {}),
                "run.sh": renderer.file("postgresql/new-cluster.sh", "run.sh", {}),
            },
            package="postgresql",
            start_seconds=int(profile.local.start_timeout.total_seconds()),
        )
    ]


def secret_files(profile: Profile, host: Host, secrets: ResolvedSecrets) -> dict[str, str]:  # noqa: ARG001
    """None."""
    return {}
