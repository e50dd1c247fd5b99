"""The environment's certificate authority in its Vault: a root, an intermediate, a role per workload.

The root is made here and imported, because a Vault puts no addresses among the names that a root may sign
for: so whoever trusts it trusts it for the environment's host and this machine's loopback alone. Its key is
in the Vault only, and in this process while it is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from renecinfra import tls
from renecinfra.sensitive import Secret

ROOT: Final = "pki"
ISSUING: Final = "pki_int"
"""Where the two engines are mounted: the root's, and the intermediate's, which issues."""

INTERMEDIATE_LIFETIME: Final = timedelta(days=1825)
"""How long the intermediate is valid."""

ROLES: Final = ("edge", "postgresql", "pgbouncer", "redis")
"""The workloads that get certificates; each has a role of its name."""

# An intermediate is replaced with a year left: longer than any leaf that it still has to sign.
_RENEW_BEFORE: Final = timedelta(days=365)
# A clock that is a little behind must not find a new leaf "not yet valid".
_BACKDATE: Final = timedelta(seconds=30)


class Client(Protocol):
    """What is needed of :class:`renecinfra.secrets.vault.VaultClient`."""

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One request; see there."""
        ...


def fits(root: str, host: str, now: datetime | None = None) -> bool:
    """Whether a root (PEM), and with it what it signed, may stay: it is for ``host``, and young enough."""
    # An intermediate that was made with it is due a year before its end, so the two are replaced together.
    rest = INTERMEDIATE_LIFETIME + _RENEW_BEFORE
    return tls.authority_fits(root, host, now or datetime.now(UTC), rest)


def ensure(client: Client, host: str, leaf: timedelta, now: datetime | None = None) -> str:
    """Bring root, intermediate and roles to what the environment needs; returns the root's certificate, PEM.

    Both engines are mounted already, for at least ten years. Safe to run again, and after it was interrupted
    anywhere: what fits stays. ``host`` is the edge's, ``leaf`` the longest life of a certificate, ``now`` is
    for tests.

    Raises:
        SecretsError: the Vault cannot be reached, or refuses.
    """
    moment = now or datetime.now(UTC)
    root = _default(client, ROOT)
    if root is None or not fits(root, host, moment):
        root = _make_root(client, host, moment)
    intermediate = _default(client, ISSUING)
    if intermediate is None or not tls.issued_by(intermediate, root, moment + _RENEW_BEFORE):
        _make_intermediate(client, host)
    for role in ROLES:
        client.request("POST", f"{ISSUING}/roles/{role}", _role(host, leaf))
    return root


def _default(client: Client, mount: str) -> str | None:
    """The certificate that a mount signs with; None before there is one."""
    identifier = client.request("GET", f"{mount}/config/issuers")["data"]["default"]
    if not identifier:
        return None
    return str(client.request("GET", f"{mount}/issuer/{identifier}")["data"]["certificate"])


def _adopt(client: Client, mount: str, answer: Mapping[str, Any]) -> None:
    """Sign with the issuer that was just imported from now on."""
    (identifier,) = answer["data"]["imported_issuers"]
    client.request("POST", f"{mount}/config/issuers", {"default": identifier})


def _make_root(client: Client, host: str, now: datetime) -> str:
    certificate, key = tls.make_authority(host, now, intermediates=1)
    bundle = Secret(f"{certificate}{key.reveal()}")
    _adopt(client, ROOT, client.request("POST", f"{ROOT}/issuers/import/bundle", {"pem_bundle": bundle}))
    return certificate


def _make_intermediate(client: Client, host: str) -> None:
    # A common name has at most 64 characters.
    subject = {"common_name": f"renecinfra issuing CA for {host}"[:64], "key_type": "ec", "key_bits": 256}
    asked = client.request("POST", f"{ISSUING}/issuers/generate/intermediate/internal", subject)["data"]
    wanted = {
        "csr": asked["csr"],
        "common_name": subject["common_name"],
        "ttl": _seconds(INTERMEDIATE_LIFETIME),
        "max_path_length": 0,
        "exclude_cn_from_sans": True,
    }
    signed = client.request("POST", f"{ROOT}/root/sign-intermediate", wanted)["data"]
    answer = client.request(
        "POST", f"{ISSUING}/intermediate/set-signed", {"certificate": signed["certificate"]}
    )
    _adopt(client, ISSUING, answer)
    tidy = {"enabled": True, "tidy_cert_store": True, "interval_duration": "24h"}
    client.request("POST", f"{ISSUING}/config/auto-tidy", tidy)


def _role(host: str, leaf: timedelta) -> dict[str, Any]:
    """Server certificates for exactly these names; of addresses, the root allows this machine's alone."""
    return {
        "allowed_domains": list(dict.fromkeys([host, "localhost"])),
        "allow_bare_domains": True,
        "allow_subdomains": False,
        "allow_localhost": False,
        "allow_wildcard_certificates": False,
        "allow_ip_sans": True,
        "enforce_hostnames": True,
        "server_flag": True,
        "client_flag": False,
        "key_type": "ec",
        "key_bits": 256,
        "key_usage": ["DigitalSignature"],
        "not_before_duration": _seconds(_BACKDATE),
        "ttl": _seconds(leaf),
        "max_ttl": _seconds(leaf),
    }


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():.0f}s"
