"""One environment on an existing cluster: what is rendered for it, and what comes before its releases."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from renecinfra.kubernetes import catalogue
from renecinfra.kubernetes.backends import in_cluster
from renecinfra.kubernetes.catalogue import Release, Rendering
from renecinfra.kubernetes.data import CHART as DATA
from renecinfra.kubernetes.places import Places
from renecinfra.kubernetes.secrets import labels, secrets_from_memory
from renecinfra.kubernetes.versions import Versions
from renecinfra.platforms.kubernetes.alerts import alert_objects
from renecinfra.platforms.kubernetes.preflight import ENVIRONMENT_LABEL
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import VaultSecrets
from renecinfra.profiles.policy.secrets import references
from renecinfra.rendering import Bundle, Renderer
from renecinfra.secrets import policy
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.sensitive import Secret
from renecinfra.workspace import Workspace


@dataclass(frozen=True)
class ClusterEnvironment:
    """A profile on its cluster. Pure."""

    workspace: Workspace
    profile: Profile

    @cached_property
    def renderer(self) -> Renderer:
        """Renders from the workspace's templates."""
        return Renderer(self.workspace.templates)

    @property
    def namespace(self) -> str:
        """Where the application is."""
        return policy.namespace_of(self.profile)

    @cached_property
    def releases(self) -> list[Release]:
        """Every release, in order."""
        return catalogue.releases(self.profile, self.workspace.templates)

    @property
    def application(self) -> Release:
        """The application's release: the last of them."""
        return self.releases[-1]

    def references(self) -> tuple[str, ...]:
        """Every secret that the environment needs, by reference."""
        return tuple(sorted(set(references(self.profile).values())))

    @property
    def data(self) -> Release:
        """The release of PostgreSQL and Redis."""
        return next(one for one in self.releases if one.name == DATA)

    def bundle(
        self,
        versions: Versions | None = None,
        secret_versions: Mapping[str, int] | None = None,
        places: Places | None = None,
    ) -> Bundle:
        """Every release's values.

        Raises:
            ProfileError: a template does not render.
            SecretsError: Vault's CA cannot be read.
        """
        rendering = Rendering(
            self.renderer,
            self.workspace.root,
            in_cluster(),
            versions or Versions(),
            secret_versions or {},
            objects=alert_objects(self.profile, self.renderer),
            places=places,
        )
        return catalogue.bundle(self.profile, rendering)

    def namespace_object(self) -> str:
        """The namespace, in which only pods of the restricted kind may run, and whose it is."""
        level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
        whose = {ENVIRONMENT_LABEL: self.profile.environment}
        metadata = {"name": self.namespace, "labels": {**labels(self.profile), **level, **whose}}
        return json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def secret_objects(self, resolved: ResolvedSecrets) -> str | None:
        """The Secrets as JSON to be applied from memory, where the profile wants that; they hold values."""
        secrets = self.profile.secrets
        if isinstance(secrets, VaultSecrets) and secrets.delivery.kind == "external-secrets":
            return None
        items = [_revealed(one) for one in secrets_from_memory(self.profile, resolved)]
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _revealed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _revealed(one) for key, one in value.items()}
    return value.reveal() if isinstance(value, Secret) else value
