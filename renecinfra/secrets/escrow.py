"""The backups' pass phrase outside of the store of secrets, where that dies with the environment.

Backups outlive the environment, so what opens them must too: a 0600 file in the caller's state directory. An
environment that is made anew takes it from there, and the one that a repository was made with is never
replaced.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Protocol

from renecinfra.errors import SecretsError
from renecinfra.rendering import write_atomically
from renecinfra.secrets.store import ResolvedSecrets, SecretVersion
from renecinfra.sensitive import Secret


class _Store(Protocol):
    def existing(self, references: list[str]) -> ResolvedSecrets: ...
    def put(self, reference: str, value: Secret, cas: int | None = None) -> int: ...


def read(path: Path) -> Secret | None:
    """What is kept; None where nothing is.

    Raises:
        SecretsError: it can be read by others, or not by us.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error.strerror or "it cannot be read") from None
    with os.fdopen(descriptor, encoding="utf-8") as stream:
        mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
        if mode & 0o077:
            raise _unusable(path, f"its mode is {mode:04o}, not 0600")
        value = stream.read().strip()
    if not value:
        raise _unusable(path, "it is empty")
    return Secret(value)


def seed(store: _Store, path: Path, reference: str) -> None:
    """Give a store that has no pass phrase yet the one that is kept.

    Raises:
        SecretsError: it cannot be read or stored.
    """
    kept = read(path)
    if kept is not None and reference not in store.existing([reference]):
        store.put(reference, kept)


def keep(path: Path, reference: str, secret: SecretVersion) -> None:
    """Keep the pass phrase; refuses another one than is kept already.

    Raises:
        SecretsError: ``backup-key-changed``, or it cannot be kept.
    """
    kept = read(path)
    if kept is None:
        write_atomically(path, secret.value.reveal() + "\n", 0o600, durable=True)
    elif kept.reveal() != secret.value.reveal():
        raise SecretsError(
            "backup-key-changed",
            f"{reference} is not the pass phrase that the backups were made with, which is kept in {path}",
            hint="store the kept value as a new version of it; or, to give up these backups, "
            "run `down --delete-backups`",
        )


def _unusable(path: Path, why: str) -> SecretsError:
    return SecretsError(
        "backup-key-unusable",
        f"the backups' pass phrase in {path} cannot be used: {why}",
        hint="mend its owner and mode (chmod 600), or restore your copy; without it the backups are lost",
    )
