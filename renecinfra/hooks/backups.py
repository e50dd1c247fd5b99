"""The backups hook: `up` reports success only when what runs has a backup that was read and found whole.

The service ``backups`` takes it, from the moment on that the primary serves, while the rest of the
environment starts; the hook waits for it. Afterwards a glance at two small files tells that there is
nothing to do.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from renecinfra.errors import HookError
from renecinfra.hooks.protocol import Check, HookContext
from renecinfra.platforms.local import backups
from renecinfra.recovery.primary import system_identifier
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.records import OBSERVATION, READY, STATE, read_document

_POLL: Final = 0.05
_TELL: Final = 1.0
_GIVE_UP: Final = 15.0
_FRESH: Final = 120.0
# Seconds that what was just brought up gets to be seen as sound; the service looks again soon meanwhile.
_SETTLE: Final = 10.0


class BackupsHook:
    """See the module; ``run`` waits for the first backup, ``verify`` looks at how recovery stands."""

    name = "backups"
    needs: tuple[str, ...] = ()

    def run(self, context: HookContext) -> str:
        """Wait until the running database has a verified backup.

        Raises:
            HookError: it cannot have one, with what the service says of it.
        """
        database = backups.protected(context.profile, context.host)
        failing_since: float | None = None
        told = 0.0
        while True:
            ready = ready_for(database)
            if ready is not None:
                return f"a verified backup since {ready:%Y-%m-%d %H:%M} UTC"
            state: Any = read_document(Path(database.work) / STATE) or {}
            now = time.monotonic()
            if state.get("error"):
                failing_since = failing_since or now
                if now - failing_since > _GIVE_UP:
                    raise HookError(
                        "backup-first-failed",
                        f"{state['doing']}: {state['error']}",
                        hint=f"`renecinfra logs {context.profile.environment} {backups.NAME}` has all of it",
                    )
            else:
                failing_since = None
            if now - told > _TELL:
                context.note(f"{self.name}: {state.get('doing', 'waiting for the service')}")
                told = now
            time.sleep(_POLL)

    def verify(self, context: HookContext) -> list[Check]:
        """What the service last saw of archive and receiver; nothing while it has not looked yet.

        What it saw while services were still being brought back is not the end of it: it gets some seconds to
        look again, so that ``status`` and ``up`` say the same.
        """
        database = backups.protected(context.profile, context.host)
        checks = [Check("first backup", ready_for(database) is not None)]
        seen = _settled(Path(database.work) / OBSERVATION)
        if seen is not None and _age(seen["at"]) < _FRESH:
            checks += [
                Check(finding["name"], finding["ok"], finding["detail"])
                for finding in seen["findings"]
                if finding["name"].startswith("continuity")
            ]
        return checks


def ready_for(database: ProtectedDatabase) -> datetime | None:
    """Since when the database that is in the primary's directory has a verified backup; None if it has
    none."""
    ready: Any = read_document(Path(database.work) / READY)
    if ready is None or ready["system_id"] != system_identifier(database.data):
        return None
    return datetime.fromisoformat(ready["at"])


def _settled(path: Path) -> Any:
    """The newest observation, once it is sound or has had its time."""
    deadline = time.monotonic() + _SETTLE
    while True:
        seen: Any = read_document(path)
        sound = seen is None or (not seen["problems"] and all(one["ok"] for one in seen["findings"]))
        if sound or time.monotonic() > deadline:
            return seen
        time.sleep(_POLL)


def _age(at: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()
