"""The protocol of a secret store, and what it returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from renecinfra.sensitive import Secret


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """A secret and which version of it this is; the version may be shown, the value never.

    ``previous`` is the value of the version before while that is still to be accepted, during a rotation.
    """

    value: Secret
    version: int
    previous: Secret | None = None


ResolvedSecrets = Mapping[str, SecretVersion]
"""Secrets by their reference (``generated:database_password``)."""


class SecretStore(Protocol):
    """Resolves references. A store reads each distinct path once per run."""

    def resolve(self, references: Iterable[str]) -> ResolvedSecrets:
        """Every reference's value and version.

        Raises:
            SecretsError: one cannot be had; the error names the reference and the cause.
        """
        ...
