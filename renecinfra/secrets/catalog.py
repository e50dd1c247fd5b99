"""Which store serves a profile's secrets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import GeneratedSecrets, VaultSecrets
from renecinfra.secrets.generated import GeneratedStore
from renecinfra.workspace import EnvironmentPaths

if TYPE_CHECKING:
    from renecinfra.secrets.vault_store import VaultStore


def store_for(profile: Profile, paths: EnvironmentPaths, root: Path) -> GeneratedStore | VaultStore:
    """The store that the profile names; nothing is asked of it yet. ``root`` is the workspace.

    Raises:
        SecretsError: the CA that the profile names is not there.
    """
    if isinstance(profile.secrets, GeneratedSecrets):
        return GeneratedStore(paths.secrets)
    if isinstance(profile.secrets, VaultSecrets):
        from renecinfra.secrets.opening import open_vault

        return open_vault(profile, root, os.environ)
    from renecinfra.secrets import openbao
    from renecinfra.secrets.references import layout_of
    from renecinfra.secrets.vault_store import VaultStore

    return VaultStore(openbao.client(profile, paths), layout_of(profile), generate=True)
