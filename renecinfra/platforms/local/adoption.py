"""What a restored database needs before it can be the primary: it is to look as if it had always been."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from renecinfra.recovery.engine.beside import Beside
from renecinfra.recovery.engine.wal import Segment

if TYPE_CHECKING:
    import psycopg


def note_bootstrap(beside: Beside, scripts: list[Path]) -> None:
    """As primary.sh does, so that it finds it done and starts without delay."""
    command = 'cat -- "$1" "$2" | sha256sum >"$3"'
    mark = beside.cluster / "renecinfra.bootstrap"
    beside.files.run("/bin/sh", "-c", command, "sh", *(str(path) for path in scripts), str(mark))


def mark_for_archive(beside: Beside) -> None:
    """The new timeline began while nothing was archived: its history and whole segments are still to go."""
    current = beside.control()["Latest checkpoint's REDO WAL file"]
    timeline = Segment.parse(current).timeline
    wal = beside.cluster / "pg_wal"
    names = beside.files.run("ls", "-1", "--", str(wal)).stdout.splitlines()
    whole = [name for name in names if len(name) == 24 and name[:8] == current[:8] and name < current]
    for name in (*whole, f"{timeline:08X}.history"):
        if beside.files.exists(wal / name):
            beside.files.write(wal / "archive_status" / f"{name}.ready", "")


def close_logins(connection: psycopg.Connection[Any]) -> None:
    """Another environment's passwords open nothing here; whoever may log in gets today's afterwards."""
    from psycopg import sql

    query = "SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname <> 'postgres'"
    for (name,) in connection.execute(query).fetchall():
        connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(sql.Identifier(name)))
