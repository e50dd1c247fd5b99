"""New values for secrets: which can be made here, and how one becomes the current version."""

from __future__ import annotations

import secrets
from typing import Final, Protocol

from renecinfra.errors import UsageError
from renecinfra.profiles.model import Profile
from renecinfra.redaction import redactor
from renecinfra.secrets.references import GENERATED
from renecinfra.sensitive import Secret

_BYTES: Final = 24  # 192 bits; URL-safe text, so that it needs no quoting in a DSN
# Known to OpenBao as a login, which a new value would have to be told of.
_BOUND: Final = frozenset({f"{GENERATED}certificates_secret_id"})


class WritableStore(Protocol):
    """A store that takes new versions."""

    def put(self, reference: str, value: Secret, cas: int | None = None) -> int:
        """Write a new version where ``cas`` is the current one; returns its number.

        Raises:
            SecretsError: another version is current, or it cannot be written.
        """
        ...


def require_rotatable(profile: Profile, reference: str) -> None:
    """Refuse a secret whose new value is not for us to make: somebody else has to accept it.

    Raises:
        UsageError: it is a key of another system.
    """
    if reference == profile.backups.passphrase and profile.backups.enabled:
        raise UsageError(
            "secret-not-rotatable",
            f"{reference} is what the backups are encrypted with, and they cannot be encrypted anew",
            hint="to begin with another, give up the backups: `down --delete-backups`, then `up`",
        )
    own = {profile.database.password, profile.cache.password, profile.workloads.api.key}
    if reference in own or (reference.startswith(GENERATED) and reference not in _BOUND):
        return
    raise UsageError(
        "secret-not-rotatable",
        f"{reference} is not made here, so a value of our own making would open nothing",
        hint=f"have a new one made where it is used, then `renecinfra secrets {profile.environment} put`",
    )


def new_value() -> Secret:
    """A new random value, registered for redaction."""
    value = Secret(secrets.token_urlsafe(_BYTES))
    redactor.register(value)
    return value
