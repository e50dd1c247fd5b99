"""PostgreSQL's settings for a database that is restored: as little as possible of what it had, as fast as
it can.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from renecinfra import process
from renecinfra.recovery.protected import ProtectedDatabase

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# A standby must allow at least what the primary allowed; pg_controldata's names and PostgreSQL's.
LIMITS: Final = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_wal_senders setting": "max_wal_senders",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
    "wal_level setting": "wal_level",
}
# Replay is what takes the time of a restore, and checkpoints are what takes the time of a replay.
FAST_REPLAY: Final = {
    "max_wal_size": "64GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "jit": "off",
}
_MEMORY_SHARE: Final = 8
_BUFFERS_MIN, _BUFFERS_MAX = 128 << 20, 4 << 30


def control(database: ProtectedDatabase, directory: Path) -> dict[str, str]:
    """What pg_controldata says of a data directory, by its own names."""
    done = process.run(
        [database.program("pg_controldata"), "-D", str(directory)],
        env={"PATH": _PATH, "LC_ALL": "C", "TZ": "UTC"},
        timeout=60,
        identity=database.identity,
        cwd=Path("/"),
    )
    pairs = (line.partition(":") for line in done.stdout.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def limits(known: dict[str, str]) -> dict[str, str]:
    """What the server must allow, given what :func:`control` says that the primary allowed."""
    return {ours: known[theirs] for theirs, ours in LIMITS.items() if theirs in known}


def buffers() -> int:
    """Shared buffers for the replay: a share of the memory that is free, as more makes it faster."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return min(max(int(line.split()[1]) * 1024 // _MEMORY_SHARE, _BUFFERS_MIN), _BUFFERS_MAX)
    return _BUFFERS_MIN


def command_line(chosen: Mapping[str, str]) -> str:
    """Settings as the server's options: they are stronger than anything in the data directory."""
    return " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in chosen.items())
