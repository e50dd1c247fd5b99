"""The least that a Vault must allow for a profile, and the roles that hand it out. Pure.

A policy names exact paths: none ends in a wildcard but those that deny. Paths are the API's, where KV version
2 has values below ``data/`` and versions below ``metadata/``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import KubernetesPlatform, VaultSecrets
from renecinfra.secrets.references import GENERATED, KvReference, layout_of

STORE_ACCOUNT = "renec-external-secrets"
"""The service account that External Secrets reads a cluster's secrets as."""
ISSUER_ACCOUNT = "renec-certificates"
"""The service account that cert-manager has certificates signed as."""
CLUSTER_NAMESPACE = "renec"
"""Where the workloads are on a cluster whose profile does not say."""
AUDIENCE = "vault"
"""What the tokens of those accounts are for."""
EDGE_ROLE = "edge"
"""The PKI role that signs the edge's certificate."""


class Purpose(StrEnum):
    """Whom a policy is for."""

    RUN = "run"
    """Whoever runs `up`: reads every value."""
    WRITE = "write"
    """Whoever runs `secrets put` and `rotate`: reads and writes every value."""
    CLUSTER = "cluster"
    """External Secrets: reads the values of the cluster's workloads."""
    CERTIFICATES = "certificates"
    """cert-manager: has the edge's certificate signed, and reads nothing."""
    CI = "ci"
    """Jobs that check a change: see which versions there are, and may read no value."""


_HEADINGS: Mapping[Purpose, str] = {
    Purpose.RUN: "reads what the profile refers to",
    Purpose.WRITE: "reads what the profile refers to, and writes new versions of it",
    Purpose.CLUSTER: "reads what the cluster's workloads need",
    Purpose.CERTIFICATES: "has the edge's certificate signed",
    Purpose.CI: "sees names, versions and ages; every value is denied",
}
# A token may always look at itself; a policy that says so works without Vault's `default`, too.
_OWN_TOKEN: Sequence[tuple[str, tuple[str, ...]]] = (
    ("auth/token/lookup-self", ("read",)),
    ("auth/token/renew-self", ("update",)),
    ("auth/token/revoke-self", ("update",)),
)


def role_name(profile: Profile, purpose: Purpose) -> str:
    """What the policy and the role of a purpose are called."""
    secrets = profile.secrets
    if purpose is Purpose.CLUSTER and isinstance(secrets, VaultSecrets) and secrets.delivery.role:
        return secrets.delivery.role
    return f"renec-{profile.environment}-{purpose}"


def policy(profile: Profile, references: Iterable[str], purpose: Purpose) -> str:
    """An ACL policy in HCL, as ``vault policy write`` takes it."""
    layout = layout_of(profile)
    located = list(layout.locate_all(references).values())
    rules = [*_rules(located, layout.mount, layout.base, purpose), *_signing(profile, purpose), *_OWN_TOKEN]
    lines = [f"# {profile.environment}: {_HEADINGS[purpose]}."]
    for path, capabilities in rules:
        quoted = ", ".join(f'"{capability}"' for capability in capabilities)
        lines += [f'path "{path}" {{', f"  capabilities = [{quoted}]", "}"]
    return "\n".join(lines) + "\n"


def _rules(
    located: Sequence[KvReference], mount: str, base: str, purpose: Purpose
) -> list[tuple[str, tuple[str, ...]]]:
    data = sorted({reference.data_path for reference in located})
    made = {reference.data_path for reference in located if reference.text.startswith(GENERATED)}
    metadata = [(path, ("read",)) for path in sorted({reference.metadata_path for reference in located})]
    if purpose is Purpose.CERTIFICATES:
        return []
    if purpose is Purpose.CLUSTER:
        return [(path, ("read",)) for path in data]
    if purpose is Purpose.WRITE:
        return [*((path, ("create", "read", "update")) for path in data), *metadata]
    if purpose is Purpose.CI:
        # The exact paths too: another policy of the same token may name one, and the longer path wins.
        denied = [f"{mount}/data/{base}/*" if base else f"{mount}/data/*", *data]
        return [*((path, ("deny",)) for path in denied), *metadata]
    values = [(path, ("create", "read") if path in made else ("read",)) for path in data]
    return [*values, *metadata]


def _signing(profile: Profile, purpose: Purpose) -> list[tuple[str, tuple[str, ...]]]:
    secrets = profile.secrets
    if purpose is Purpose.CERTIFICATES and isinstance(secrets, VaultSecrets):
        return [(f"{secrets.pki_mount}/sign/{EDGE_ROLE}", ("create", "update"))]
    return []


def signs_certificates(profile: Profile) -> bool:
    """Whether cert-manager has the edge's certificate signed by the profile's Vault."""
    return profile.edge.tls == "cert-manager" and isinstance(profile.secrets, VaultSecrets)


def namespace_of(profile: Profile) -> str:
    """The Kubernetes namespace of the workloads."""
    platform = profile.platform
    return platform.namespace if isinstance(platform, KubernetesPlatform) else CLUSTER_NAMESPACE


def jwt_role(profile: Profile, purpose: Purpose, repository: str, branch: str) -> dict[str, Any]:
    """The role of Vault's JWT method for GitHub's jobs, as ``vault write auth/jwt/role/NAME -`` takes it.

    Claims are those of GitHub's tokens. Only jobs of ``repository`` may log in; for anything but ``ci`` only
    those on ``branch`` that run in the GitHub environment of the profile's name, which can ask for approval.
    """
    secrets = profile.secrets
    audience = None
    if isinstance(secrets, VaultSecrets):
        audience = secrets.audience or secrets.address
    claims = {"repository": repository}
    if purpose is not Purpose.CI:
        claims |= {"ref": f"refs/heads/{branch}", "environment": profile.environment}
    return {
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_audiences": [audience] if audience else [],
        "bound_claims_type": "string",
        "bound_claims": claims,
        "token_policies": [role_name(profile, purpose)],
        "token_no_default_policy": True,
        "token_ttl": "15m",
        "token_max_ttl": "1h",
    }


def kubernetes_role(profile: Profile, purpose: Purpose) -> dict[str, Any]:
    """The role of Vault's Kubernetes method for one of the cluster's operators."""
    account = ISSUER_ACCOUNT if purpose is Purpose.CERTIFICATES else STORE_ACCOUNT
    return {
        "bound_service_account_names": [account],
        "bound_service_account_namespaces": [namespace_of(profile)],
        "audience": AUDIENCE,
        "token_policies": [role_name(profile, purpose)],
        "token_no_default_policy": True,
        "token_ttl": "10m",
    }
