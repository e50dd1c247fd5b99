"""Writers held at the pooler while the primary behind it changes: they wait, and do not fail.

PgBouncer's PAUSE lets running transactions end and keeps new ones waiting, up to its query_wait_timeout. A
transaction that does not end is ended with the primary.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from renecinfra.platforms.local import access, encryption
from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.secrets.store import ResolvedSecrets

if TYPE_CHECKING:
    import psycopg

_CONNECT_SECONDS: Final = 5
GRACE_SECONDS: Final = 3.0
"""How long running transactions may take before the primary is stopped all the same."""


@dataclass
class Pause:
    """A pause that is under way. ``warnings`` says what did not go as it should."""

    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long writers were held."""
        return (self.ended or time.monotonic()) - self.began


@contextmanager
def paused(profile: Profile, host: Host, secrets: ResolvedSecrets) -> Iterator[Pause]:
    """Hold the application's queries until the end of the block, however that ends.

    A pooler that does not answer holds nobody: that is a warning, because what cannot write cannot lose.
    """
    pause = Pause()
    holding = threading.Thread(target=_hold, args=(profile, host, secrets, pause), daemon=True)
    holding.start()
    holding.join(GRACE_SECONDS)
    try:
        yield pause
    finally:
        _release(profile, host, secrets, pause)
        holding.join(_CONNECT_SECONDS)
        pause.ended = time.monotonic()


def _hold(profile: Profile, host: Host, secrets: ResolvedSecrets, pause: Pause) -> None:
    # It answers when the last transaction has ended, which may be when the primary is stopped.
    _tell(profile, host, secrets, pause, lambda name: (f'PAUSE "{name}"',))


def _release(profile: Profile, host: Host, secrets: ResolvedSecrets, pause: Pause) -> None:
    # Connections to the server before are never used again; those who wait get new ones.
    _tell(profile, host, secrets, pause, lambda name: (f'RECONNECT "{name}"', f'RESUME "{name}"'))


def _tell(
    profile: Profile,
    host: Host,
    secrets: ResolvedSecrets,
    pause: Pause,
    commands: Callable[[str], tuple[str, ...]],
) -> None:
    import psycopg

    try:
        with console(profile, host, secrets) as connection:
            for command in commands(profile.database.name):
                try:
                    connection.execute(command.encode())
                except psycopg.Error as error:
                    said = str(error).strip()
                    if "already" not in said and "not paused" not in said:
                        pause.warnings.append(f"the pooler refused {command.split()[0]}: {said}")
    except KeyError:
        pause.warnings.append("the pooler's password is not known, so that writers were not held")
    except psycopg.Error as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        pause.warnings.append(f"the pooler does not answer: {lines[0]}")


def console(profile: Profile, host: Host, secrets: ResolvedSecrets) -> psycopg.Connection[Any]:
    """PgBouncer's console, as the role that may pause.

    Raises:
        psycopg.Error: it does not answer.
    """
    import psycopg

    trust = {"sslmode": "verify-full", "sslrootcert": str(host.paths.ca)}
    return psycopg.connect(
        host="127.0.0.1",
        port=profile.local.port("pgbouncer"),
        dbname="pgbouncer",
        user=access.POOLER_ROLE,
        password=secrets[access.POOLER_PASSWORD].value.reveal(),
        application_name="renecinfra",
        connect_timeout=_CONNECT_SECONDS,
        autocommit=True,
        prepare_threshold=None,
        cursor_factory=psycopg.ClientCursor,
        **(trust if encryption.enabled(profile) else {}),  # type: ignore[arg-type]
    )
