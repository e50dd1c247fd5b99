"""The store of environments with a Vault: each path is read once, several at a time."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from renecinfra.errors import SecretsError
from renecinfra.secrets.references import GENERATED, KvLayout, KvReference, places
from renecinfra.secrets.store import ResolvedSecrets, SecretVersion
from renecinfra.secrets.vault import PARALLEL, VaultClient
from renecinfra.secrets.vault_types import KvMetadata, KvSecret
from renecinfra.sensitive import Secret

_FAR: Final = 0.01  # seconds of one read
_BYTES: Final = 24  # 192 bits; URL-safe text, so that it needs no quoting in a DSN
_Result = TypeVar("_Result")
_Place = tuple[str, str, int | None]


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether a reference resolves: its version, or the error; neither where `up` will make the secret."""

    reference: str
    version: int | None
    error: SecretsError | None


class VaultStore:
    """Resolves ``vault:PATH#FIELD`` and, with ``generate``, ``generated:NAME``, which it makes when absent.

    Every path is read once per store, and what was read is kept until this store writes the path.
    """

    def __init__(self, client: VaultClient, layout: KvLayout, *, generate: bool = False) -> None:
        self.client = client
        self.layout = layout
        self._generate = generate
        self._read: dict[_Place, KvSecret | SecretsError] = {}

    def resolve(self, references: Iterable[str]) -> ResolvedSecrets:
        """Every reference's value and version.

        Raises:
            SecretsError: the first that cannot be had, by their texts' order; others are in its details.
        """
        located = self._located(references)
        self._read_all(located.values())
        if self._generate:
            for reference in located.values():
                self._make_if_absent(reference)
        results = {text: self._value(reference) for text, reference in located.items()}
        failures = [result for result in results.values() if isinstance(result, SecretsError)]
        if failures:
            raise _with_others(failures)
        return {text: value for text, value in results.items() if isinstance(value, SecretVersion)}

    def existing(self, references: Iterable[str]) -> ResolvedSecrets:
        """Those of the references that are there; makes nothing.

        Raises:
            SecretsError: Vault cannot be asked, or refuses: only what is missing is left out.
        """
        located = self._located(references)
        self._read_all(located.values())
        found = {}
        for text, reference in located.items():
            result = self._value(reference)
            if isinstance(result, SecretVersion):
                found[text] = result
            elif result.id not in _ABSENT:
                raise result
        return found

    def check(self, references: Iterable[str]) -> list[Checked]:
        """Whether each reference resolves. One failure that concerns all of Vault is raised, not repeated.

        Raises:
            SecretsError: Vault cannot be reached, is sealed, or refused the login or the token.
        """
        located = self._located(references)
        self._read_all(located.values())
        checked = []
        for text, reference in located.items():
            result = self._value(reference)
            if isinstance(result, SecretVersion):
                checked.append(Checked(text, result.version, None))
            elif text.startswith(GENERATED) and result.id == "vault-path-missing":
                checked.append(Checked(text, None, None))
            else:
                checked.append(Checked(text, None, result))
        return checked

    def read_versions(self, references: Iterable[str]) -> Mapping[str, int]:
        """Each reference's version without reading a value: a policy that allows only metadata is enough.

        A reference to nothing is left out.
        """
        located = self._located(references)
        current = self._metadata(located.values())
        return {
            text: reference.version or found.current
            for text, reference in located.items()
            if (found := current[reference.mount, reference.path]) is not None and found.current
        }

    def metadata(self, reference: str) -> KvMetadata | None:
        """The versions of the path of a reference, None if there is no such path."""
        located = self.layout.locate(reference)
        return self._metadata([located])[located.mount, located.path]

    def metadata_all(self, references: Iterable[str]) -> Mapping[str, KvMetadata | None]:
        """The versions of the paths of several references, each path asked for once."""
        located = self._located(references)
        found = self._metadata(located.values())
        return {text: found[reference.mount, reference.path] for text, reference in located.items()}

    def put(self, reference: str, value: Secret, cas: int | None = None) -> int:
        """Write a new version of a reference's field, leaving the path's other fields; returns its number.

        ``cas`` is the version that must be the current one (0: the path must not exist); None takes what is
        current now. Either way nobody else's write in between is lost.

        Raises:
            SecretsError: ``secret-changed`` where another version is current; or Vault refuses.
        """
        located = self.layout.locate(reference)
        if located.version is not None:
            raise SecretsError(
                "secret-version-fixed",
                f"{reference} names a version, and a version cannot be written again",
                hint="leave out @VERSION",
            )
        current, fields = self._current(located)
        if cas not in (None, current):
            raise SecretsError(
                "secret-changed",
                f"{reference}: version {current} is current, not {cas}",
                hint="look at `renecinfra secrets ENV list`, then repeat the command",
            )
        version = self.client.write_secret(
            located.mount,
            located.path,
            {**fields, located.field: value},
            cas=current,
            subject=reference,
        )
        self.forget(located)
        return version

    def forget(self, reference: KvReference) -> None:
        """Read the path of a reference again when it is next asked for."""
        for place in [place for place in self._read if place[:2] == (reference.mount, reference.path)]:
            del self._read[place]

    def _current(self, located: KvReference) -> tuple[int, Mapping[str, Secret]]:
        """The current version's number and fields: none where it was deleted or never was."""
        try:
            found = self.client.read_secret(located.mount, located.path, subject=located.text)
        except SecretsError as error:
            if error.id == "vault-path-missing":
                return 0, {}
            if error.id != "vault-version-deleted":
                raise
            metadata = self.client.read_metadata(located.mount, located.path, subject=located.text)
            return metadata.current, {}
        return found.version, found.data

    def _located(self, references: Iterable[str]) -> dict[str, KvReference]:
        located = self.layout.locate_all(references)
        for text in located:
            if text.startswith(GENERATED) and not self._generate:
                raise SecretsError(
                    "secret-reference-unsupported",
                    f"{text} cannot be resolved: {self.client.connection} generates no secrets",
                    hint="write vault:PATH#FIELD",
                )
        return located

    def _read_all(self, references: Iterable[KvReference]) -> None:
        wanted = [one for one in places(references) if one.place not in self._read]
        if not wanted:
            return
        self.client.login(_subject(wanted))
        for reference, result in zip(wanted, _each(self._read_one, wanted), strict=True):
            self._read[reference.place] = result

    def _read_one(self, reference: KvReference) -> KvSecret | SecretsError:
        """What is there, or the error of this reference alone; one of the whole Vault is raised."""
        try:
            return self.client.read_secret(
                reference.mount, reference.path, reference.version, subject=reference.text
            )
        except SecretsError as error:
            if error.id not in _PER_REFERENCE:
                raise
            if error.id == "vault-path-missing" and reference.version is not None:
                return SecretsError(
                    "vault-version-missing",
                    f"{reference.text}: there is no version {reference.version} of {reference.data_path}",
                    hint="`renecinfra secrets ENV list` shows the latest; those beyond max_versions are gone",
                )
            return error

    def _value(self, reference: KvReference) -> SecretVersion | SecretsError:
        found = self._read[reference.place]
        if isinstance(found, SecretsError):
            return found
        value = found.data.get(reference.field)
        if value is None or not value.reveal():
            state = "has no field" if value is None else "has nothing in the field"
            return SecretsError(
                "vault-field-missing",
                f"{reference.text}: version {found.version} of its path {state} {reference.field}",
                hint="correct the reference, or write it with `renecinfra secrets ENV put`",
            )
        return SecretVersion(value, found.version)

    def _make_if_absent(self, reference: KvReference) -> None:
        found = self._read[reference.place]
        if not reference.text.startswith(GENERATED) or not isinstance(found, SecretsError):
            return
        if found.id != "vault-path-missing":
            return
        value = Secret(secrets.token_urlsafe(_BYTES))
        try:
            self.client.write_secret(
                reference.mount, reference.path, {reference.field: value}, cas=0, subject=reference.text
            )
        except SecretsError as error:
            # Another run made it meanwhile: that one counts.
            if error.id != "secret-changed":
                raise
        self._read[reference.place] = self._read_one(reference)

    def _metadata(self, references: Iterable[KvReference]) -> dict[tuple[str, str], KvMetadata | None]:
        wanted = list({(one.mount, one.path): one for one in references}.values())
        if wanted:
            self.client.login(_subject(wanted))
        results = _each(self._metadata_of, wanted)
        return {(one.mount, one.path): result for one, result in zip(wanted, results, strict=True)}

    def _metadata_of(self, reference: KvReference) -> KvMetadata | None:
        try:
            return self.client.read_metadata(reference.mount, reference.path, subject=reference.text)
        except SecretsError as error:
            if error.id == "vault-path-missing":
                return None
            raise


_ABSENT: Final = frozenset(
    {"vault-path-missing", "vault-version-deleted", "vault-version-missing", "vault-field-missing"}
)
_PER_REFERENCE: Final = _ABSENT | {"vault-denied", "vault-mount-missing"}


def _each(work: Callable[[KvReference], _Result], wanted: Sequence[KvReference]) -> list[_Result]:
    """The results in order; several at a time as soon as three in a row show that there is waiting to share.

    A Vault on this machine answers before another thread could be of use.
    """
    results: list[_Result] = []
    slow = 0
    for one in wanted:
        started = time.monotonic()
        results.append(work(one))
        # The first one opens the connection, so its time says little.
        slow = slow + 1 if len(results) > 1 and time.monotonic() - started > _FAR else 0
        if slow == 3:
            break
    rest = wanted[len(results) :]
    if not rest:
        return results
    with ThreadPoolExecutor(min(PARALLEL, len(rest)), thread_name_prefix="vault") as pool:
        return [*results, *pool.map(work, rest)]


def _subject(references: Sequence[KvReference]) -> str:
    others = len(references) - 1
    return references[0].text + (f" and {others} more" if others else "")


def _with_others(failures: Sequence[SecretsError]) -> SecretsError:
    first = failures[0]
    others = tuple(dict.fromkeys(error.message for error in failures[1:] if error is not first))
    if others:
        first.details = others[:20]
    return first
