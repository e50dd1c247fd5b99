"""What a platform with a cluster asks of whatever deploys to it, and who does for an environment in AWS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from renecinfra.platforms.database_login import Administrator
from renecinfra.profiles.model import Profile
from renecinfra.reporting import Reporter
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ReleaseContext:
    """What releases are deployed with.

    ``outputs`` are those of the Terraform stack (docs/reference/aws.md lists them): hosts of the
    databases, the load balancer's target group, buckets. ``kubeconfig`` is a file that is there only as
    long as the call takes. ``administrator`` may make roles in the database.
    """

    profile: Profile
    outputs: Mapping[str, Any]
    secrets: ResolvedSecrets
    kubeconfig: Path
    reporter: Reporter
    administrator: Administrator | None = None


class Releases(Protocol):
    """Deploys an environment's releases. Every method is safe to repeat after it was cut off."""

    def apply(self, context: ReleaseContext) -> None:
        """Bring the releases to the profile and wait until they serve. Raises ClusterError."""
        ...

    def remove(self, context: ReleaseContext) -> None:
        """Take the releases away, with the volumes that they made in the cloud. Raises ClusterError."""
        ...


def releases_for(workspace: Workspace) -> Releases:
    """What deploys the releases of an environment in AWS: Helm."""
    from renecinfra.platforms.helm_releases import HelmReleases

    return HelmReleases(workspace)
