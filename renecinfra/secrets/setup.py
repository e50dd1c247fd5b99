"""What an environment's own OpenBao has once it is set up: mounts, policies, logins. Data only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from renecinfra.profiles.model import Profile
from renecinfra.secrets.references import LOCAL_MOUNT, layout_of

DATABASE_MOUNT: Final = "database"
PKI_MOUNT: Final = "pki"
"""The root authority; its only leaf is the intermediate."""
PKI_INTERMEDIATE_MOUNT: Final = "pki_int"
"""The authority that signs the services' certificates."""

OWN_ROLE: Final = "renecinfra"
CERTIFICATES_ROLE: Final = "certificates"
CERTIFICATES_ROLE_ID: Final = "renec-certificates"
CERTIFICATES_SECRET_ID: Final = "generated:certificates_secret_id"  # noqa: S105 - a reference
"""The certificate agent's secret-id: a secret of the environment like any other, so that it is delivered and
rotated like one."""

_LOOPBACK: Final = ["127.0.0.1/32"]
_TEN_YEARS: Final = "87600h"


@dataclass(frozen=True, slots=True)
class Setup:
    """Mounts by path, ACL policies by name (their text), AppRoles by name, each as the API takes it.

    ``host`` is the name that the authorities sign for, ``leaf_seconds`` the longest life of a certificate.
    """

    mounts: Mapping[str, Mapping[str, Any]]
    policies: Mapping[str, str]
    roles: Mapping[str, Mapping[str, Any]]
    host: str
    leaf_seconds: float

    @property
    def digest(self) -> str:
        """A hash of all of it: where another one is set up, the bootstrap has to run again."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def setup_of(profile: Profile) -> Setup:
    """What the OpenBao of ``profile`` is to have."""
    base = layout_of(profile).base
    return Setup(
        mounts={
            LOCAL_MOUNT: {"type": "kv", "options": {"version": "2"}},
            DATABASE_MOUNT: {"type": "database"},
            PKI_MOUNT: {"type": "pki", "config": {"max_lease_ttl": _TEN_YEARS}},
            PKI_INTERMEDIATE_MOUNT: {"type": "pki", "config": {"max_lease_ttl": _TEN_YEARS}},
        },
        policies={OWN_ROLE: _own_policy(base), CERTIFICATES_ROLE: _certificates_policy()},
        roles={
            # A run's own token is revoked when it ends, and would not outlive it by much otherwise.
            OWN_ROLE: _role(OWN_ROLE, ttl="30m", longest="24h"),
            CERTIFICATES_ROLE: _role(CERTIFICATES_ROLE, ttl="10m", longest="1h"),
        },
        host=profile.edge.host,
        leaf_seconds=profile.edge.certificate_ttl.total_seconds(),
    )


def _role(policy: str, *, ttl: str, longest: str) -> dict[str, Any]:
    bound = {"secret_id_bound_cidrs": _LOOPBACK, "token_bound_cidrs": _LOOPBACK}
    return {
        "token_policies": [policy],
        "token_type": "service",
        "token_ttl": ttl,
        "token_max_ttl": longest,
        **bound,
    }


def _own_policy(base: str) -> str:
    """renecinfra: the environment's own secrets, its database roles, its authorities' roles; no policy."""
    change = ["create", "read", "update", "delete", "list"]
    allowed: dict[str, list[str]] = {
        f"{LOCAL_MOUNT}/data/{base}/*": ["create", "read", "update"],
        f"{LOCAL_MOUNT}/metadata/{base}/*": ["read", "list"],
        f"{LOCAL_MOUNT}/delete/{base}/*": ["update"],
        f"{LOCAL_MOUNT}/undelete/{base}/*": ["update"],
        f"{LOCAL_MOUNT}/destroy/{base}/*": ["update"],
        f"{DATABASE_MOUNT}/*": change,
        f"{PKI_MOUNT}/*": ["read", "list"],
        f"{PKI_INTERMEDIATE_MOUNT}/*": ["read", "list"],
        f"{PKI_INTERMEDIATE_MOUNT}/roles/*": change,
        f"auth/approle/role/{CERTIFICATES_ROLE}/custom-secret-id": ["update"],
        f"auth/approle/role/{CERTIFICATES_ROLE}/secret-id/*": ["update"],
        "sys/leases/lookup": ["update"],
        "sys/leases/renew": ["update"],
        "sys/leases/revoke": ["update"],
    }
    return _policy(allowed)


def _certificates_policy() -> str:
    """The certificate agent: leaves from the intermediate, and nothing that is there already."""
    return _policy({f"{PKI_INTERMEDIATE_MOUNT}/issue/*": ["create", "update"]})


def _policy(allowed: Mapping[str, list[str]]) -> str:
    return json.dumps({"path": {path: {"capabilities": words} for path, words in allowed.items()}})
