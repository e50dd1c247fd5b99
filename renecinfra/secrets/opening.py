"""From a profile to the store of its Vault, and a token that lives as long as the work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from renecinfra.errors import SecretsError
from renecinfra.profiles.aws import AwsPlatform
from renecinfra.profiles.base import format_duration
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import VaultSecrets
from renecinfra.secrets.auth import login_source
from renecinfra.secrets.references import layout_of
from renecinfra.secrets.vault import VaultClient
from renecinfra.secrets.vault_store import VaultStore
from renecinfra.secrets.vault_types import Connection

_LONGEST_NAP: Final = 300.0
_SHORTEST_NAP: Final = 1.0


def open_vault(profile: Profile, root: Path, environ: Mapping[str, str]) -> VaultStore:
    """The store of a profile with ``provider: vault``; logs in when something is first read.

    ``root`` is the workspace, which ``secrets.ca_file`` is relative to.

    Raises:
        SecretsError: the CA file is missing.
    """
    secrets = profile.secrets
    assert isinstance(secrets, VaultSecrets), f"{profile.environment} has no Vault"
    connection = Connection(
        secrets.address,
        secrets.namespace,
        root / Path(secrets.ca_file).expanduser() if secrets.ca_file else None,
        secrets.timeout.total_seconds(),
    )
    platform = profile.platform
    region = platform.region if isinstance(platform, AwsPlatform) else None
    client = VaultClient(connection, login_source(secrets, environ, region=region))
    # The local platform adds references of its own, for passwords that nobody else needs to know.
    return VaultStore(client, layout_of(profile), generate=profile.platform.kind == "local")


def require_life(client: VaultClient, needed: timedelta) -> None:
    """Make the token live for ``needed`` from now, before work starts that takes as long.

    Raises:
        SecretsError: ``vault-token-expiring``, where it cannot; or it is not valid at all.
    """
    seconds = int(needed.total_seconds())
    token = client.lookup_self()
    left = token.ttl
    if left is None or left >= seconds:
        return
    if token.renewable:
        # What was asked for is granted up to the maximum; a periodic token can be renewed without end.
        left = client.renew_self(seconds)
        if token.periodic or left >= seconds:
            return
    raise SecretsError(
        "vault-token-expiring",
        f"the token for {client.connection} expires in {format_duration(timedelta(seconds=left))},"
        f" and this may take {format_duration(needed)}",
        hint="log in again, or raise token_max_ttl of the role that it comes from; nothing was changed",
    )


@contextmanager
def kept_alive(client: VaultClient, on_failure: Callable[[str], None]) -> Iterator[None]:
    """Renew the token at half of its life until the block ends.

    ``on_failure`` is told when a renewal fails: the work goes on, as the token may still be good for it.
    """
    token = client.lookup_self()
    if token.ttl is None or not token.renewable:
        yield
        return
    done = threading.Event()
    renewer = threading.Thread(
        target=_renew, args=(client, token.ttl, done, on_failure), name="vault-token", daemon=True
    )
    renewer.start()
    try:
        yield
    finally:
        done.set()
        renewer.join()


def _renew(
    client: VaultClient, left: float, done: threading.Event, on_failure: Callable[[str], None]
) -> None:
    failed = False
    while not done.wait(min(max(left / 2, _SHORTEST_NAP), _LONGEST_NAP)):
        try:
            left = client.renew_self()
            failed = False
        except SecretsError as error:
            if not failed:
                on_failure(error.message)
            # Tried again sooner and sooner while some life is left.
            left, failed = left / 2, True
