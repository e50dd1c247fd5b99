"""From an OpenBao that has just started to one that the environment can use, in steps that can be repeated.

Initialise, keep the recovery key, set up mounts, policies and logins with the root token, revoke it. Killed
at any point, the next run goes on: what is set up is looked at before it is made, and the root token is kept
until renecinfra's own login works. When a later version of renecinfra wants something else set up, a root
token is made with the recovery key, and revoked again.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from renecinfra.errors import SecretsError
from renecinfra.profiles.model import Profile
from renecinfra.rendering import write_atomically
from renecinfra.secrets import openbao, pki
from renecinfra.secrets.references import layout_of
from renecinfra.secrets.setup import (
    CERTIFICATES_ROLE,
    CERTIFICATES_ROLE_ID,
    CERTIFICATES_SECRET_ID,
    OWN_ROLE,
    Setup,
    setup_of,
)
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.secrets.vault import VaultClient
from renecinfra.secrets.vault_store import VaultStore
from renecinfra.sensitive import Secret
from renecinfra.workspace import EnvironmentPaths

# How long OpenBao may take to elect itself after it was initialised, and KV to become a versioned one.
_ACTIVE_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05
_APPROLE: Final = "auth/approle"


def is_complete(profile: Profile, paths: EnvironmentPaths) -> bool:
    """Whether today's setup was finished and its authorities may stay; looks at files only."""
    if (paths.openbao / openbao.ROOT).exists() or not paths.ca.exists():
        return False
    if not pki.fits(paths.ca.read_text(encoding="ascii"), profile.edge.host):
        return False
    found = openbao.read_secrets(paths.openbao / openbao.APPROLE)
    return found is not None and found.get("setup") == setup_of(profile).digest


def bootstrap(profile: Profile, paths: EnvironmentPaths, *, start_empty: Callable[[], None]) -> bool:
    """Set OpenBao up, or go on where an interrupted run was; whether there was anything to do.

    ``start_empty`` deletes OpenBao's data and starts it again. It is called for one case only: a run was
    killed while the answer that had the root token was under way, so that nobody can open what is there, and
    nothing was stored in it.

    Raises:
        SecretsError: OpenBao does not answer, or what opens it is gone.
    """
    if is_complete(profile, paths):
        return False
    setup = setup_of(profile)
    with VaultClient(openbao.connection(profile, paths), None) as client:
        client.use_token(_root_token(client, paths, start_empty))
        _wait_until_active(client)
        _set_up(client, setup)
        authority = pki.ensure(client, setup.host, timedelta(seconds=setup.leaf_seconds))
        paths.tls.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(paths.ca, authority)
        _admit_certificate_agent(client, profile)
        _admit_ourselves(client, profile, paths, setup)
        client.revoke_self()
    (paths.openbao / openbao.ROOT).unlink()
    return True


def _root_token(client: VaultClient, paths: EnvironmentPaths, start_empty: Callable[[], None]) -> Secret:
    """A valid root token: a new OpenBao's, an interrupted bootstrap's, or one made with the recovery key."""
    files = paths.openbao
    if not client.health().initialised:
        return _initialise(client, paths)
    _wait_until_active(client)
    kept = openbao.read_secrets(files / openbao.ROOT)
    if kept is not None and _is_valid(client, Secret(kept["token"])):
        return Secret(kept["token"])
    recovery = openbao.read_secrets(files / openbao.RECOVERY)
    if recovery is not None:
        return _regain(client, paths, Secret(recovery["key"]))
    if (files / openbao.INITIALISING).exists():
        start_empty()
        return _initialise(client, paths)
    raise SecretsError(
        "openbao-credentials-lost",
        f"the OpenBao of {paths.environment} was set up, but {files} has neither a login nor a recovery key",
        hint=f"restore the directory, or give up the data with `renecinfra down {paths.environment}`",
    )


def _initialise(client: VaultClient, paths: EnvironmentPaths) -> Secret:
    marker = paths.openbao / openbao.INITIALISING
    marker.touch(mode=0o600)
    # One share: who has the directory has all of them, and the seal's key besides.
    body = {"recovery_shares": 1, "recovery_threshold": 1}
    answer = client.request("PUT", "sys/init", body, subject="initialising it", authenticated=False)
    openbao.write_secrets(paths.openbao / openbao.RECOVERY, {"key": answer["recovery_keys_base64"][0]})
    openbao.write_secrets(paths.openbao / openbao.ROOT, {"token": answer["root_token"]})
    marker.unlink()
    return Secret(answer["root_token"])


def _is_valid(client: VaultClient, token: Secret) -> bool:
    client.use_token(token)
    try:
        client.lookup_self()
    except SecretsError as error:
        if error.id != "vault-token-invalid":
            raise
        return False
    return True


def _regain(client: VaultClient, paths: EnvironmentPaths, key: Secret) -> Secret:
    """A root token made with the recovery key. Source: https://openbao.org/api-docs/system/generate-root/"""
    path, subject = "sys/generate-root", "making a root token with the recovery key"
    # An attempt of an interrupted run would be in the way, and its one-time password is gone.
    client.request("DELETE", f"{path}/attempt", subject=subject, authenticated=False)
    attempt = client.request("PUT", f"{path}/attempt", {}, subject=subject, authenticated=False)
    body = {"key": key, "nonce": attempt["nonce"]}
    answer = client.request("PUT", f"{path}/update", body, subject=subject, authenticated=False)
    encoded = answer["encoded_token"]
    mixed = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    token = bytes(one ^ other for one, other in zip(mixed, attempt["otp"].encode(), strict=True)).decode()
    openbao.write_secrets(paths.openbao / openbao.ROOT, {"token": token})
    return Secret(token)


def _wait_until_active(client: VaultClient) -> None:
    """A freshly initialised OpenBao unseals itself and elects itself, which takes about two seconds."""
    deadline = time.monotonic() + _ACTIVE_SECONDS
    while True:
        health = client.health()
        if health.initialised and not health.sealed and not health.standby:
            return
        if time.monotonic() > deadline:
            raise SecretsError(
                "openbao-not-active",
                f"{client.connection} is {'sealed' if health.sealed else 'no leader'} and stays so",
                hint="see the log of the service openbao",
            )
        time.sleep(_POLL_SECONDS)


def _set_up(client: VaultClient, setup: Setup) -> None:
    """Mounts, policies and roles; what is there with the same name is brought to what is wanted."""
    mounted = client.request("GET", "sys/mounts", subject="its mounts")["data"]
    for path, settings in setup.mounts.items():
        if f"{path}/" not in mounted:
            client.request("POST", f"sys/mounts/{path}", settings, subject=f"mounting {path}/")
    if "approle/" not in client.request("GET", "sys/auth", subject="its auth methods")["data"]:
        client.request("POST", "sys/auth/approle", {"type": "approle"}, subject="mounting auth/approle/")
    for name, policy in setup.policies.items():
        client.write_policy(name, policy)
    for name, role in setup.roles.items():
        client.request("POST", f"{_APPROLE}/role/{name}", role, subject=f"the role {name}")


def _admit_certificate_agent(client: VaultClient, profile: Profile) -> None:
    """Give the agent's role a fixed role-id, and as its secret-id the secret that is kept for it."""
    role = f"{_APPROLE}/role/{CERTIFICATES_ROLE}"
    subject = "the certificate agent's login"
    client.request("POST", f"{role}/role-id", {"role_id": CERTIFICATES_ROLE_ID}, subject=subject)
    store = VaultStore(client, layout_of(profile), generate=True)
    secret_id = _when_versioned(lambda: store.resolve([CERTIFICATES_SECRET_ID]))[CERTIFICATES_SECRET_ID].value
    known = client.request("POST", f"{role}/secret-id/lookup", {"secret_id": secret_id}, subject=subject)
    if not known:
        client.request("POST", f"{role}/custom-secret-id", {"secret_id": secret_id}, subject=subject)


def _admit_ourselves(client: VaultClient, profile: Profile, paths: EnvironmentPaths, setup: Setup) -> None:
    """A login of renecinfra's own, the only one of its role, tried before the root token goes."""
    role, subject = f"{_APPROLE}/role/{OWN_ROLE}", "renecinfra's own login"
    for accessor in _accessors(client, role):
        body = {"secret_id_accessor": accessor}
        client.request("POST", f"{role}/secret-id-accessor/destroy", body, subject=subject)
    role_id = client.request("GET", f"{role}/role-id", subject=subject)["data"]["role_id"]
    made = client.request("POST", f"{role}/secret-id", {}, subject=subject)["data"]
    values = {"role_id": role_id, "secret_id": made["secret_id"], "setup": setup.digest}
    openbao.write_secrets(paths.openbao / openbao.APPROLE, values)
    with openbao.client(profile, paths) as own:
        own.lookup_self()


def _accessors(client: VaultClient, role: str) -> list[str]:
    """Secret-ids that earlier, interrupted runs made and nobody has."""
    try:
        return list(client.request("LIST", f"{role}/secret-id")["data"]["keys"])
    except SecretsError as error:
        if error.id != "vault-path-missing":
            raise
        return []


def _when_versioned(work: Callable[[], ResolvedSecrets]) -> ResolvedSecrets:
    """A KV mount that was just made answers for a moment that it is being upgraded to a versioned one."""
    deadline = time.monotonic() + _ACTIVE_SECONDS
    while True:
        try:
            return work()
        except SecretsError as error:
            if "pgrading" not in error.message or time.monotonic() > deadline:
                raise
        time.sleep(_POLL_SECONDS)
