"""SCRAM verifiers: what PostgreSQL would store itself."""

from __future__ import annotations

import base64
import hashlib

import pytest

from renecinfra.errors import SecretsError
from renecinfra.secrets import scram
from renecinfra.sensitive import Secret


def test_the_keys_are_those_of_rfc_7677(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of RFC 7677, section 3: its salt, 4096 iterations, password "pencil"."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    real = hashlib.pbkdf2_hmac

    def with_salt(name: str, password: bytes, _: bytes, iterations: int) -> bytes:
        return real(name, password, salt, iterations)

    monkeypatch.setattr(hashlib, "pbkdf2_hmac", with_salt)
    keys = scram.verifier(Secret("pencil"), "any").rpartition("$")[2]
    assert keys == "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="


def test_the_same_password_has_the_same_verifier_in_one_place_only() -> None:
    first = scram.verifier(Secret("pencil"), "home role 1")
    assert first == scram.verifier(Secret("pencil"), "home role 1")
    assert first != scram.verifier(Secret("pencil"), "home role 2")
    assert first.startswith("SCRAM-SHA-256$4096:")


def test_the_salt_says_nothing_of_the_password() -> None:
    salts = {scram.verifier(Secret(password), "x").split("$")[1] for password in ("pencil", "pen")}
    assert len(salts) == 1


@pytest.mark.parametrize("password", ["", "contraseña", "tab\t", "line\n"])
def test_a_password_that_clients_would_disagree_about_is_refused(password: str) -> None:
    with pytest.raises(SecretsError) as caught:
        scram.verifier(Secret(password), "x")
    assert caught.value.id == "password-unusable"
    assert not password or password not in caught.value.message
