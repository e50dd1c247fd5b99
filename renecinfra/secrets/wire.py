"""What goes to a Vault and comes from it, between JSON and our values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from renecinfra.redaction import redactor
from renecinfra.secrets.vault_types import (
    DatabaseCredentials,
    Health,
    IssuedCertificate,
    KvMetadata,
    KvVersion,
)
from renecinfra.sensitive import Secret


def revealed(value: Any) -> Any:
    """A request's body with its secrets in clear: for the client alone, right before it is sent."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {key: revealed(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [revealed(one) for one in value]
    return value


def hidden(value: Any) -> Secret:
    """A value that was read, from now on hidden in all output; what is not text is kept as its JSON."""
    secret = Secret(value if isinstance(value, str) else json.dumps(value))
    redactor.register(secret)
    return secret


def time_of(text: str) -> datetime:
    """RFC 3339 as Go writes it: nine digits of a second, of which Python takes six."""
    head, _, rest = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{rest[:6].ljust(6, '0')}+00:00")


def is_past(text: str | None) -> bool:
    """Whether a time is over; an empty text is the API's way to say never."""
    return bool(text) and time_of(text or "") <= datetime.now(UTC)


def kv_metadata(data: Mapping[str, Any]) -> KvMetadata:
    """A path's versions, from the answer of KV version 2."""
    versions = {
        int(number): KvVersion(
            time_of(one["created_time"]), is_past(one.get("deletion_time")), bool(one.get("destroyed"))
        )
        for number, one in (data.get("versions") or {}).items()
    }
    return KvMetadata(int(data["current_version"]), versions, data.get("custom_metadata") or {})


def certificate(data: Mapping[str, Any]) -> IssuedCertificate:
    """A leaf and its key, from the answer of a PKI engine."""
    return IssuedCertificate(
        certificate=data["certificate"],
        chain=tuple(data.get("ca_chain") or ()),
        issuing_ca=data["issuing_ca"],
        private_key=hidden(data["private_key"]),
        serial=data["serial_number"],
        expires=datetime.fromtimestamp(int(data["expiration"]), UTC),
    )


def database_credentials(answer: Mapping[str, Any]) -> DatabaseCredentials:
    """A short-lived database role, from the answer of a database engine."""
    return DatabaseCredentials(
        user=answer["data"]["username"],
        password=hidden(answer["data"]["password"]),
        lease_id=answer["lease_id"],
        lease_seconds=int(answer["lease_duration"]),
        renewable=bool(answer["renewable"]),
    )


def health(answer: Mapping[str, Any]) -> Health:
    """What a Vault says of itself, from the answer of ``sys/health``."""
    return Health(
        initialised=bool(answer.get("initialized")),
        sealed=bool(answer.get("sealed")),
        standby=bool(answer.get("standby")),
        version=str(answer.get("version", "")),
    )
