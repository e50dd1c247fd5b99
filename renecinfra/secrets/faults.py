"""What went wrong between us and a Vault, told as one error that names the reference and says what to do.

Facts about answers are those of the HTTP API of Vault 1.x and OpenBao 2.x: 403 stands for a denied policy and
for an expired token alike, 404 for a missing path, a deleted version and a missing mount.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from renecinfra.errors import SecretsError
from renecinfra.secrets.vault_types import Connection

# Answers of a node that is not the active one and knows no active one (vault/request_forwarding.go).
_STANDBY = ("local node not active", "active cluster node not found", "node is not active")


@dataclass(frozen=True, slots=True)
class Answer:
    """A refusal: its status, what Vault says, and the body where it is JSON. Holds no secret."""

    status: int
    errors: tuple[str, ...] = ()
    body: Mapping[str, Any] | None = None

    @property
    def text(self) -> str:
        """What Vault says, on one line and of readable length."""
        return " ".join(", ".join(self.errors).split())[:300]


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked of whom, and for which reference or purpose (``subject``)."""

    connection: Connection
    subject: str
    path: str
    capability: str = "read"


def no_answer(call: Call, silence: Literal["timeout", "tls"] | None, detail: str) -> SecretsError:
    """The error for a Vault that did not answer at all; ``detail`` is what the HTTP client says of it."""
    where, subject, reason = call.connection, call.subject, _innermost(detail)
    if silence == "timeout" or "timed out" in detail:
        return SecretsError(
            "vault-timeout",
            f"{subject}: {where} did not answer within {where.timeout:g} s",
            hint="see whether it hangs or the network drops packets; secrets.timeout says how long to wait",
        )
    if silence == "tls" and "WRONG_VERSION_NUMBER" in detail:
        return SecretsError(
            "vault-tls",
            f"{subject}: {where} does not speak TLS, and its address says https://",
            hint="correct the port in secrets.address",
        )
    if silence == "tls":
        return SecretsError(
            "vault-tls",
            f"{subject}: the certificate of {where} cannot be trusted: {reason}",
            hint="set secrets.ca_file to the CA that signed it, and use the host name that it was made for",
        )
    if "Name or service not known" in detail or "NameResolution" in detail:
        return SecretsError(
            "vault-unreachable",
            f"{subject}: the host of {where} is not known",
            hint="correct secrets.address, or the machine's DNS",
        )
    return SecretsError(
        "vault-unreachable",
        f"{subject}: {where} cannot be reached: {reason}",
        hint="start it or open the way to it, then run the command again: what was done is kept",
    )


def _innermost(detail: str) -> str:
    """The reason at the core of the nested texts of requests and urllib3."""
    if "Connection refused" in detail:
        return "nothing listens there"
    for known in ("certificate verify failed: ", "SSLError(", "ProtocolError(", "NewConnectionError("):
        if known in detail:
            return detail.rpartition(known)[2].split(" (_ssl")[0].strip("()'\" ")[:200]
    return detail[:200]


def refused(call: Call, answer: Answer, *, token_valid: bool | None = None) -> SecretsError:
    """The error for an answer that is a refusal; ``token_valid`` is what a look-up after a 403 said."""
    if answer.status in (403, 401):
        return _forbidden(call, token_valid)
    if answer.status == 404:
        return _missing(call, answer)
    if answer.status == 400:
        return _invalid(call, answer)
    return _unable(call, answer)


def _forbidden(call: Call, token_valid: bool | None) -> SecretsError:
    if token_valid is False:
        return SecretsError(
            "vault-token-invalid",
            f"{call.subject}: the token is expired, revoked or unknown to {call.connection}",
            hint="log in again (`vault login`, or a new VAULT_TOKEN), then repeat the command",
        )
    return SecretsError(
        "vault-denied",
        f"{call.subject}: no policy of the token allows {call.capability} on {call.path}",
        hint=f'its policies need: path "{call.path}" {{ capabilities = ["{call.capability}"] }}'
        " (`renecinfra secrets ENV policy` prints all that is needed)",
    )


def _missing(call: Call, answer: Answer) -> SecretsError:
    metadata = ((answer.body or {}).get("data") or {}).get("metadata")
    if metadata:
        state = "destroyed" if metadata.get("destroyed") else "deleted"
        undo = (
            "put a new version" if state == "destroyed" else "undelete it (`vault kv undelete`), or put a new"
        )
        return SecretsError(
            "vault-version-deleted",
            f"{call.subject}: version {metadata.get('version')} of {call.path} is {state}",
            hint=undo,
        )
    if "no handler for route" in answer.text:
        return SecretsError(
            "vault-mount-missing",
            f"{call.subject}: {call.connection} has nothing mounted at {call.path.partition('/')[0]}/",
            hint="correct secrets.mount or the reference, or enable the engine there",
        )
    return SecretsError(
        "vault-path-missing",
        f"{call.subject}: there is nothing at {call.path}",
        hint="correct the reference, or write the secret with `renecinfra secrets ENV put`",
    )


def _invalid(call: Call, answer: Answer) -> SecretsError:
    if "check-and-set" in answer.text:
        return SecretsError(
            "secret-changed",
            f"{call.subject}: somebody wrote another version of it meanwhile",
            hint="look at `renecinfra secrets ENV list`, then repeat the command",
        )
    if "HTTP request to an HTTPS server" in answer.text:
        return SecretsError(
            "vault-tls",
            f"{call.subject}: {call.connection} speaks TLS, and its address says http://",
            hint="write https:// in secrets.address",
        )
    return SecretsError(
        "vault-refused",
        f"{call.subject}: {call.connection} refused {call.path}: {answer.text or 'no reason given'}",
        hint="the reason is Vault's own; its audit log has more",
    )


def _unable(call: Call, answer: Answer) -> SecretsError:
    where, subject = call.connection, call.subject
    if answer.status in (307, 429, 472, 473) or any(words in answer.text for words in _STANDBY):
        if answer.status == 429 and "standby" not in answer.text:
            return SecretsError(
                "vault-busy",
                f"{subject}: {where} refuses more requests for now (rate limit)",
                hint="wait, or raise the quota",
            )
        return SecretsError(
            "vault-standby",
            f"{subject}: {where} is a standby that cannot pass requests on to an active node",
            hint="set secrets.address to the active node or the load balancer, or see why none is active",
        )
    if "not initialized" in answer.text or answer.status == 501:
        return SecretsError(
            "vault-uninitialised",
            f"{subject}: {where} is not initialised",
            hint="initialise it, or correct secrets.address",
        )
    if answer.status == 503:
        return SecretsError(
            "vault-sealed",
            f"{subject}: {where} is sealed",
            hint="have its operators unseal it, then run the command again: what was done is kept",
        )
    return SecretsError(
        "vault-failed",
        f"{subject}: {where} failed with status {answer.status}: {answer.text or 'no reason given'}",
        hint="see its log; the command can be run again",
    )


def is_starting(answer: object) -> bool:
    """Whether a KV mount is still being made one of version 2."""
    return isinstance(answer, Answer) and "Upgrading from non-versioned" in answer.text


def named(error: SecretsError, subject: str | None) -> SecretsError:
    """The same error, saying what cannot be had because of it."""
    if subject is None:
        return error
    message = f"{subject}: {error.message}"
    return SecretsError(error.id, message, hint=error.hint, details=error.details)


def login_refused(call: Call, method: str, source: str, answer: Answer) -> SecretsError:
    """The error for a login that an auth method turned down; 400 and 403 both mean that."""
    return SecretsError(
        "vault-login-refused",
        f"{call.subject}: {call.connection} refused the {method} login with {source}:"
        f" {answer.text or 'no reason given'}",
        hint=_LOGIN_HINTS[method] if answer.status == 400 else _login_hint(method, call),
    )


def _login_hint(method: str, call: Call) -> str:
    """For answers by which a method that is not there looks like one that refuses."""
    return f"see that a method is mounted at {call.path.removesuffix('login')}, then {_LOGIN_HINTS[method]}"


_LOGIN_HINTS: Mapping[str, str] = {
    "approle": "make a new secret-id: this one is unknown, expired or used up, or the role-id is another's",
    "jwt": "see which repository, branch, environment and audience the role is bound to (bound_claims)",
    "kubernetes": "see which service account and namespace the role is bound to",
    "aws": "see which IAM principal the role is bound to",
}
