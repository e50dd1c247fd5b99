"""Whether a restored database is sound and has what it should: looked at from inside, before anybody uses
it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from renecinfra import process
from renecinfra.errors import RestoreError
from renecinfra.recovery.engine.beside import Beside

if TYPE_CHECKING:
    import psycopg

_COUNT_SECONDS: Final = 60
_ASSERTION_SECONDS: Final = 60
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_TABLES: Final = """
SELECT c.oid::bigint, format('%I.%I', n.nspname, c.relname), greatest(c.reltuples, 0)::bigint,
       (SELECT quote_ident(a.attname) FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype)
        ORDER BY a.attname ~ '(updated|created|_at$|^at$|time)' DESC, a.attnum LIMIT 1)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname NOT LIKE 'pg\\_%' AND NOT c.relispartition
ORDER BY 2
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what, whether it is right, what was seen, how many seconds it took."""

    name: str
    ok: bool
    detail: str
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """For machines."""
        return {"name": self.name, "ok": self.ok, "detail": self.detail, "seconds": round(self.seconds, 3)}


@dataclass(frozen=True, slots=True)
class TableContent:
    """What a table has: ``rows`` is an estimate where counting took too long; ``latest`` its newest time."""

    name: str
    rows: int
    exact: bool
    latest: str | None


def inspect(
    beside: Beside, assertions: Mapping[str, str], note: Callable[[str], None] = lambda _text: None
) -> tuple[list[Finding], list[TableContent]]:
    """Look at a restored database that serves; what was found, and its tables.

    Args:
        beside: the database; it is left serving.
        assertions: by name, queries of the profile whose one value must be true.
        note: told what is being looked at.
    """
    database = beside.database
    findings = [_timed("opens", lambda: _opens(beside))]
    tables: list[TableContent] = []
    if not findings[0].ok:
        return findings, tables
    note("counting rows")

    def count() -> tuple[bool, str]:
        with beside.connected(database.database, seconds=_COUNT_SECONDS) as connection:
            tables.extend(_tables(connection))
        return True, f"{sum(one.rows for one in tables)} rows in {len(tables)} tables"

    findings.append(_timed("rows", count))
    note("checking indexes and pages with amcheck")
    findings.append(_timed("amcheck", lambda: _amcheck(beside)))
    for name, query in assertions.items():
        note(f"asking {name}")
        findings.append(_timed(name, lambda query=query: _assertion(beside, query)))  # type: ignore[misc]
    return findings, tables


def checksums(beside: Beside) -> Finding:
    """Every page's checksum, of a database that is stopped."""
    return _timed("checksums", lambda: _checksums(beside))


def require(findings: list[Finding], environment: str, *, rehearsed: bool = False) -> None:
    """Refuse a database with which something is wrong; of a rehearsal nothing is left to be removed.

    Raises:
        RestoreError: naming what.
    """
    bad = [one for one in findings if not one.ok]
    if bad:
        raise RestoreError(
            "restore-check-failed",
            f"the restored database is not right: {bad[0].name}: {bad[0].detail}",
            details=tuple(f"{one.name}: {one.detail}" for one in bad[1:]),
            hint=f"what serves was not touched, and the rehearsal's database is removed; `renecinfra backup "
            f"{environment} verify` looks at the backups"
            if rehearsed
            else f"the running database was not touched; `renecinfra restore {environment} --abort` removes "
            "the restored one, then try an earlier target or backup",
        )


def _timed(name: str, look: Callable[[], tuple[bool, str]]) -> Finding:
    import psycopg

    began = time.monotonic()
    try:
        ok, detail = look()
    except psycopg.Error as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        ok, detail = False, lines[0]
    return Finding(name, ok, detail, time.monotonic() - began)


def _opens(beside: Beside) -> tuple[bool, str]:
    database = beside.database
    with beside.connected(seconds=_COUNT_SECONDS) as connection:
        row = connection.execute(
            "SELECT pg_is_in_recovery(), EXISTS (SELECT FROM pg_database WHERE datname = %s), version()",
            (database.database,),
        ).fetchone()
    if row is None or row[0]:
        return False, "it is still in recovery"
    if not row[1]:
        return False, f"it has no database {database.database}"
    return True, str(row[2]).partition(" on ")[0]


def _tables(connection: psycopg.Connection[Any]) -> list[TableContent]:
    import psycopg

    found = []
    for _, name, estimate, column in connection.execute(_TABLES).fetchall():
        latest = f"max({column})::text" if column else "NULL"
        try:
            # S608: both names were quoted by the server.
            row = connection.execute(f"SELECT count(*), {latest} FROM {name}").fetchone()  # noqa: S608
        except psycopg.errors.QueryCanceled:
            found.append(TableContent(name, int(estimate), False, None))
            continue
        if row is not None:
            found.append(TableContent(name, int(row[0]), True, row[1]))
    return found


def _amcheck(beside: Beside) -> tuple[bool, str]:
    """Structure of every table and B-tree; the extension is there only while it is needed."""
    database = beside.database
    had = []
    names = []
    with beside.connected() as connection:
        for (name,) in connection.execute("SELECT datname FROM pg_database WHERE datallowconn").fetchall():
            names.append(name)
    for name in names:
        with beside.connected(name) as connection:
            row = connection.execute("SELECT count(*) FROM pg_extension WHERE extname = 'amcheck'").fetchone()
        had += [name] if row and row[0] else []
    argv = [
        database.program("pg_amcheck"), f"--host={beside.socket}", f"--port={beside.port}",
        "--username=postgres", "--all", "--install-missing", "--jobs=2", "--no-password",
    ]  # fmt: skip
    environment = {"PATH": _PATH, "LC_ALL": "C"}
    done = process.run(
        argv, env=environment, timeout=None, check=False, identity=database.identity, cwd=Path("/")
    )
    for name in set(names) - set(had):
        with beside.connected(name) as connection:
            connection.execute("SET client_min_messages = warning")
            connection.execute("DROP EXTENSION IF EXISTS amcheck")
    if done.returncode == 0:
        return True, "tables and indexes are sound"
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return False, lines[0] if lines else f"pg_amcheck exited with {done.returncode}"


def _assertion(beside: Beside, query: str) -> tuple[bool, str]:
    with beside.connected(beside.database.database, seconds=_ASSERTION_SECONDS) as connection:
        row = connection.execute(query.encode()).fetchone()
    if row is None or len(row) != 1:
        return False, "the query gives no single value"
    return row[0] is True, "holds" if row[0] is True else f"gives {row[0]!r} and not true"


def _checksums(beside: Beside) -> tuple[bool, str]:
    done = process.run(
        [beside.database.program("pg_checksums"), "--check", "-D", str(beside.cluster)],
        env={"PATH": _PATH, "LC_ALL": "C"},
        timeout=None,
        check=False,
        identity=beside.database.identity,
        cwd=Path("/"),
    )
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode == 0:
        blocks = next((line for line in lines if line.startswith("Blocks scanned")), "")
        return True, f"every page's checksum is right ({blocks.partition(':')[2].strip()} pages)"
    if any("data checksums are not enabled" in line for line in lines):
        return True, "the database has no checksums"
    return False, next((line for line in lines if "failed" in line or "error" in line), "pages are damaged")
