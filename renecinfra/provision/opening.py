"""The session of an environment, whichever platform it is on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from renecinfra.profiles.loading import load
from renecinfra.reporting import Reporter
from renecinfra.workspace import Workspace

if TYPE_CHECKING:
    from renecinfra.provision.kubernetes.session import ClusterSession
    from renecinfra.provision.session import Session


def open_platform(
    workspace: Workspace, name: str, reporter: Reporter, *, overrides: Sequence[str] = ()
) -> Session | ClusterSession:
    """Load the profile of ``name`` and open what its platform takes.

    Raises:
        ProfileError: the profile or an override is wrong.
        ToolError: the platform is one that this version does not run.
    """
    loaded = load(workspace, name, overrides)
    if loaded.profile.platform.kind == "kubernetes":
        from renecinfra.provision.kubernetes.session import ClusterSession

        return ClusterSession(workspace, loaded, reporter)
    from renecinfra.provision.session import open_session

    return open_session(workspace, name, reporter, overrides=overrides)
