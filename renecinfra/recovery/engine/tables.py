"""Single tables out of a restored database into the running one, in one transaction, over nothing.

A table that the running database has lost comes back under its own name. One that it still has comes into a
schema of its own, for a person to compare and to take from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renecinfra.errors import RestoreError
from renecinfra.recovery.engine.beside import Beside
from renecinfra.recovery.primary import connect

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True, slots=True)
class TableReturn:
    """A table that came back: from ``name``, to ``where``, with how many rows."""

    name: str
    where: str
    rows: int


def bring_back(beside: Beside, names: Sequence[str], schema: str) -> list[TableReturn]:
    """Copy tables out of ``beside``, which serves, into the running primary.

    Args:
        beside: the restored database; its tables are moved about in it.
        names: tables, with their schema where that is not ``public``.
        schema: what a table goes into that the running database still has.

    Raises:
        RestoreError: one of them is in neither, or the running database does not take it; then it takes none.
        ToolError: the primary does not answer.
    """
    from psycopg import sql

    database = beside.database
    with (
        beside.connected(database.database) as there,
        connect(database, name=database.database, seconds=30) as here,
    ):
        wanted = [_resolve(there, name) for name in names]
        lost = [one for one in wanted if not _exists(here, one)]
        kept = [one for one in wanted if one not in lost]
        for one in kept:
            there.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
            _drop_references(there, one)
            there.execute(
                sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(sql.Identifier(*one), sql.Identifier(schema))
            )
        places = {one: (schema, one[1]) if one in kept else one for one in wanted}
        counts = {one: _count(there, place) for one, place in places.items()}
    _copy(beside, [*places.values()], schema if kept else None)
    return [TableReturn(".".join(one), ".".join(place), counts[one]) for one, place in places.items()]


def _resolve(connection: psycopg.Connection[Any], name: str) -> tuple[str, str]:
    row = connection.execute(
        "SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE c.oid = to_regclass(%s) AND c.relkind IN ('r', 'p')",
        (name,),
    ).fetchone()
    if row is None:
        raise RestoreError(
            "restore-table-missing",
            f"there was no table {name} at that moment",
            hint="name it as the database has it, with its schema: public.ec_standards; or try another "
            "moment",
        )
    return str(row[0]), str(row[1])


def _exists(connection: psycopg.Connection[Any], table: tuple[str, str]) -> bool:
    query = "SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    return (
        connection.execute(f"{query} WHERE n.nspname = %s AND c.relname = %s", table).fetchone() is not None
    )


def _drop_references(connection: psycopg.Connection[Any], table: tuple[str, str]) -> None:
    """A copy beside the table refers to no other table, and none to it."""
    from psycopg import sql

    query = (
        "SELECT n.nspname, c.relname, f.conname FROM pg_constraint AS f JOIN pg_class AS c ON c.oid = "
        "f.conrelid"
        " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE f.contype = 'f' AND (f.conrelid = to_regclass(%(t)s) OR f.confrelid = to_regclass(%(t)s))"
    )
    quoted = sql.Identifier(*table).as_string(connection)
    for space, relation, name in connection.execute(query, {"t": quoted}).fetchall():
        statement = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}")
        connection.execute(statement.format(sql.Identifier(space, relation), sql.Identifier(name)))


def _count(connection: psycopg.Connection[Any], table: tuple[str, str]) -> int:
    from psycopg import sql

    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*table))).fetchone()
    return int(row[0]) if row else 0


def _copy(beside: Beside, tables: Sequence[tuple[str, str]], schema: str | None) -> None:
    database, files = beside.database, beside.files
    directory = Path(database.program("postgres")).parent
    script = beside.directory / "tables.sql"
    if schema is not None:
        # pg_dump leaves out the schema of a table that is named.
        files.write(script, f'CREATE SCHEMA IF NOT EXISTS "{schema}";\n')
    else:
        files.write(script, "")
    patterns = [word for space, name in tables for word in ("--table", f'"{space}"."{name}"')]
    dump = [
        str(directory / "pg_dump"),
        "-h",
        str(beside.socket),
        "-p",
        str(beside.port),
        "-U",
        "postgres",
        "-w",
    ]
    out = ["--no-privileges", f"--file={script}.data", *patterns, database.database]
    files.run(*dump, *out)
    put = [database.program("psql"), "-Xqw", "-1", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1"]
    where = ["-h", database.socket, "-p", str(database.port), "-U", "postgres", "-d", database.database]
    done = files.run(*put, *where, "-f", str(script), "-f", f"{script}.data", check=False)
    if done.returncode != 0:
        raise RestoreError(
            "restore-table-refused",
            "the running database did not take the tables; nothing of them is in it",
            details=tuple(done.stderr.strip().splitlines()[-5:]),
            hint="a row may refer to one that is not there any more: bring back that table, too",
        )
