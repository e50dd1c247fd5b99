"""Certificates from the environment's OpenBao, over its HTTP API. Standard library only.

The API: https://openbao.org/api-docs/secret/pki/#generate-certificate-and-key and
https://openbao.org/api-docs/auth/approle/#login-with-approle
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

_ANSWER_MAX = 1 << 20


class IssuerError(Exception):
    """OpenBao did not do what was asked; the message holds nothing secret."""


class Issued(NamedTuple):
    """A new leaf: its key, then itself and its intermediates, in PEM; ``expires`` in seconds since 1970."""

    pem: str
    expires: float


class Issuer(NamedTuple):
    """Where certificates come from.

    ``ca_file`` is what the listener's certificate is verified with; ``credentials`` a file with the AppRole's
    ``role_id`` and ``secret_id``; ``mount`` the PKI engine's. ``timeout`` bounds each wait, in seconds.
    """

    address: str
    ca_file: str
    credentials: str
    mount: str
    timeout: float

    @contextlib.contextmanager
    def session(self) -> Iterator[str]:
        """A token of its own for a few requests, revoked at the end.

        Raises:
            IssuerError: the login is refused, or nothing answers.
        """
        try:
            known = json.loads(Path(self.credentials).read_text(encoding="utf-8"))
            body = {"role_id": known["role_id"], "secret_id": known["secret_id"]}
        except (OSError, ValueError, KeyError, TypeError):
            raise IssuerError(f"{self.credentials} does not hold the AppRole's credentials") from None
        token = str(self._call("auth/approle/login", body)["auth"]["client_token"])
        try:
            yield token
        finally:
            # It would end by itself soon; what went wrong before is what counts.
            with contextlib.suppress(IssuerError):
                self._call("auth/token/revoke-self", {}, token)

    def issue(self, token: str, role: str, names: list[str], addresses: list[str], ttl: float) -> Issued:
        """A key and a certificate for it; the first of ``names`` is its common name, ``ttl`` in seconds.

        Raises:
            IssuerError: it is refused, or nothing answers.
        """
        body = {
            "common_name": names[0],
            "alt_names": ",".join(names),
            "ip_sans": ",".join(addresses),
            "ttl": f"{ttl:.0f}s",
            "private_key_format": "pkcs8",
        }
        data = self._call(f"{self.mount}/issue/{role}", body, token)["data"]
        parts = [data["private_key"], data["certificate"], *data["ca_chain"]]
        return Issued("".join(f"{part.strip()}\n" for part in parts), float(data["expiration"]))

    def _call(self, path: str, body: dict[str, Any], token: str = "") -> dict[str, Any]:
        headers = {"Content-Type": "application/json", **({"X-Vault-Token": token} if token else {})}
        try:
            connection = self._connection()
            with contextlib.closing(connection):
                connection.request("POST", f"/v1/{path}", json.dumps(body).encode(), headers)
                answer = connection.getresponse()
                text = answer.read(_ANSWER_MAX)
        except TimeoutError:
            raise IssuerError(f"{self.address} did not answer within {self.timeout:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise IssuerError(f"{self.address} cannot be asked: {why}") from None
        return _decoded(path, answer.status, text)

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.address)
        host, port = parts.hostname or "127.0.0.1", parts.port
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self.timeout)
        context = ssl.create_default_context(cafile=self.ca_file)
        return http.client.HTTPSConnection(host, port, timeout=self.timeout, context=context)


def _decoded(path: str, status: int, text: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(text) if text else {}
    except ValueError:
        raise IssuerError(f"{path} answered {status} with something that is not JSON") from None
    if status >= 300:
        # Reasons come with line breaks and tabs in them.
        errors = [" ".join(str(error).split()) for error in answer.get("errors", [])]
        raise IssuerError(f"{path} answered {status}: {'; '.join(errors) or 'no reason given'}")
    return dict(answer)
