"""The environments of a workspace at a glance: what there is, and whether it is valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from renecinfra.errors import ProfileError
from renecinfra.profiles import inheritance
from renecinfra.profiles.loading import load
from renecinfra.profiles.tree import find
from renecinfra.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Listing:
    """One environment; ``error`` is its first problem, and what is not known then is empty."""

    name: str
    platform: str
    description: str
    protected: bool
    port_base: int | None
    error: ProfileError | None

    @property
    def valid(self) -> bool:
        """Whether the profile has no problem."""
        return self.error is None


def environments(workspace: Workspace, environ: Mapping[str, str] | None = None) -> list[Listing]:
    """Every environment by name, valid or not. A file that is only there to be extended is none.

    ``environ`` may override settings as for :func:`load`; None is the process's environment.
    """
    found = (_listing(workspace, name, environ) for name in inheritance.names(workspace))
    return [listing for listing in found if listing is not None]


def _listing(workspace: Workspace, name: str, environ: Mapping[str, str] | None) -> Listing | None:
    try:
        loaded = load(workspace, name, environ=environ)
    except ProfileError as error:
        return None if _is_base(workspace, name) else Listing(name, "", "", False, None, error)
    profile = loaded.profile
    base = profile.platform.port_base if profile.platform.kind == "local" else None
    return Listing(
        name,
        profile.platform.kind,
        profile.description or "",
        profile.protection.protected,
        base,
        None,
    )


def _is_base(workspace: Workspace, name: str) -> bool:
    """Whether a file can be read and names no environment."""
    try:
        return find(inheritance.read(workspace, name).root, ["environment"]) is None
    except ProfileError:
        return False
