"""Where the credentials for a Vault come from: the environment, files, the machine's own identity.

Nothing is kept: credentials are gathered when a client logs in. Names of variables are the Vault CLI's where
it has one for the thing (VAULT_TOKEN).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from renecinfra.errors import SecretsError, ToolError
from renecinfra.process import run
from renecinfra.profiles.platform import VaultSecrets
from renecinfra.redaction import redactor
from renecinfra.secrets.vault_types import Login, LoginSource, MethodLogin, TokenLogin
from renecinfra.sensitive import Secret

_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
# The Vault CLI's own configuration (developer.hashicorp.com/vault/docs/commands/token-helper).
_HELPER = re.compile(r'^\s*token_helper\s*=\s*"([^"]+)"', re.MULTILINE)


def login_source(secrets: VaultSecrets, environ: Mapping[str, str], *, region: str | None) -> LoginSource:
    """How to log in to the Vault of a profile; nothing is read before the source is called.

    ``region`` is the AWS region whose STS vouches for an AWS login. Calling the source raises SecretsError
    where credentials are missing.
    """
    mount = (secrets.auth_mount or secrets.auth).strip("/")
    role = secrets.role or ""
    audience = secrets.audience or secrets.address
    if secrets.auth == "approle":
        return lambda: approle(environ, mount, role)
    if secrets.auth == "jwt":
        return lambda: jwt(environ, mount, role, audience, secrets.timeout.total_seconds())
    if secrets.auth == "kubernetes":
        return lambda: kubernetes(environ, mount, role)
    if secrets.auth == "aws":
        from renecinfra.secrets.auth_aws import aws

        return lambda: aws(environ, mount, role, secrets.audience, region)
    return lambda: token(environ, secrets.address)


def token(environ: Mapping[str, str], address: str) -> Login:
    """A token: VAULT_TOKEN, the file that VAULT_TOKEN_FILE names, or what the Vault CLI's helper has.

    The helper is the program that ``~/.vault`` names, or ``~/.vault-token``, which `vault login` writes.
    """
    if found := environ.get("VAULT_TOKEN", "").strip():
        return TokenLogin(Secret(found), "VAULT_TOKEN")
    if named := environ.get("VAULT_TOKEN_FILE"):
        return TokenLogin(_from_file(Path(named), "VAULT_TOKEN_FILE"), f"the file {named}")
    home = Path(environ.get("HOME") or Path.home())
    if helper := _helper(environ, home):
        return _from_helper(helper, environ, address)
    stored = home / ".vault-token"
    if stored.is_file():
        return TokenLogin(_from_file(stored, "the Vault CLI's token"), str(stored))
    raise SecretsError(
        "vault-token-missing",
        f"there is no token for Vault at {address}: not in VAULT_TOKEN, VAULT_TOKEN_FILE or {stored}",
        hint="run `vault login`, or set one of them",
    )


def approle(environ: Mapping[str, str], mount: str, role: str) -> Login:
    """An AppRole: VAULT_ROLE_ID (or the profile's role), and VAULT_SECRET_ID(_FILE)."""
    secret_id = _value(environ, "VAULT_SECRET_ID")
    if secret_id is None:
        raise SecretsError(
            "vault-credentials-missing",
            "there is no secret-id for the AppRole login: not in VAULT_SECRET_ID(_FILE)",
            hint="have one made for the role (`vault write -f auth/approle/role/NAME/secret-id`)",
        )
    role_id = environ.get("VAULT_ROLE_ID", "").strip() or role
    source = "the secret-id of VAULT_SECRET_ID"
    return MethodLogin("approle", mount, {"role_id": role_id, "secret_id": secret_id}, source)


def jwt(environ: Mapping[str, str], mount: str, role: str, audience: str, timeout: float) -> Login:
    """A CI job's token: VAULT_JWT, the file of VAULT_JWT_FILE, or GitHub's, asked for ``audience``."""
    found, source = _value(environ, "VAULT_JWT"), "the token of VAULT_JWT"
    if found is None and "ACTIONS_ID_TOKEN_REQUEST_URL" in environ:
        found, source = _from_github(environ, audience, timeout), "GitHub's token for this job"
    if found is None:
        raise SecretsError(
            "vault-credentials-missing",
            "there is no token for the JWT login: not VAULT_JWT, not VAULT_JWT_FILE, and GitHub offers none",
            hint="give the job `permissions: {id-token: write}`, or set VAULT_JWT",
        )
    return MethodLogin("jwt", mount, {"role": role, "jwt": found}, source)


def kubernetes(environ: Mapping[str, str], mount: str, role: str) -> Login:
    """A pod's service account: its mounted token, or the file of VAULT_KUBERNETES_TOKEN_FILE."""
    path = Path(environ.get("VAULT_KUBERNETES_TOKEN_FILE") or _SERVICE_ACCOUNT)
    found = _from_file(path, "the service account's token")
    source = f"the service account's token in {path}"
    return MethodLogin("kubernetes", mount, {"role": role, "jwt": found}, source)


def _value(environ: Mapping[str, str], name: str) -> Secret | None:
    """The variable ``name``, or what the file that ``name``_FILE names has in it."""
    if found := environ.get(name, "").strip():
        return _kept(found)
    if named := environ.get(f"{name}_FILE"):
        return _from_file(Path(named), f"{name}_FILE")
    return None


def _from_file(path: Path, what: str) -> Secret:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SecretsError(
            "vault-credentials-missing",
            f"{what} cannot be read from {path}: {reason}",
            hint="mend the file, or log in by another method (secrets.auth)",
        ) from None
    if not text:
        raise SecretsError(
            "vault-credentials-missing", f"{what}: {path} is empty", hint="write the credential into it"
        )
    return _kept(text)


def _kept(text: str) -> Secret:
    secret = Secret(text)
    redactor.register(secret)
    return secret


def _helper(environ: Mapping[str, str], home: Path) -> Path | None:
    """The token helper that the Vault CLI's configuration names."""
    configuration = Path(environ.get("VAULT_CONFIG_PATH") or home / ".vault")
    if not configuration.is_file():
        return None
    named = _HELPER.search(configuration.read_text(encoding="utf-8", errors="replace"))
    return Path(named[1]).expanduser() if named else None


def _from_helper(helper: Path, environ: Mapping[str, str], address: str) -> Login:
    """Ask a helper as the Vault CLI does: ``helper get``, with the address in its environment."""
    try:
        done = run([helper, "get"], env={**environ, "VAULT_ADDR": address}, timeout=30, redact=False)
    except ToolError as error:
        raise SecretsError(
            "vault-credentials-missing",
            f"the Vault CLI's token helper failed: {error.message}",
            # Nothing of what it printed: that may be the token.
            hint="mend token_helper in ~/.vault, or set VAULT_TOKEN",
        ) from None
    text = done.stdout.strip()
    if not text:
        raise SecretsError(
            "vault-token-missing",
            f"the Vault CLI's token helper {helper} has no token for {address}",
            hint="run `vault login`",
        )
    return TokenLogin(_kept(text), f"the token helper {helper}")


def _from_github(environ: Mapping[str, str], audience: str, timeout: float) -> Secret:
    """Ask the runner for a token (docs.github.com: OpenID Connect, "Updating your workflows")."""
    import urllib3

    url = environ["ACTIONS_ID_TOKEN_REQUEST_URL"]
    url += ("&" if "?" in url else "?") + f"audience={quote(audience, safe='')}"
    bearer = environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
    redactor.register(Secret(bearer))
    try:
        with urllib3.PoolManager() as pool:
            answer = pool.request(
                "GET",
                url,
                headers={"Authorization": f"Bearer {bearer}"},
                timeout=urllib3.Timeout(total=timeout),
                retries=urllib3.Retry(2, backoff_factor=0.2, redirect=0),
            )
        value = json.loads(answer.data)["value"]
    except (urllib3.exceptions.HTTPError, ValueError, KeyError, TypeError):
        raise SecretsError(
            "vault-credentials-missing",
            "GitHub gave no token for this job",
            hint="give the job `permissions: {id-token: write}` and run it again",
        ) from None
    return _kept(str(value))
