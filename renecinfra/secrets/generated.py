"""The store of environments without a Vault: secrets made at the first `up`, in one 0600 file.

Only the local platform may use it (a rule of ``profiles.policy``). The file is in the environment's 0700
state directory, belongs to the caller, and is replaced atomically, so that a crash never loses a password
that a database already has.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from renecinfra.errors import SecretsError
from renecinfra.rendering import write_atomically
from renecinfra.secrets.store import ResolvedSecrets, SecretVersion
from renecinfra.sensitive import Secret

_PREFIX: Final = "generated:"
_BYTES: Final = 24  # 192 bits; URL-safe text, so that it needs no quoting in a DSN


class GeneratedStore:
    """Resolves ``generated:NAME``, making each secret the first time it is asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def resolve(self, references: Iterable[str]) -> ResolvedSecrets:
        """Every reference's value and version; a missing one is made and stored before it is returned.

        Raises:
            SecretsError: the file cannot be read or written, is readable by others, or is damaged.
        """
        wanted = sorted(set(references))
        for reference in wanted:
            if not reference.startswith(_PREFIX):
                raise SecretsError(
                    "secret-reference-unsupported",
                    f"{reference} cannot be resolved: this environment's secrets are generated here",
                    hint="set secrets.provider to vault in the profile, or use a generated: reference",
                )
        stored = self._read()
        missing = [name for name in wanted if name.removeprefix(_PREFIX) not in stored]
        if missing:
            for reference in missing:
                name = reference.removeprefix(_PREFIX)
                stored[name] = {"value": secrets.token_urlsafe(_BYTES), "version": 1}
            self._write(stored)
        return {reference: _version(stored[reference.removeprefix(_PREFIX)]) for reference in wanted}

    def put(self, reference: str, value: Secret, cas: int | None = None) -> int:
        """Store a new version of a secret that is there; returns its number.

        Raises:
            SecretsError: ``secret-changed`` where ``cas`` is not the current version; or as :meth:`resolve`.
        """
        stored = self._read()
        name = reference.removeprefix(_PREFIX)
        version = stored[name]["version"] if name in stored else 0
        if cas not in (None, version):
            raise SecretsError(
                "secret-changed",
                f"{reference}: version {version} is current, not {cas}",
                hint="repeat the command",
            )
        stored[name] = {"value": value.reveal(), "version": version + 1}
        self._write(stored)
        return version + 1

    def existing(self, references: Iterable[str]) -> ResolvedSecrets:
        """Those of the references that are stored already; makes nothing."""
        stored = self._read()
        names = {reference: reference.removeprefix(_PREFIX) for reference in references}
        return {reference: _version(stored[name]) for reference, name in names.items() if name in stored}

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._error("cannot be read", error.strerror) from None
        with os.fdopen(descriptor, encoding="utf-8") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            if mode & 0o077:
                raise self._error("may be read by others", f"its mode is {mode:04o}, not 0600")
            try:
                stored = json.load(stream)
            except ValueError:
                stored = None
        if not _well_formed(stored):
            raise self._error("is damaged", "it is not the JSON that renecinfra wrote")
        return stored  # type: ignore[no-any-return]  # checked above

    def _write(self, stored: dict[str, dict[str, Any]]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(self._path, json.dumps(stored, indent=1, sort_keys=True), 0o600, durable=True)
        except OSError as error:
            raise self._error("cannot be written", error.strerror) from None

    def _error(self, what: str, why: str | None) -> SecretsError:
        return SecretsError(
            "secret-store-unusable",
            f"the secrets file {self._path} {what}: {why}",
            hint="mend its owner and mode (chmod 600), or restore it; without it the data cannot be opened",
        )


def _version(entry: dict[str, Any]) -> SecretVersion:
    return SecretVersion(Secret(entry["value"]), entry["version"])


def _well_formed(stored: object) -> bool:
    return isinstance(stored, dict) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("value"), str)
        and isinstance(entry.get("version"), int)
        for entry in stored.values()
    )
