"""PostgreSQL's stored form of a password, made here so that the server and its log never see the password."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

from renecinfra.errors import SecretsError
from renecinfra.sensitive import Secret

# PostgreSQL's own default (scram_iterations).
_ITERATIONS: Final = 4096
_SALT_BYTES: Final = 16


def verifier(password: Secret, context: str) -> str:
    """The SCRAM-SHA-256 verifier of a password (RFC 5802, in the form of ``pg_authid.rolpassword``).

    The salt follows from ``context`` (which environment's role this is): unlike a random one it stays the
    same from run to run, so that an unchanged password changes no file. It does not follow from the password,
    because a server tells the salt to anybody who asks.

    Raises:
        SecretsError: the password is empty or has characters other than printable ASCII, whose normalisation
            (SASLprep) clients disagree about.
    """
    text = password.reveal()
    if not text or not all(" " <= character <= "~" for character in text):
        raise SecretsError(
            "password-unusable",
            "a database password must be printable ASCII and not empty",
            hint="store another version of the password",
        )
    salt = hashlib.sha256(f"renecinfra scram salt\0{context}".encode()).digest()[:_SALT_BYTES]
    salted = hashlib.pbkdf2_hmac("sha256", text.encode("ascii"), salt, _ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${_ITERATIONS}:{_base64(salt)}${_base64(stored_key)}:{_base64(server_key)}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
