"""How a cluster gets secrets and certificates: objects that refer to Vault, or Secrets from memory."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from renecinfra.errors import SecretsError
from renecinfra.kubernetes.consumers import consumers
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import KubernetesPlatform, VaultSecrets
from renecinfra.redaction import redactor
from renecinfra.rendering import Bundle, RenderedFile, Renderer
from renecinfra.secrets import policy
from renecinfra.secrets.policy import Purpose
from renecinfra.secrets.references import layout_of
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.sensitive import Secret

_SECRETS: Final = "kubernetes/secrets"
_CERTIFICATES: Final = "kubernetes/certificates"
DATABASE_OWNER: Final = "renec-database-owner"
"""The Secret with the login of the database's owner, where PostgreSQL is in the cluster."""


def secret_objects(profile: Profile, renderer: Renderer, root: Path) -> Bundle:
    """The objects of External Secrets and cert-manager that a profile asks for; none holds a secret.

    ``root`` is the workspace, which ``secrets.ca_file`` is relative to.

    Raises:
        ProfileError: a template does not render.
        SecretsError: the CA file cannot be read.
    """
    secrets = profile.secrets
    if not isinstance(secrets, VaultSecrets):
        return {}
    layout = layout_of(profile)
    shared = {
        "profile": profile,
        "secrets": secrets,
        "mount": layout.mount,
        "namespace": policy.namespace_of(profile),
        "labels": labels(profile),
        "audience": policy.AUDIENCE,
        "ca": _ca_bundle(secrets, root),
    }
    files: dict[str, RenderedFile] = {}

    def render(source: str, target: str, **more: object) -> None:
        files[target] = renderer.file(source, target, {**shared, **more})

    if secrets.delivery.kind == "external-secrets":
        role = policy.role_name(profile, Purpose.CLUSTER)
        source, target = f"{_SECRETS}/store.yaml.j2", f"{_SECRETS}/store.yaml"
        render(source, target, account=policy.STORE_ACCOUNT, role=role)
        for name, references in consumers(profile).items():
            keys = {key: layout.locate(reference) for key, reference in references.items()}
            source, target = f"{_SECRETS}/external-secret.yaml.j2", f"{_SECRETS}/{name}.yaml"
            render(source, target, consumer=name, keys=keys, quoted=_quoted(references))
        if isinstance(profile.platform, KubernetesPlatform):
            reference = layout.locate(profile.database.password)
            source, target = f"{_SECRETS}/database.yaml.j2", f"{_SECRETS}/database.yaml"
            render(source, target, name=DATABASE_OWNER, reference=reference)
    if policy.signs_certificates(profile):
        role = policy.role_name(profile, Purpose.CERTIFICATES)
        source, target = f"{_CERTIFICATES}/issuer.yaml.j2", f"{_CERTIFICATES}/issuer.yaml"
        render(source, target, account=policy.ISSUER_ACCOUNT, pki_role=policy.EDGE_ROLE, role=role)
        render(f"{_CERTIFICATES}/edge.yaml.j2", f"{_CERTIFICATES}/edge.yaml")
    return files


def secrets_from_memory(profile: Profile, resolved: ResolvedSecrets) -> list[dict[str, Any]]:
    """The Secrets of ``delivery.kind: applied``, for whoever applies them; they must never reach a disk.

    Values are :class:`Secret`, to be revealed as they are sent.
    """
    made = []
    for name, references in consumers(profile).items():
        values = {key: resolved[reference].value for key, reference in references.items()}
        values |= {f"{key}_QUOTED": _url_quoted(values[key]) for key in _quoted(references)}
        made.append(_secret(profile, f"renec-{name}", "Opaque", values))
    if isinstance(profile.platform, KubernetesPlatform):
        owner = {
            "username": Secret(profile.database.user),
            "password": resolved[profile.database.password].value,
        }
        made.append(_secret(profile, DATABASE_OWNER, "kubernetes.io/basic-auth", owner))
    return made


def _secret(profile: Profile, name: str, kind: str, values: Mapping[str, Secret]) -> dict[str, Any]:
    reload = {"cnpg.io/reload": "true"} if name == DATABASE_OWNER else {}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": policy.namespace_of(profile),
            "labels": {**labels(profile), **reload},
        },
        "type": kind,
        "data": {key: _encoded(value) for key, value in values.items()},
    }


def _quoted(references: Mapping[str, str]) -> list[str]:
    """The passwords of a consumer that are part of an address."""
    return [key for key in references if key.endswith("_PASSWORD")]


def _url_quoted(value: Secret) -> Secret:
    quoted = Secret(quote(value.reveal(), safe=""))
    redactor.register(quoted)
    return quoted


def labels(profile: Profile) -> dict[str, str]:
    """What all objects of an environment have, by Kubernetes' recommended names."""
    return {
        "app.kubernetes.io/part-of": "renec",
        "app.kubernetes.io/instance": profile.environment,
        "app.kubernetes.io/managed-by": "renecinfra",
    }


def _encoded(value: Secret) -> Secret:
    return Secret(base64.b64encode(value.reveal().encode()).decode())


def _ca_bundle(secrets: VaultSecrets, root: Path) -> str | None:
    """The CA's certificate as both operators take it: PEM in base64."""
    if secrets.ca_file is None:
        return None
    path = root / Path(secrets.ca_file).expanduser()
    try:
        return base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise SecretsError(
            "vault-ca-unreadable",
            f"secrets.ca_file is {path}, which cannot be read: {error.strerror}",
            hint="write the path of the CA's certificate (PEM), relative to the workspace",
        ) from None
