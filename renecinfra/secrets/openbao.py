"""What opens an environment's own OpenBao, in files of the caller's: the seal's key, TLS, credentials.

All of it is below the environment's state directory (0700), each secret file 0600. It is kept with the data
and deleted with the data: neither is of any use without the other.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from renecinfra import tls
from renecinfra.errors import SecretsError
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import OpenBaoSecrets
from renecinfra.redaction import redactor
from renecinfra.rendering import write_atomically
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.secrets.vault_types import Connection, MethodLogin
from renecinfra.sensitive import Secret
from renecinfra.workspace import EnvironmentPaths

if TYPE_CHECKING:
    from renecinfra.secrets.vault import VaultClient

SEAL_KEY: Final = "seal.key"
APPROLE: Final = "approle.json"
"""What renecinfra logs in with, and what the bootstrap that made it was like."""
RECOVERY: Final = "recovery.json"
"""The recovery key: with it a root token can be made again, say after an upgrade of renecinfra."""
ROOT: Final = "root.json"
"""The root token, as long as a bootstrap is under way."""
INITIALISING: Final = "initialising"
"""There while the answer that has the root token may be under way; then nothing is stored yet."""

_SEAL_BYTES: Final = 32  # AES-256
_HOST: Final = "localhost"
_PRIVATE: Final = 0o600


def prepare(paths: EnvironmentPaths) -> None:
    """Make the seal's key and the listener's certificate where they are not there yet; starts nothing.

    Raises:
        SecretsError: the key is gone although there is data that only it opens.
        ToolError: the state directory cannot be written.
    """
    paths.openbao.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = paths.openbao / SEAL_KEY
    if not key.exists():
        data = paths.data / "openbao"
        if data.is_dir() and any(data.iterdir()):
            raise SecretsError(
                "openbao-seal-lost",
                f"{key} is gone, and without it nobody can open the secrets in {data}",
                hint=f"restore it, or give up the data with `renecinfra down {paths.environment}`",
            )
        write_atomically(key, secrets.token_hex(_SEAL_BYTES), _PRIVATE, durable=True)
    # An authority of its own: the environment's is made by OpenBao, which needs a certificate before that.
    tls.ensure(paths.openbao / "tls", _HOST)


def ca_file(paths: EnvironmentPaths) -> Path:
    """The authority that clients of OpenBao trust."""
    return paths.openbao / "tls" / "ca.crt"


def certificate(paths: EnvironmentPaths) -> str | None:
    """The listener's certificate in PEM, or None before :func:`prepare`. Public."""
    return tls.certificate(paths.openbao / "tls")


def listener_key(paths: EnvironmentPaths) -> Secret:
    """The key of :func:`certificate`.

    Raises:
        ToolError: there is none yet.
    """
    return tls.key(paths.openbao / "tls")


def seal_key(paths: EnvironmentPaths) -> Secret:
    """The key that OpenBao unseals itself with, in hexadecimal; registered for redaction.

    Raises:
        SecretsError: there is none yet.
    """
    path = paths.openbao / SEAL_KEY
    try:
        key = Secret(path.read_text(encoding="ascii"))
    except OSError as error:
        raise _unusable(path, error.strerror) from None
    redactor.register(key)
    return key


def read_secrets(path: Path) -> dict[str, str] | None:
    """One of the JSON files here, its values registered for redaction; None where there is no such file.

    Raises:
        SecretsError: it cannot be read, or is not what renecinfra wrote.
    """
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error.strerror) from None
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise _unusable(path, "it is not the JSON that renecinfra wrote")
    for value in found.values():
        redactor.register(Secret(value))
    return found


def write_secrets(path: Path, values: Mapping[str, str]) -> None:
    """Store values that :func:`read_secrets` gives back: 0600, and whole or not at all.

    Raises:
        SecretsError: it cannot be written.
    """
    for value in values.values():
        redactor.register(Secret(value))
    try:
        write_atomically(path, json.dumps(dict(values), indent=1, sort_keys=True), _PRIVATE, durable=True)
    except OSError as error:
        raise _unusable(path, error.strerror) from None


def _unusable(path: Path, why: str | None) -> SecretsError:
    return SecretsError(
        "openbao-credentials-unusable",
        f"{path}, which opens the environment's OpenBao, cannot be used: {why}",
        hint="mend its owner and mode (chmod 600), or restore it; without it the data cannot be opened",
    )


def remember_versions(path: Path, resolved: ResolvedSecrets) -> None:
    """Keep which version each reference had, so that a plan can be made while OpenBao does not run."""
    versions = {reference: secret.version for reference, secret in resolved.items()}
    text = json.dumps(versions, indent=1, sort_keys=True)
    try:
        if path.read_text(encoding="utf-8") == text:
            return
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, text, _PRIVATE)


def remembered_versions(path: Path, references: Iterable[str]) -> dict[str, int]:
    """The version of each reference when it was last resolved; 1, its first, where it never was."""
    try:
        known: Any = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        known = None  # a plan made on wrong versions is refused before it is applied
    if not isinstance(known, dict):
        known = {}
    return {name: known[name] if isinstance(known.get(name), int) else 1 for name in references}


def connection(profile: Profile, paths: EnvironmentPaths) -> Connection:
    """Where the environment's own OpenBao is, and whom to trust there."""
    assert isinstance(profile.secrets, OpenBaoSecrets), f"{profile.environment} has no OpenBao of its own"
    return Connection(
        f"https://127.0.0.1:{profile.local.port('openbao')}",
        ca_file=ca_file(paths),
        timeout=profile.secrets.timeout.total_seconds(),
        name="OpenBao",
    )


def own_login(paths: EnvironmentPaths) -> MethodLogin:
    """renecinfra's own login, as the bootstrap left it.

    Raises:
        SecretsError: the bootstrap has not come that far, or the file cannot be used.
    """
    path = paths.openbao / APPROLE
    found = read_secrets(path)
    if found is None:
        raise SecretsError(
            "openbao-not-ready",
            f"the OpenBao of {paths.environment} is not set up yet: there is no {path}",
            hint=f"run `renecinfra up {paths.environment}`",
        )
    body: dict[str, str | Secret] = {"role_id": found["role_id"], "secret_id": Secret(found["secret_id"])}
    return MethodLogin("approle", "approle", body, str(path))


def client(profile: Profile, paths: EnvironmentPaths) -> VaultClient:
    """A client that logs in, when first needed, as renecinfra does after the bootstrap."""
    from renecinfra.secrets.vault import VaultClient

    return VaultClient(connection(profile, paths), lambda: own_login(paths))


def serves(profile: Profile, paths: EnvironmentPaths) -> bool:
    """Whether OpenBao answers and can be asked for secrets."""
    from renecinfra.secrets.vault import VaultClient

    with VaultClient(connection(profile, paths), None) as asked:
        try:
            health = asked.health()
        except SecretsError:
            return False
    return health.initialised and not health.sealed and not health.standby
