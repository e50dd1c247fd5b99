"""What a reference in a profile points at: a field of a path of a KV version 2 mount.

``vault:PATH#FIELD[@VERSION]``: a PATH that begins with the mount (``kv/renec/prod``) is absolute, any other
is below the profile's ``secrets.path``. ``generated:NAME`` is, where a Vault keeps the environment's secrets,
the field ``value`` of the path NAME below the environment's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from renecinfra.errors import SecretsError
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import VaultSecrets

GENERATED: Final = "generated:"
LOCAL_MOUNT: Final = "kv"
"""Where the OpenBao of a local environment has its secrets."""

_VAULT = re.compile(r"vault:(?P<path>[A-Za-z0-9._/-]+)#(?P<field>[A-Za-z0-9_]+)(?:@(?P<version>[0-9]+))?")
_NAME = re.compile(r"generated:(?P<name>[a-z][a-z0-9_]*)")
_VALUE: Final = "value"


@dataclass(frozen=True, slots=True)
class KvReference:
    """Where a secret is. ``version`` is None for the current one; ``text`` is the reference as written."""

    text: str
    mount: str
    path: str
    field: str
    version: int | None = None

    @property
    def place(self) -> tuple[str, str, int | None]:
        """What one read returns: references with equal places are resolved by one read."""
        return self.mount, self.path, self.version

    @property
    def data_path(self) -> str:
        """The API's path for values, as policies name it: ``kv/data/renec/prod``."""
        return f"{self.mount}/data/{self.path}"

    @property
    def metadata_path(self) -> str:
        """The API's path for versions and ages, as policies name it: ``kv/metadata/renec/prod``."""
        return f"{self.mount}/metadata/{self.path}"


@dataclass(frozen=True, slots=True)
class KvLayout:
    """A KV mount and the path in it below which an environment has its secrets."""

    mount: str
    base: str

    def locate(self, reference: str) -> KvReference:
        """Where ``reference`` points.

        Raises:
            SecretsError: it is not a reference, or its path leaves the mount.
        """
        if match := _NAME.fullmatch(reference):
            return KvReference(reference, self.mount, _join(self.base, match["name"]), _VALUE)
        match = _VAULT.fullmatch(reference)
        if match is None or not _is_path(match["path"]):
            raise SecretsError(
                "secret-reference-invalid",
                f"{reference} is no reference to a secret",
                hint="write vault:PATH#FIELD, or vault:PATH#FIELD@VERSION for an older version",
            )
        path, prefix = match["path"], f"{self.mount}/"
        path = path.removeprefix(prefix) if path.startswith(prefix) else _join(self.base, path)
        version = int(match["version"]) if match["version"] else None
        # KV takes version 0 for the latest, which is what no version means.
        return KvReference(reference, self.mount, path, match["field"], version or None)

    def locate_all(self, references: Iterable[str]) -> dict[str, KvReference]:
        """Each distinct reference with where it points, in the order of their texts."""
        return {reference: self.locate(reference) for reference in sorted(set(references))}


def layout_of(profile: Profile) -> KvLayout:
    """Where a profile's Vault has its secrets; a local environment's own OpenBao has them by its name."""
    secrets = profile.secrets
    if isinstance(secrets, VaultSecrets):
        return KvLayout(secrets.mount.strip("/"), secrets.path.strip("/"))
    return KvLayout(LOCAL_MOUNT, f"renec/{profile.environment}")


def places(references: Iterable[KvReference]) -> Iterator[KvReference]:
    """One reference per distinct place."""
    seen = set()
    for reference in references:
        if reference.place not in seen:
            seen.add(reference.place)
            yield reference


def _is_path(path: str) -> bool:
    """Whether no part is empty, ``.`` or ``..``: HTTP clients fold those, to a path that nobody wrote."""
    return all(part not in ("", ".", "..") for part in path.split("/"))


def _join(base: str, path: str) -> str:
    return f"{base}/{path}" if base else path
