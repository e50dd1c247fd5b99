"""What `secrets` does: which references an environment has, whether they resolve, new values.

Works for every platform: references are those of the profile, and those that the local platform adds.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from renecinfra.errors import SecretsError, UsageError
from renecinfra.profiles.loading import load
from renecinfra.profiles.model import Profile
from renecinfra.profiles.policy.secrets import references as references_of
from renecinfra.provision.session import Session
from renecinfra.redaction import redactor
from renecinfra.reporting import Reporter
from renecinfra.secrets.catalog import store_for
from renecinfra.secrets.generated import GeneratedStore
from renecinfra.secrets.opening import kept_alive, require_life
from renecinfra.secrets.vault_store import Checked, VaultStore
from renecinfra.sensitive import Secret
from renecinfra.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Entry:
    """A reference as `list` shows it; ``version`` is None where there is nothing yet."""

    reference: str
    version: int | None
    created: datetime | None
    used_by: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "reference": self.reference,
            "version": self.version,
            "created": self.created.isoformat() if self.created else None,
            "used_by": list(self.used_by),
        }


class SecretsWork:
    """The secrets of one environment in one command."""

    def __init__(self, session: Session) -> None:
        self.session = session

    @property
    def profile(self) -> Profile:
        """The profile after ``extends`` and overrides."""
        return self.session.profile

    @cached_property
    def references(self) -> tuple[str, ...]:
        """Every reference of the environment, by name."""
        own = self.session.environment.references() if self.profile.platform.kind == "local" else ()
        return tuple(sorted({*references_of(self.profile).values(), *own}))

    @cached_property
    def store(self) -> VaultStore | GeneratedStore:
        """The store of the profile.

        Raises:
            SecretsError: it cannot be opened.
        """
        return store_for(self.profile, self.session.paths, self.session.workspace.root)

    @property
    def vault(self) -> VaultStore:
        """The store, where it is a Vault.

        Raises:
            SecretsError: the environment's secrets are generated into a file.
        """
        if isinstance(self.store, GeneratedStore):
            raise SecretsError(
                "secrets-generated",
                f"the secrets of {self.profile.environment} are generated into a file, which has one version",
                hint="set secrets.provider to openbao or vault in the profile",
            )
        return self.store

    def close(self) -> None:
        """Give up the login, if there was one."""
        store = self.__dict__.get("store")
        if isinstance(store, VaultStore):
            store.client.close()

    @contextmanager
    def logged_in_for(self, needed: timedelta) -> Iterator[None]:
        """Hold a login that lasts for work of ``needed``, and is renewed while the work goes on.

        Raises:
            SecretsError: it cannot last as long; nothing has been done then.
        """
        if not isinstance(self.store, VaultStore):
            yield
            return
        client, reporter = self.store.client, self.session.reporter
        require_life(client, needed)
        with kept_alive(client, lambda text: reporter.warn(f"the login to Vault cannot be renewed: {text}")):
            yield

    def check(self) -> list[Checked]:
        """Whether each reference resolves; nothing is made.

        Raises:
            SecretsError: the store as a whole cannot be read.
        """
        if isinstance(self.store, VaultStore):
            return self.store.check(self.references)
        found = self.store.existing(self.references)
        return [Checked(one, found[one].version if one in found else None, None) for one in self.references]

    def entries(self) -> list[Entry]:
        """Every reference with its version and age, without reading a value from a Vault."""
        users: dict[str, list[str]] = {}
        for path, reference in references_of(self.profile).items():
            users.setdefault(reference, []).append(".".join(path))
        if isinstance(self.store, GeneratedStore):
            found = self.store.existing(self.references)
            versions = {one: (found[one].version, None) for one in found}
            return [_entry(one, versions.get(one), users) for one in self.references]
        entries = []
        for one, metadata in self.store.metadata_all(self.references).items():
            fixed = self.store.layout.locate(one).version
            number = fixed or (metadata.current if metadata else 0)
            version = metadata.versions.get(number) if metadata else None
            there = version is not None and not version.deleted and not version.destroyed
            entries.append(_entry(one, (number, version.created) if version and there else None, users))
        return entries

    def put(self, name: str, value: Secret, cas: int | None, argv: Sequence[str]) -> tuple[str, int]:
        """Write a new version of a reference; returns the reference and the version.

        Raises:
            UsageError: the profile has no such reference, or the value is empty.
            SecretsError: another version than ``cas`` is current, or Vault refuses.
        """
        reference = self.named(name)
        if not value:
            raise UsageError(
                "secret-empty", f"the value for {reference} is empty", hint="nothing was written"
            )
        redactor.register(value)
        store = self.vault
        with self.session.locked("secrets put", argv) as run, run.step(f"put {reference}"):
            return reference, store.put(reference, value, cas)

    def named(self, name: str) -> str:
        """The reference that a name on the command line means: itself, without its scheme, or its setting.

        Raises:
            UsageError: there is none.
        """
        settings = {".".join(path): one for path, one in references_of(self.profile).items()}
        for one in (name, f"vault:{name}", f"generated:{name}", settings.get(name, "")):
            if one in self.references:
                return one
        near = difflib.get_close_matches(name, [*self.references, *settings], n=3, cutoff=0.4)
        raise UsageError(
            "secret-unknown",
            f"{self.profile.environment} has no secret {name}",
            hint=f"did you mean {' or '.join(near)}?"
            if near
            else f"`renecinfra secrets {self.profile.environment} list` shows them",
        )


def open_secrets(
    workspace: Workspace, name: str, reporter: Reporter, *, overrides: Sequence[str] = ()
) -> SecretsWork:
    """Load the profile of ``name``, on whatever platform it runs.

    Raises:
        ProfileError: the profile or an override is wrong.
    """
    return SecretsWork(Session(workspace, load(workspace, name, overrides), reporter))


def _entry(reference: str, found: tuple[int, datetime | None] | None, users: dict[str, list[str]]) -> Entry:
    version, created = found if found else (None, None)
    return Entry(reference, version, created, tuple(users.get(reference, ())))
