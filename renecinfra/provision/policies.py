"""What `secrets policy` prints: a policy and the role that hands it out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from renecinfra.errors import UsageError
from renecinfra.profiles.platform import VaultSecrets
from renecinfra.provision.secrets import SecretsWork
from renecinfra.secrets import policy
from renecinfra.secrets.policy import Purpose

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class MadePolicy:
    """A policy, and its role where one can be made: ``role`` is None without a repository."""

    environment: str
    name: str
    text: str
    role_path: str | None
    role: dict[str, Any] | None

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "environment": self.environment,
            "name": self.name,
            "policy": self.text,
            "role_path": self.role_path,
            "role": self.role,
        }


def made_for(
    work: SecretsWork, purpose: str, repository: str | None, branch: str, *, role: bool
) -> MadePolicy:
    """The policy of a purpose, and its role; ``role`` says that the role is what is wanted.

    Raises:
        UsageError: there is no such purpose, or the role needs a repository.
        SecretsError: the environment's secrets are not in a Vault.
    """
    if purpose not in list(Purpose):
        raise UsageError(
            "purpose-unknown",
            f"there is no policy for {purpose}",
            hint=f"purposes: {', '.join(Purpose)}",
        )
    wanted, profile = Purpose(purpose), work.profile
    if profile.secrets.provider == "generated":
        # Says why, and what to change.
        _ = work.vault
    if repository is not None and not _REPOSITORY.fullmatch(repository):
        raise UsageError("repository-invalid", f"{repository} is not OWNER/NAME", hint="give --repository")
    name = policy.role_name(profile, wanted)
    path, made = None, None
    if wanted in (Purpose.CLUSTER, Purpose.CERTIFICATES):
        mount = (
            profile.secrets.delivery.auth_mount if isinstance(profile.secrets, VaultSecrets) else "kubernetes"
        )
        path, made = f"auth/{mount}/role/{name}", policy.kubernetes_role(profile, wanted)
    elif repository is not None:
        path, made = f"auth/jwt/role/{name}", policy.jwt_role(profile, wanted, repository, branch)
    elif role:
        raise UsageError(
            "repository-missing",
            f"the role {name} is bound to a repository, and none was given",
            hint="give --repository OWNER/NAME",
        )
    return MadePolicy(profile.environment, name, policy.policy(profile, work.references, wanted), path, made)
