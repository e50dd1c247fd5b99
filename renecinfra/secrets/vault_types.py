"""What is said to a Vault and what it answers, as values. Imports no client library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from renecinfra.sensitive import Secret


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a Vault is and how it is spoken to; ``timeout`` is seconds for one request, connecting too.

    ``ca_file`` is what its certificate is checked against, the system's authorities when None. ``name`` is
    how errors call it.
    """

    address: str
    namespace: str | None = None
    ca_file: Path | None = None
    timeout: float = 5.0
    name: str = "Vault"

    def __str__(self) -> str:
        return f"{self.name} at {self.address}"


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """A token that is there already, and where it was found (``VAULT_TOKEN``)."""

    token: Secret
    source: str


@dataclass(frozen=True, slots=True)
class MethodLogin:
    """A login by an auth method: what is sent to ``auth/<mount>/login``, and where it came from."""

    method: str
    mount: str
    body: Mapping[str, str | Secret]
    source: str


Login = TokenLogin | MethodLogin
LoginSource = Callable[[], Login]
"""Gathers credentials when they are needed: a CI job's token is too short-lived to be fetched early."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a Vault says of itself without a login."""

    initialised: bool
    sealed: bool
    standby: bool
    version: str


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A token's remaining life in seconds (None: it never ends) and whether it can be made longer.

    A periodic token can be renewed without end.
    """

    ttl: int | None
    renewable: bool
    periodic: bool
    policies: tuple[str, ...]
    accessor: str


@dataclass(frozen=True, slots=True)
class KvSecret:
    """One version of a path. Values that are not text are kept as their JSON."""

    data: Mapping[str, Secret]
    version: int
    created: datetime


@dataclass(frozen=True, slots=True)
class KvVersion:
    """A version of a path, without its values."""

    created: datetime
    deleted: bool
    destroyed: bool


@dataclass(frozen=True, slots=True)
class KvMetadata:
    """A path's versions by number; ``current`` is the latest one, deleted or not, and 0 if there is none."""

    current: int
    versions: Mapping[int, KvVersion]
    custom: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A leaf, PEM: the certificate, those between it and the root, its key."""

    certificate: str
    chain: tuple[str, ...]
    issuing_ca: str
    private_key: Secret
    serial: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class DatabaseCredentials:
    """A database role that lives as long as its lease."""

    user: str
    password: Secret
    lease_id: str
    lease_seconds: int
    renewable: bool
