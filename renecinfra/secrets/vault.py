"""The client of a Vault or OpenBao: the only importer of hvac, and of the exceptions of what is below it.

Every failure leaves as a :class:`SecretsError` that names what was asked for (``subject``, usually the
reference), the cause and what to do. Every value that is read is registered for redaction before it is
returned.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import hvac
import requests
import urllib3
from requests.adapters import HTTPAdapter

from renecinfra.errors import SecretsError
from renecinfra.profiles.policy.rule import is_loopback
from renecinfra.redaction import redactor
from renecinfra.secrets import faults, wire
from renecinfra.secrets.faults import Answer, Call
from renecinfra.secrets.vault_types import (
    Connection,
    DatabaseCredentials,
    Health,
    IssuedCertificate,
    KvMetadata,
    KvSecret,
    LoginSource,
    TokenInfo,
    TokenLogin,
)
from renecinfra.sensitive import Secret

PARALLEL: Final = 8  # requests under way at once at most; connections are kept for as many


class VaultClient:
    """One Vault as one run speaks to it. Safe to use from several threads; logs in when first needed.

    ``login`` is None for a Vault that is only asked what it says without one (health, initialisation).
    """

    def __init__(self, connection: Connection, login: LoginSource | None) -> None:
        self.connection = connection
        self._login = login
        self._logged_in = False
        self._own_token = False
        self._lock = threading.Lock()
        self._hvac = _client(connection)

    def close(self) -> None:
        """Give connections back, and revoke a token that :meth:`login` made: nobody needs it any more."""
        if self._own_token:
            self._own_token = False
            # It ends by itself too, and the work is done.
            with suppress(SecretsError):
                self.revoke_self()
        self._hvac.adapter.close()

    def __enter__(self) -> VaultClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- requests

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        subject: str | None = None,
        query: Mapping[str, str] | None = None,
        capability: str | None = None,
        authenticated: bool = True,
    ) -> dict[str, Any]:
        """One request to ``/v1/<path>``; secrets in ``body`` are revealed here. Returns the JSON, or ``{}``.

        ``method`` may be LIST. ``capability`` is what a policy must allow, for the error that says so.

        Raises:
            SecretsError: Vault cannot be reached or refused.
        """
        call = Call(self.connection, subject or path, path, capability or _CAPABILITY.get(method, "update"))
        if authenticated:
            self.login(subject)
        answer = self._send(method, path, body, query, call)
        deadline = time.monotonic() + self.connection.timeout
        # A mount that was made a moment ago says so until it is ready.
        while faults.is_starting(answer) and time.monotonic() < deadline:
            time.sleep(0.05)
            answer = self._send(method, path, body, query, call)
        if isinstance(answer, dict):
            return answer
        forbidden = answer.status == HTTPStatus.FORBIDDEN and authenticated
        raise faults.refused(call, answer, token_valid=self._token_is_valid(call) if forbidden else None)

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str] | None,
        call: Call,
    ) -> dict[str, Any] | Answer:
        try:
            answer = self._hvac.adapter.request(
                method.lower(), f"/v1/{path}", json=wire.revealed(body), params=query
            )
        except hvac.exceptions.VaultError as error:
            return _answer(error)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _silence(call, error) from None
        if isinstance(answer, dict):
            return answer
        if answer.status_code == HTTPStatus.NO_CONTENT:
            return {}
        return Answer(answer.status_code, (f"it answered with {answer.headers.get('Content-Type')}",))

    def _token_is_valid(self, call: Call) -> bool:
        """Whether a refusal was for the policy: an unknown token may not even look at itself."""
        return isinstance(self._send("GET", "auth/token/lookup-self", None, None, call), dict)

    # --- the token

    def login(self, subject: str | None = None) -> None:
        """Log in unless that was done; ``subject`` is what the error says cannot be had.

        Raises:
            SecretsError: no credentials, refused credentials, or no answer.
        """
        with self._lock:
            if self._logged_in:
                return
            if self._login is None:
                message = f"{subject or 'this'}: there is no login for {self.connection}"
                raise SecretsError("vault-no-login", message)
            try:
                found = self._login()
            except SecretsError as error:
                raise faults.named(error, subject) from None
            if isinstance(found, TokenLogin):
                self._use(found.token)
                return
            path = f"auth/{found.mount}/login"
            call = Call(self.connection, subject or f"the {found.method} login", path, "update")
            answer = self._send("POST", path, found.body, None, call)
            if isinstance(answer, Answer):
                if answer.status in (400, 401, 403, 404):
                    raise faults.login_refused(call, found.method, found.source, answer)
                raise faults.refused(call, answer)
            self._use(Secret(answer["auth"]["client_token"]))
            self._own_token = True

    def use_token(self, token: Secret) -> None:
        """Go on with this token: a root token during initialisation."""
        with self._lock:
            self._use(token)

    def _use(self, token: Secret) -> None:
        redactor.register(token)
        self._hvac.token = token.reveal()
        self._logged_in = True

    def lookup_self(self) -> TokenInfo:
        """The token's life and policies.

        Raises:
            SecretsError: it is not valid, or Vault does not answer.
        """
        path = "auth/token/lookup-self"
        self.login()
        call = Call(self.connection, "the token", path)
        answer = self._send("GET", path, None, None, call)
        if isinstance(answer, Answer):
            raise faults.refused(call, answer, token_valid=False)
        data = answer["data"]
        return TokenInfo(
            ttl=int(data["ttl"]) if data.get("expire_time") else None,
            renewable=bool(data.get("renewable")),
            periodic=bool(data.get("period")),
            policies=tuple(data.get("policies") or ()),
            accessor=str(data.get("accessor", "")),
        )

    def renew_self(self, seconds: int | None = None) -> int:
        """Make the token live ``seconds`` more, or its own period; returns the seconds that were granted."""
        body = {} if seconds is None else {"increment": seconds}
        answer = self.request("POST", "auth/token/renew-self", body, subject="renewing the token")
        return int(answer["auth"]["lease_duration"])

    def revoke_self(self) -> None:
        """End the token."""
        self.request("POST", "auth/token/revoke-self", subject="revoking the token")

    # --- what a Vault says of itself

    def health(self) -> Health:
        """Whether it is initialised, unsealed and active; every state is an answer, only silence an error."""
        codes = {"standbycode": "200", "sealedcode": "200", "uninitcode": "200", "perfstandbyok": "true"}
        answer = self.request("GET", "sys/health", query=codes, subject="its health", authenticated=False)
        return wire.health(answer)

    # --- KV version 2

    def read_secret(
        self, mount: str, path: str, version: int | None = None, *, subject: str | None = None
    ) -> KvSecret:
        """One version of a path, the latest when ``version`` is None."""
        query = {"version": str(version)} if version else None
        answer = self.request("GET", f"{mount}/data/{path}", query=query, subject=subject)
        found = answer.get("data") or {}
        metadata = found.get("metadata")
        if not isinstance(metadata, dict) or not isinstance(found.get("data"), dict):
            raise SecretsError(
                "vault-mount-missing",
                f"{subject or path}: {mount}/ is not a KV mount of version 2",
                hint="correct secrets.mount, or upgrade it (`vault kv enable-versioning`)",
            )
        data = {name: wire.hidden(value) for name, value in found["data"].items()}
        return KvSecret(data, int(metadata["version"]), wire.time_of(metadata["created_time"]))

    def write_secret(
        self,
        mount: str,
        path: str,
        data: Mapping[str, Secret],
        *,
        cas: int | None = None,
        subject: str | None = None,
    ) -> int:
        """Write a new version and return its number; ``cas`` is the version it must follow (0: none yet)."""
        for value in data.values():
            redactor.register(value)
        body: dict[str, Any] = {"data": data}
        if cas is not None:
            body["options"] = {"cas": cas}
        capability = "create" if cas == 0 else "update"
        answer = self.request("POST", f"{mount}/data/{path}", body, subject=subject, capability=capability)
        return int(answer["data"]["version"])

    def read_metadata(self, mount: str, path: str, *, subject: str | None = None) -> KvMetadata:
        """A path's versions and their ages, without values."""
        data = self.request("GET", f"{mount}/metadata/{path}", subject=subject)["data"]
        return wire.kv_metadata(data)

    def delete_versions(self, mount: str, path: str, versions: list[int]) -> None:
        """Delete versions so that they can be undeleted."""
        self.request("POST", f"{mount}/delete/{path}", {"versions": versions})

    def list_paths(self, mount: str, path: str = "") -> list[str]:
        """The names below a path; a directory's name ends with a slash."""
        try:
            answer = self.request("LIST", f"{mount}/metadata/{path}".rstrip("/"))
        except SecretsError as error:
            if error.id == "vault-path-missing":
                return []
            raise
        return list(answer["data"]["keys"])

    # --- other engines

    def issue(self, mount: str, role: str, body: Mapping[str, Any]) -> IssuedCertificate:
        """A leaf certificate and its key from a PKI mount; ``body`` has ``common_name``, ``ttl``, …"""
        data = self.request("POST", f"{mount}/issue/{role}", body, subject=f"a certificate for {role}")[
            "data"
        ]
        return wire.certificate(data)

    def database_credentials(self, mount: str, role: str) -> DatabaseCredentials:
        """A new short-lived database role of the kind ``role``."""
        answer = self.request("GET", f"{mount}/creds/{role}", subject=f"database credentials for {role}")
        # They end with the token that made them, so that one stays.
        self._own_token = False
        return wire.database_credentials(answer)

    def write_policy(self, name: str, text: str) -> None:
        """Make an ACL policy, or replace it."""
        self.request("PUT", f"sys/policies/acl/{name}", {"policy": text}, subject=f"policy {name}")


def _client(connection: Connection) -> Any:
    ca_file = connection.ca_file
    if ca_file is not None and not ca_file.is_file():
        raise SecretsError(
            "vault-ca-unreadable",
            f"secrets.ca_file is {ca_file}, which is not a file",
            hint="write the path of the CA's certificate (PEM), relative to the workspace",
        )
    session = requests.Session()
    # hvac prefers what the session says to its own argument, and requests a variable to either's default.
    session.verify = str(ca_file) if ca_file else True
    session.mount("https://", HTTPAdapter(pool_maxsize=PARALLEL))
    session.mount("http://", HTTPAdapter(pool_maxsize=PARALLEL))
    # A proxy does not reach this machine's own loopback.
    session.trust_env = not is_loopback(connection.address)
    return hvac.Client(
        url=connection.address,
        token="",  # None would have hvac look for one by itself
        verify=str(ca_file) if ca_file else None,
        # For the whole of a request: two numbers would let connecting and reading take as long each.
        timeout=urllib3.Timeout(total=connection.timeout),
        # A redirect would carry the token to whatever host the answer names.
        allow_redirects=False,
        session=session,
        namespace=connection.namespace,
    )


def _answer(error: hvac.exceptions.VaultError) -> Answer:
    name = type(error).__name__
    texts = tuple(str(text) for text in error.errors or ()) or ((error.text or "")[:300],)
    body = error.json if isinstance(error.json, dict) else None
    return Answer(_STATUS.get(name, HTTPStatus.INTERNAL_SERVER_ERROR), tuple(filter(None, texts)), body)


_CAPABILITY: Final = {"GET": "read", "LIST": "list", "DELETE": "delete"}
# hvac tells the status by the exception's type alone.
_STATUS: Final = {
    "InvalidRequest": 400,
    "Unauthorized": 401,
    "Forbidden": 403,
    "InvalidPath": 404,
    "RateLimitExceeded": 429,
    "InternalServerError": 500,
    "VaultNotInitialized": 501,
    "BadGateway": 502,
    "VaultDown": 503,
    "UnexpectedError": 500,
}


def _silence(call: Call, error: Exception) -> SecretsError:
    if isinstance(error, requests.exceptions.SSLError):
        return faults.no_answer(call, "tls", str(error))
    if isinstance(error, requests.exceptions.Timeout):
        return faults.no_answer(call, "timeout", "")
    return faults.no_answer(call, None, str(error))
