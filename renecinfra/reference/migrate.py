"""Brings the database's schema up: ``python -m renecinfra.reference.migrate``.

Each migration runs once, in a transaction of its own that also records it, under an advisory lock that
the transaction holds: two at once wait for each other, a killed one leaves nothing behind. Nothing depends
on a session, so it runs through PgBouncer in transaction mode. There are no migrations down: a restore is
what goes back.
"""

from __future__ import annotations

import hashlib
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg.rows import TupleRow

from renecinfra.reference import register
from renecinfra.reference.settings import load
from renecinfra.reference.storage import copy_centres, copy_certifiers, copy_standards, upsert_lists

Connection = psycopg.Connection[TupleRow]

_DIRECTORY: Final = Path(__file__).parent / "migrations"
_FILE: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_LOCK: Final = 7_246_133  # any number; the same for every version of this program
_SEED_SIZE: Final = (24, 8, 16)
_RECORDS: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


class MigrationError(Exception):
    """The database cannot be brought up; the message says why."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step. ``checksum`` tells whether an applied step is still the one that this program has."""

    version: int
    name: str
    checksum: str
    apply: Callable[[Connection], None]


def migrations() -> tuple[Migration, ...]:
    """Every step in order: the SQL files, then the seed data.

    Raises:
        MigrationError: two steps have one version.
    """
    steps = [_from_file(path) for path in sorted(_DIRECTORY.glob("*.sql"))]
    steps.append(Migration(4, "seed", _digest("seed 1"), _seed))
    steps.sort(key=lambda step: step.version)
    if len({step.version for step in steps}) != len(steps):
        raise MigrationError("two migrations have the same version")
    return tuple(steps)


def migrate(dsn: str, steps: Sequence[Migration], *, patience: float = 15.0) -> list[str]:
    """Apply what is missing; returns the names of what was applied.

    ``patience`` is how many seconds a database that does not answer yet is tried again.

    Raises:
        MigrationError: an applied step has changed since.
        psycopg.Error: the database refused or cannot be reached.
    """
    with _connect(dsn, patience) as connection:
        done: list[str] = []
        known = _applied(connection)
        for step in steps:
            if step.version in known:
                _check(step, known[step.version])
            elif _apply(connection, step):
                done.append(f"{step.version:04d}_{step.name}")
        return done


def _connect(dsn: str, patience: float) -> Connection:
    deadline = time.monotonic() + patience
    while True:
        try:
            # PgBouncer before 1.21 does not keep prepared statements across transactions.
            return psycopg.connect(dsn, prepare_threshold=None, connect_timeout=5, autocommit=True)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _applied(connection: Connection) -> dict[int, str]:
    row = connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL").fetchone()
    if row is None or not row[0]:
        return {}
    return dict(connection.execute("SELECT version, checksum FROM schema_migrations").fetchall())


def _check(step: Migration, checksum: str) -> None:
    if step.checksum != checksum:
        raise MigrationError(
            f"migration {step.version:04d}_{step.name} has changed since it was applied; add another instead"
        )


def _apply(connection: Connection, step: Migration) -> bool:
    """Apply one step unless another process has done so while this one waited for the lock."""
    with connection.transaction():
        # What the server allows a request is too short for building an index.
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(_RECORDS)
        other = connection.execute(
            "SELECT checksum FROM schema_migrations WHERE version = %s", (step.version,)
        ).fetchone()
        if other is not None:
            _check(step, other[0])
            return False
        step.apply(connection)
        connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES (%s, %s, %s)",
            (step.version, step.name, step.checksum),
        )
    return True


def _from_file(path: Path) -> Migration:
    match = _FILE.fullmatch(path.name)
    if match is None:
        raise MigrationError(f"{path.name} is not named NNNN_name.sql")
    sql = path.read_bytes()

    def apply(connection: Connection) -> None:
        connection.execute(sql)

    return Migration(int(match[1]), match[2], _digest(sql.decode()), apply)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _seed(connection: Connection) -> None:
    """A small register, so that the API has something to say before the first harvest."""
    seed = register.generate(*_SEED_SIZE)
    upsert_lists(connection, seed.sectors, seed.committees)
    copy_standards(connection, None, seed.standards)
    copy_certifiers(connection, None, seed.certifiers)
    copy_centres(connection, None, seed.centres)


def main() -> int:
    """Migrate the database that DATABASE_URL names; one line per step, or one that says nothing was to do."""
    settings = load()
    try:
        done = migrate(settings.database_url, migrations())
    except (MigrationError, psycopg.Error) as error:
        sys.stderr.write(f"error[migrate]: {str(error).strip()}\n")
        return 1
    for name in done:
        sys.stdout.write(f"applied {name}\n")
    if not done:
        sys.stdout.write("the schema is current\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
